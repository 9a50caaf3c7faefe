//! `/healthz` and `/readyz`, for those who start and stop gateways.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use axum::{Router, http::StatusCode, routing::get};

/// Whether new requests should come here. At first they should not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<AtomicU8>);

const STARTING: u8 = 0;
const READY: u8 = 1;
const LEAVING: u8 = 2;

impl Health {
    /// From now on `/readyz` says that requests may come, unless they were to go elsewhere already.
    pub(crate) fn serve(&self) {
        self.0.fetch_max(READY, Ordering::SeqCst);
    }

    /// From now on `/readyz` says that requests should go elsewhere.
    pub(crate) fn leave(&self) {
        self.0.fetch_max(LEAVING, Ordering::SeqCst);
    }

    fn ready(&self) -> (StatusCode, &'static str) {
        match self.0.load(Ordering::SeqCst) {
            STARTING => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            READY => (StatusCode::OK, "ready\n"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        }
    }

    /// Adds both paths to `app`, outside of the layers that it has.
    pub(crate) fn mount(&self, app: Router) -> Router {
        let health = self.clone();
        app.route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(async move || health.ready()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_from_the_first_table_until_it_is_to_stop() {
        let health = Health::default();
        assert_eq!(health.ready().0, 503);
        health.serve();
        assert_eq!(health.ready().0, 200);
        health.leave();
        assert_eq!(health.ready().0, 503);
        // What was late.
        health.serve();
        assert_eq!(
            health.ready(),
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        );
    }
}
