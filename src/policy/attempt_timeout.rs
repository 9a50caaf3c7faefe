//! The timeout of each attempt.
//!
//! This is the lowest of the crate's layers, so it is the first to observe how an
//! attempt ended, and settles the attempt in the exchange.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::timeout::error::Elapsed;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    clock::{Clock, Over, Stage},
    first_event::{Gate, Opening, other_type},
    readdress::follow,
    refusal::{Looks, Reading},
};
use crate::{
    attempt::{Exchange, ResponseBody, RouteBody, Timed, outcome_of_answer, outcome_of_error},
    error::{BoxError, RouteError},
    observe::AttemptSpan,
    server::Outcome,
    wire::rewrite,
};

/// Limits each attempt to the [`timeout`](crate::TrafficPolicy::timeout) of the
/// ModelServer that it goes to, and to the rest of the total timeout.
///
/// Its place is below the retries, right above the client. The time runs from
/// the call to the answer's head: it includes connecting, sending and waiting.
/// When it expires, the call is dropped, which ends the exchange with the
/// engine, and the error is tower's [`Elapsed`], which becomes a 504. An
/// answer's body may take any length of time; only its pauses are limited, by
/// [`stream_idle_timeout`](crate::TrafficPolicy::stream_idle_timeout).
///
/// This layer also classifies failed attempts. In particular it reads the body of a 503, 404 or 400
/// in JSON of up to 4 KiB before it passes it on: an engine says only there that it is busy, that
/// it does not have the model ([`retry_unknown_model`](crate::TrafficPolicy::retry_unknown_model)),
/// or that the request is too long ([`retry_too_long`](crate::TrafficPolicy::retry_too_long)). Such
/// a body has the rest of the attempt's timeout, and at most `stream_idle_timeout` from the head
/// on. If it takes longer or breaks off, only the status counts, and the answer is passed on as it
/// is. An answer with a transfer coding other than `chunked`, which nobody asked for (RFC 9112
/// section 7.4), is a failed attempt.
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
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = BoxError;
    type Future = AttemptTimeoutFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<RouteBody>) -> Self::Future {
        follow(&mut request);
        let exchange = request.body().exchange();
        let (times, timed) = exchange.map(|exchange| exchange.attempt_times()).unzip();
        let times = times.unwrap_or_default();
        let span = span(&mut request, timed.as_ref().map(Timed::exchange));
        let exchange = timed.as_ref().map(Timed::exchange);
        let gate = exchange.filter(|_| times.is_gated).and_then(Gate::of);
        let looks = exchange.map(|_| Looks::of(&times));
        let call = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        AttemptTimeoutFuture {
            clock: Clock::new(times),
            gate,
            looks,
            timed,
            span,
            phase: Phase::Calling { call },
        }
    }
}

fn span(request: &mut Request<RouteBody>, exchange: Option<&Exchange>) -> AttemptSpan {
    let Some(exchange) = exchange else {
        return AttemptSpan::none();
    };
    let method = request.method().clone();
    let level = exchange.span_level();
    AttemptSpan::new(level, &method, request.headers_mut(), || {
        exchange.decision()
    })
}

pin_project! {
    /// The future of [`AttemptTimeout`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AttemptTimeoutFuture<F, R> {
        // None for a request that is forwarded without being routed, and once the attempt has ended.
        timed: Option<Timed>,
        span: AttemptSpan,
        #[pin]
        clock: Clock,
        // Holds the answer back until its first content event.
        gate: Option<Gate>,
        // None for the same.
        looks: Option<Looks>,
        #[pin]
        phase: Phase<F, R>,
    }
}

pin_project! {
    #[project = PhaseProj]
    enum Phase<F, R> {
        Calling { #[pin] call: F },
        // A short error that may say more than its status.
        Reading { reading: Option<Box<Reading<R>>> },
        // Held back until its first content event.
        Opening { opening: Option<Box<Opening<R>>> },
    }
}

/// An attempt that has ended, and what it says about the endpoint.
type Ended<R> = (Result<Response<ResponseBody<R>>, BoxError>, Outcome);

impl<F, R, E> Phase<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        (looks, gate): (Option<Looks>, Option<Gate>),
        exchange: Option<&Exchange>,
    ) -> Poll<Ended<R>> {
        loop {
            let response = match self.as_mut().project() {
                PhaseProj::Calling { call } => match ready!(call.poll(cx)) {
                    Ok(response) => match check(&response, exchange) {
                        Ok(()) => response,
                        Err(error) => return Poll::Ready(failed(error.into())),
                    },
                    Err(error) => return Poll::Ready(failed(error.into())),
                },
                PhaseProj::Reading { reading } => {
                    let read = reading.as_mut().map(|reading| reading.poll(cx));
                    ready!(read.expect("polled after completion"));
                    let reading = reading.take().expect("it was there");
                    let (response, outcome) = reading.into_read(exchange);
                    return Poll::Ready((Ok(response), outcome));
                }
                PhaseProj::Opening { opening } => {
                    let open = opening.as_mut().map(|opening| opening.poll(cx));
                    let opened = ready!(open.expect("polled after completion"));
                    let opening = opening.take().expect("it was there");
                    return Poll::Ready(match opening.into_read(opened) {
                        Ok((response, outcome)) => (Ok(response), outcome),
                        // Some of the answer was there, so this is no lost connection.
                        Err(error) => (Err(error), Outcome::Failed),
                    });
                }
            };
            let looks = looks.filter(|looks| looks.reads(&response));
            let next = match (gate.filter(|_| response.status().is_success()), looks) {
                (Some(gate), _) if gate.refuses(response.headers()) => {
                    return Poll::Ready((Err(other_type()), Outcome::Failed));
                }
                (Some(gate), _) => Self::Opening {
                    opening: Some(Opening::new(gate.dialect, response)),
                },
                (None, Some(looks)) => Self::Reading {
                    reading: Some(Reading::new(looks, response)),
                },
                (None, None) => {
                    let outcome = outcome_of_answer(&response);
                    let response = response.map(ResponseBody::passed_on);
                    return Poll::Ready((Ok(response), outcome));
                }
            };
            self.set(next);
        }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Calling { .. } => Stage::Nothing,
            Self::Reading { .. } => Stage::Error,
            Self::Opening { .. } => Stage::Held,
        }
    }

    /// The attempt has no time left. An error whose body is still read is an answer all the same,
    /// and its status says whether another attempt may follow; one that has stalled breaks off.
    fn out_of_time(self: Pin<&mut Self>, over: Over) -> Ended<R> {
        let PhaseProj::Reading { reading } = self.project() else {
            return (Err(Elapsed::new().into()), over.outcome());
        };
        let mut reading = reading.take().expect("polled after completion");
        if over == Over::Idle {
            reading.stalled();
        }
        let (response, outcome) = reading.into_read(None);
        (Ok(response), outcome)
    }
}

/// Fails if nobody can read the answer to a routed request. (Most have a length, and so no transfer
/// coding.)
fn check<R: Body>(response: &Response<R>, exchange: Option<&Exchange>) -> Result<(), RouteError> {
    match response.body().size_hint().exact() {
        None if exchange.is_some() => rewrite::check_transfer(response),
        _ => Ok(()),
    }
}

fn failed<R>(error: BoxError) -> Ended<R> {
    let outcome = outcome_of_error(&*error);
    (Err(error), outcome)
}

impl<F, R, E> Future for AttemptTimeoutFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let entered = this.span.enter();
        let exchange = this.timed.as_ref().map(Timed::exchange);
        let finds = (*this.looks, *this.gate);
        let (result, outcome) = match this.phase.as_mut().poll(cx, finds, exchange) {
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                let slow = || exchange.iter().for_each(|exchange| exchange.is_slow());
                let over = ready!(this.clock.poll(cx, this.phase.stage(), slow));
                this.phase.out_of_time(over)
            }
        };
        drop(entered);
        let status = result.as_ref().ok().map(Response::status);
        this.span.ended(status, outcome);
        if let Some(timed) = this.timed.take() {
            let exchange = timed.exchange();
            if let Err(error) = &result {
                exchange.complain(outcome, &**error);
            }
            exchange.settle(|| outcome);
        }
        Poll::Ready(result)
    }
}

impl<F, R> fmt::Debug for AttemptTimeoutFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptTimeoutFuture")
            .finish_non_exhaustive()
    }
}
