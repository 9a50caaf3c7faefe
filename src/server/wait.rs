//! Waiting for an endpoint of a ModelServer.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::{
    balance::affinity::Caller,
    lease::Lease,
    model_server::{Pass, Server},
};

impl Server {
    /// Waits in the queue for a free endpoint that is not among the `tried`; `None`
    /// if that takes longer than the `queue_timeout`, or if the queue is full.
    ///
    /// The endpoint is one of the ModelServer as it then is: after a reload, that of
    /// the current table.
    pub(crate) fn wait(
        self: Arc<Self>,
        caller: Caller<'_>,
        tried: Vec<Arc<str>>,
    ) -> impl Future<Output = Option<Lease>> + Send + use<> {
        let key = self.balancer.key(caller);
        self.wait_by(key, tried)
    }

    async fn wait_by(self: Arc<Self>, key: Option<u64>, tried: Vec<Arc<str>>) -> Option<Lease> {
        let max = self.policy.get_max_queue();
        let queue = &self.live.queue;
        let place = match tried.is_empty() {
            true => queue.join(max)?,
            false => queue.join_again(max)?,
        };
        let lease = place.wait(|| {
            let server = self.current();
            let taken = server.take_freed(key, &tried);
            taken.ok_or_else(|| server.next_change())
        });
        let waited = timeout(self.policy.get_queue_timeout(), lease).await;
        waited.ok().flatten()
    }

    fn take_freed(self: &Arc<Self>, key: Option<u64>, tried: &[Arc<str>]) -> Option<Lease> {
        let healthy = self.pick_now(Pass::Healthy, key, tried, Lease::new);
        healthy.or_else(|| match self.has_healthy(tried) {
            true => None,
            false => self.pick_now(Pass::LastResort, key, tried, Lease::new),
        })
    }

    /// When the next endpoint that is out may come back by itself.
    fn next_change(&self) -> Option<Instant> {
        let endpoints = self.endpoints.iter();
        endpoints
            .filter_map(|endpoint| endpoint.health.state().until())
            .filter(|&until| Instant::now() < until)
            .min()
    }
}
