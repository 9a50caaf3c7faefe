//! The timeout of each attempt.
//!
//! This is the lowest of the crate's layers, so it is the first to observe how an
//! attempt ended, and settles the attempt in the exchange.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::timeout::error::Elapsed;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    attempt::{Exchange, ResponseBody, RouteBody, outcome_of_answer, outcome_of_error},
    error::BoxError,
};

/// Limits each attempt to the [`timeout`](crate::TrafficPolicy::timeout) of the
/// ModelServer that it goes to, and to the rest of the total timeout.
///
/// Its place is below the retries, right above the client. The time runs from
/// the call to the answer's head: it includes connecting, sending and waiting.
/// When it expires, the call is dropped, which ends the exchange with the
/// engine, and the error is tower's [`Elapsed`], which becomes a 504. An
/// answer's body may take any time; only its pauses are limited, by
/// [`stream_idle_timeout`](crate::TrafficPolicy::stream_idle_timeout).
///
/// This layer also classifies failed attempts: without it, an overload of a
/// layer below counts as a failure of the engine.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct AttemptTimeoutLayer(());

impl AttemptTimeoutLayer {
    /// Creates the layer. It has no options: the timeouts are in the table.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for AttemptTimeoutLayer {
    type Service = AttemptTimeout<S>;

    fn layer(&self, inner: S) -> AttemptTimeout<S> {
        AttemptTimeout { inner }
    }
}

/// The service made by [`AttemptTimeoutLayer`].
#[derive(Clone, Debug)]
pub struct AttemptTimeout<S> {
    inner: S,
}

impl<S, R> Service<Request<RouteBody>> for AttemptTimeout<S>
where
    S: Service<Request<RouteBody>, Response = Response<R>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = BoxError;
    type Future = AttemptTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<RouteBody>) -> Self::Future {
        let exchange = request.body().exchange().cloned();
        AttemptTimeoutFuture {
            deadline: exchange
                .as_ref()
                .and_then(|exchange| exchange.attempt_deadline()),
            sleep: None,
            exchange,
            call: self.inner.call(request),
        }
    }
}

pin_project! {
    /// The future of [`AttemptTimeout`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AttemptTimeoutFuture<F> {
        // None for a request that is forwarded without being routed.
        exchange: Option<Arc<Exchange>>,
        deadline: Option<Instant>,
        // Made only if the call is not ready at the first poll.
        #[pin]
        sleep: Option<Sleep>,
        #[pin]
        call: F,
    }
}

impl<F, R, E> Future for AttemptTimeoutFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
{
    type Output = Result<Response<ResponseBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = match this.call.poll(cx) {
            Poll::Ready(Ok(response)) => {
                Ok(response.map(|body| ResponseBody::upstream(body, None)))
            }
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => {
                let Some(deadline) = *this.deadline else {
                    return Poll::Pending;
                };
                if this.sleep.is_none() {
                    this.sleep.set(Some(sleep_until(deadline)));
                }
                if let Some(sleep) = this.sleep.as_pin_mut() {
                    ready!(sleep.poll(cx));
                }
                Err(Elapsed::new().into())
            }
        };
        if let Some(exchange) = this.exchange {
            exchange.settle(|| match &result {
                Ok(response) => outcome_of_answer(response),
                Err(error) => outcome_of_error(&**error),
            });
        }
        Poll::Ready(result)
    }
}

impl<F> fmt::Debug for AttemptTimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptTimeoutFuture")
            .finish_non_exhaustive()
    }
}
