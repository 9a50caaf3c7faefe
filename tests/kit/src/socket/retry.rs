//! A custom retry policy.

use std::future::{Ready, ready};

use http::{Request, Response, StatusCode};
use tower::retry::Policy;
use tower_model_route::RouteBody;

/// Sends a request again where the engine says 503, if all of it is still there.
#[derive(Clone, Debug)]
pub(super) struct OnUnavailable {
    left: usize,
}

impl OnUnavailable {
    pub(super) fn new(retries: usize) -> Self {
        Self { left: retries }
    }
}

impl<R, E> Policy<Request<RouteBody>, Response<R>, E> for OnUnavailable {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<RouteBody>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Ready<()>> {
        let failed =
            matches!(result, Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE);
        // What could be sent again when it was cloned may have become too large.
        if !failed || !request.body().is_replayable() {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<RouteBody>) -> Option<Request<RouteBody>> {
        request.body().is_replayable().then(|| request.clone())
    }
}
