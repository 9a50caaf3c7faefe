//! `/healthz` and `/readyz`, for those who start and stop gateways.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, http::StatusCode, routing::get};

/// Whether new requests should come here.
#[derive(Clone, Default)]
pub(crate) struct Health {
    is_leaving: Arc<AtomicBool>,
}

impl Health {
    /// From now on `/readyz` says that requests should go elsewhere.
    pub(crate) fn leave(&self) {
        self.is_leaving.store(true, Ordering::SeqCst);
    }

    /// Adds both paths to `app`, outside of the layers that it has.
    pub(crate) fn mount(&self, app: Router) -> Router {
        let health = self.clone();
        let ready = async move || match health.is_leaving.load(Ordering::SeqCst) {
            false => (StatusCode::OK, "ready\n"),
            true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        };
        app.route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
    }
}
