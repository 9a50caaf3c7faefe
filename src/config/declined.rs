//! The options for requests that an engine declines.

/// The part of a traffic policy that is about requests that an engine declines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
pub(super) struct Declined {
    pub(super) retry_unknown_model: bool,
    pub(super) retry_too_long: bool,
}

impl Default for Declined {
    fn default() -> Self {
        Self {
            retry_unknown_model: true,
            retry_too_long: false,
        }
    }
}
