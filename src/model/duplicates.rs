//! How a body that names the model more than once is treated.

use super::found::Duplicates;

/// The treatment of a second top-level `model` key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DuplicateModels {
    /// The request is refused with 400, because routers and engines disagree
    /// on which of them counts.
    #[default]
    Refuse,
    /// The first value is used. The whole body is read before routing, and the
    /// other values are overwritten too, so that the engine sees one model.
    First,
    /// The last value is used; otherwise as [`First`](Self::First).
    Last,
}

impl DuplicateModels {
    pub(super) fn scanned(self) -> Duplicates {
        match self {
            Self::Refuse => Duplicates::Refuse,
            Self::First | Self::Last => Duplicates::Keep,
        }
    }
}
