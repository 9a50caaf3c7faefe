//! Remembers which engine keeps what an answer names.

use std::sync::Arc;

use http::HeaderMap;

use crate::{
    events::{Format, Ids},
    route::RouteDecision,
    server::{Home, Homes},
};

/// Reads the ids in an answer as it passes.
#[derive(Debug)]
pub(crate) struct LearnedIds {
    ids: Ids,
    homes: Arc<Homes>,
    home: Arc<Home>,
}

impl LearnedIds {
    /// `None` if an answer with these `headers` can't be read.
    pub(crate) fn new(headers: &HeaderMap, decision: &RouteDecision) -> Option<Self> {
        (Format::of(headers) != Format::Opaque).then(|| Self {
            ids: Ids::default(),
            homes: Arc::clone(decision.homes()),
            home: decision.home(),
        })
    }

    pub(super) fn read(&mut self, data: &[u8]) {
        let Self { ids, homes, home } = self;
        ids.read(data, |id| homes.learn(id, home));
    }
}
