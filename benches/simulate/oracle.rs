//! A choice that knows every engine's cache and load.

use std::sync::Arc;

use tower_model_route::{Candidate, ChooseEndpoint, EndpointRequest, RequestHead};

use crate::{engine::Engine, run, trace::Turn};

/// Where the request would have its first content soonest.
pub struct Oracle {
    pub engines: Vec<Arc<Engine>>,
    pub turns: Vec<Arc<Turn>>,
}

impl ChooseEndpoint for Oracle {
    fn key(&self, head: &RequestHead<'_>) -> Option<u64> {
        run::turn(head.headers()).map(|turn| turn as u64)
    }

    fn choose(&self, request: &EndpointRequest<'_>, all: &[Candidate<'_>]) -> Option<usize> {
        let turn = self.turns.get(request.key()? as usize)?;
        let foreseen = |at: &usize| {
            let host = all[*at].uri().trim_start_matches("http://");
            let engine = run::engine(host).and_then(|engine| self.engines.get(engine));
            engine.map(|engine| (engine.foresee(turn), all[*at].in_flight()))
        };
        (0..all.len()).min_by_key(foreseen)
    }
}
