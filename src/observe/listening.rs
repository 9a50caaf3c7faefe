//! A request, and its listeners.

use super::{facts::RequestFacts, observer::Observers};

/// What all that is told of one request has in common.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) request: RequestFacts,
    pub(super) observers: Observers,
}
