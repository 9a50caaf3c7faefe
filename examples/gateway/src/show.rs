//! Shows the way of each request: to its client in headers, to people in a line.

use std::{
    error::Error,
    fmt::{self, Display},
    iter,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{Extensions, HeaderName, HeaderValue, Method, Response},
    middleware::Next,
};
use http_body::{Frame, SizeHint};
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
            // A name may hold what a header may not, and the engine's own headers may leave no
            // room for more; then the client is not told.
            if let Ok(value) = HeaderValue::from_str(value) {
                _ = response.headers_mut().try_insert(name, value);
            }
        }
    }
    response
}

/// Prints a line when the answer has ended: a stream that breaks off is no plain 200.
pub(crate) async fn line(request: Request, next: Next) -> axum::response::Response {
    let method = request.method().clone();
    let is_head = method == Method::HEAD;
    let path = request.uri().path().to_owned();
    let begun = Instant::now();
    let response = next.run(request).await;
    let line = Line {
        begun,
        status: response.status().as_u16(),
        what: format!("{method} {path}  {}", Way(response.extensions())),
    };
    response.map(|body| {
        Body::new(Told {
            line: Some(line),
            is_read: !is_head,
            body,
        })
    })
}

struct Line {
    begun: Instant,
    status: u16,
    what: String,
}

impl Line {
    fn say(self, end: &str) {
        let Self {
            begun,
            status,
            what,
        } = self;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        say(format_args!("{status} {took:7.1} ms  {what}{end}"));
    }
}

/// An answer's body, of which a line tells how it ended.
struct Told {
    line: Option<Line>,
    /// The answer to a HEAD has a body that nobody reads.
    is_read: bool,
    body: Body,
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => this.end(""),
            Some(Err(error)) => {
                let causes: Vec<_> =
                    iter::successors(Some(error as &dyn Error), |&error| error.source())
                        .map(ToString::to_string)
                        .collect();
                this.end(&format!(
                    " broken off: {}",
                    plain(causes.last().map_or("", |cause| cause))
                ));
            }
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Told {
    fn end(&mut self, end: &str) {
        if let Some(line) = self.line.take() {
            line.say(end);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // Nobody asks for more once all is there; a client that has left asks no more either.
        let end = match self.is_read && !self.body.is_end_stream() {
            true => " the client has left",
            false => "",
        };
        self.end(end);
    }
}

/// What others have written must not write to the terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
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
                write!(f, "{gap}{}", plain(&Reason(error).to_string()))
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
