//! Waiting for an endpoint of a ModelServer.

use std::sync::Arc;

use super::{
    balance::affinity::Caller,
    lease::Lease,
    model_server::{Pass, Server},
};

impl Server {
    /// Waits in the queue for a free endpoint; `None` if that takes longer than
    /// the `queue_timeout`, or if the queue is full.
    pub(crate) fn wait(
        self: Arc<Self>,
        caller: Caller<'_>,
    ) -> impl Future<Output = Option<Lease>> + Send + use<> {
        let key = self.balancer.key(caller);
        self.wait_by(key)
    }

    async fn wait_by(self: Arc<Self>, key: Option<u64>) -> Option<Lease> {
        let place = self.live.queue.join(self.policy.get_max_queue())?;
        let lease = place.wait(|| {
            self.pick_now(Pass::Healthy, key, &[], Lease::new)
                .or_else(|| self.pick_now(Pass::LastResort, key, &[], Lease::new))
        });
        let waited = tokio::time::timeout(self.policy.get_queue_timeout(), lease).await;
        waited.ok().flatten()
    }
}
