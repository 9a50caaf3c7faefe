//! Shows the way of each request: to its client in headers, to people in a line.

use std::{
    error::Error,
    fmt::{self, Display},
    iter,
    time::Instant,
};

use axum::{
    extract::Request,
    http::{Extensions, HeaderName, HeaderValue, Response},
    middleware::Next,
};
use tower_model_route::{RouteDecision, RouteError};

use crate::print::say;

pub(crate) const ROUTE: HeaderName = HeaderName::from_static("x-model-route-name");
pub(crate) const RULE: HeaderName = HeaderName::from_static("x-model-route-rule");
pub(crate) const SERVER: HeaderName = HeaderName::from_static("x-model-route-server");
pub(crate) const ENDPOINT: HeaderName = HeaderName::from_static("x-model-route-endpoint");

/// Adds the decision, where there is one; the address of the engine only if clients may know it.
pub(crate) fn with_headers<B>(mut response: Response<B>, endpoints: bool) -> Response<B> {
    if let Some(decision) = response.extensions().get::<RouteDecision>().cloned() {
        for (name, value) in [
            (ROUTE, decision.route()),
            (RULE, decision.rule()),
            (SERVER, decision.model_server()),
            (ENDPOINT, decision.endpoint()),
        ] {
            if name == ENDPOINT && !endpoints {
                continue;
            }
            // A name may hold what a header may not; then the client is not told.
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

/// Prints a line when the head of the answer is there; a stream's body is still to come.
pub(crate) async fn line(request: Request, next: Next) -> axum::response::Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let begun = Instant::now();
    let response = next.run(request).await;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let status = response.status().as_u16();
    let way = Way(response.extensions());
    say(format_args!(
        "{status} {took:7.1} ms  {method} {path}  {way}"
    ));
    response
}

/// Where a request went, or why it did not.
struct Way<'a>(&'a Extensions);

impl Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = self.0.get::<RouteDecision>();
        let error = self.0.get::<RouteError>();
        if let Some(decision) = decision {
            write!(
                f,
                "model={} route={} rule={} server={} endpoint={}",
                decision.requested_model(),
                decision.route(),
                decision.rule(),
                decision.model_server(),
                decision.endpoint(),
            )?;
            if decision.attempts() > 1 {
                write!(f, " attempts={}", decision.attempts())?;
            }
        }
        match error {
            Some(error) => {
                let gap = if decision.is_some() { " " } else { "" };
                // It quotes the client, who must not write to the terminal.
                let reason = Reason(error).to_string();
                write!(f, "{gap}{}", reason.replace(char::is_control, "\u{fffd}"))
            }
            None if decision.is_none() => f.write_str("answered by the gateway"),
            None => Ok(()),
        }
    }
}

/// An error with what caused it.
struct Reason<'a>(&'a RouteError);

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.0.status().is_client_error() {
            "rejected"
        } else {
            "failed"
        };
        write!(f, "{what}: {} ({})", self.0, self.0.kind().code())?;
        iter::successors(self.0.source(), |&cause| cause.source())
            .try_for_each(|cause| write!(f, ": {cause}"))
    }
}
