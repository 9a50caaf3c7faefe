//! Waiting for an endpoint of a ModelServer.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::{
    ask::Ask,
    key::Caller,
    lease::Lease,
    model_server::{Among, Pass, Server},
    wanted::{Kept, Wanted},
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
        let ask = self.ask(&caller);
        let wanted = Some(caller.model).filter(|wanted| self.some_lack(*wanted));
        let wanted = wanted.map(Wanted::keep);
        self.wait_by(ask, wanted, tried)
    }

    async fn wait_by(
        self: Arc<Self>,
        ask: Ask,
        wanted: Option<Kept>,
        tried: Vec<Arc<str>>,
    ) -> Option<Lease> {
        let max = self.policy.get_max_queue();
        let queue = &self.live.queue;
        // A request that can't go everywhere would hold up others in the line.
        let place = match tried.is_empty() && wanted.is_none() {
            true => queue.join(max)?,
            false => queue.join_again(max)?,
        };
        let lease = place.wait(|| {
            let server = self.current();
            let taken = server.take_freed(&ask, wanted.as_ref().map(Kept::wanted), &tried);
            taken.ok_or_else(|| server.next_change())
        });
        let waited = timeout(self.policy.get_queue_timeout(), lease).await;
        waited.ok().flatten()
    }

    fn take_freed(
        self: &Arc<Self>,
        ask: &Ask,
        wanted: Option<Wanted<'_>>,
        tried: &[Arc<str>],
    ) -> Option<Lease> {
        let among = |pass| Among {
            pass,
            wanted,
            tried,
        };
        let healthy = self.pick_now(among(Pass::Healthy), ask, Lease::new);
        healthy.or_else(|| match (self.has_healthy(tried, wanted), wanted) {
            (true, _) => None,
            (false, Some(_)) => self.take_freed(ask, None, tried),
            (false, None) => self.pick_now(among(Pass::LastResort), ask, Lease::new),
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
