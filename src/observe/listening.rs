//! A request, and its listeners.

use super::{facts::RequestFacts, observer::Observers};

/// What all reports about one request have in common.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) request: RequestFacts,
    pub(super) observers: Observers,
}
