//! The endpoints among which one is chosen.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::server::endpoint::Endpoint;

/// Where an endpoint is chosen.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// Those that the balancer was made for, in the same order.
    pub(crate) endpoints: &'a [Arc<Endpoint>],
    /// The requests in flight to all of them, which few need to know.
    pub(crate) total: &'a dyn Fn() -> usize,
    /// If it takes time, an endpoint that is new or back gets only a share of its turns, and none
    /// of an endpoint that is warmer, or a share of its keys; unless no other endpoint is usable.
    pub(crate) slow_start: Duration,
    /// The tokens that a request counts as whose tokens are not known.
    pub(crate) typical: &'a dyn Fn() -> u64,
    /// Whether the request has been sent before. Then it takes nobody's turn and is drawn at
    /// random: neighbours in a list, such as the Pods of a rollout, often fail together, and one
    /// attempt after the other would meet them all.
    pub(crate) is_sent_again: bool,
}

impl Scene<'_> {
    /// The requests in flight to an endpoint, and what counts like them.
    pub(super) fn load(&self, position: usize) -> usize {
        let endpoint = self.endpoints.get(position);
        endpoint.map_or(0, |endpoint| endpoint.load())
    }

    /// The tokens in flight to an endpoint.
    pub(super) fn tokens(&self, position: usize) -> u64 {
        let endpoint = self.endpoints.get(position);
        endpoint.map_or(0, |endpoint| endpoint.tokens((self.typical)()))
    }

    /// What one more request there costs in time.
    pub(super) fn cost_of_latency(&self, position: usize, now: Instant) -> f64 {
        let endpoint = self.endpoints.get(position);
        endpoint.map_or(0.0, |endpoint| endpoint.latency.cost(endpoint.load(), now))
    }
}
