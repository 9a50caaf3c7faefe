//! The way of one request: receive, dispatch, call, answer.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::UPGRADE, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::{
    dispatch::{Dispatch, Matched, Turn},
    options::Config,
};
use crate::{
    attempt::{Exchange, Held, ResponseBody, RouteBody, outcome_of_answer},
    error::{RouteError, RouteErrorKind, Shape},
    observe::RequestSpan,
    route::{Chosen, CompiledTable},
    server::{Lease, Outcome, Server},
    upload::Receive,
    wire::rewrite,
};

pin_project! {
    /// The future of [`ModelRouteService`](crate::ModelRouteService).
    ///
    /// Dropping it drops the upload, the call to the engine and the in-flight
    /// count with it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S>
    where
        S: Service<Request<RouteBody>>,
    {
        #[pin]
        state: State<S::Future>,
        // Stays in its place until the request is sent: moving it costs.
        head: Option<Parts>,
        // None once it was called: what it holds is not held during the call.
        inner: Option<S>,
        // Set where the whole has a time limit.
        timer: Timer,
        span: RequestSpan,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Receiving {
            receive: Receive,
            table: Arc<CompiledTable>,
            config: Arc<Config>,
        },
        // All endpoints are full: it waits for one of this target to become free.
        Queueing {
            queued: Option<Box<Queued>>,
        },
        // The request is complete and waits for the inner service to be ready.
        Waiting {
            body: RouteBody,
            routed: Option<Routed>,
        },
        Calling {
            #[pin]
            call: F,
            routed: Option<Routed>,
        },
        Answering {
            response: Option<Response<Bytes>>,
        },
    }
}

struct Queued {
    matched: Matched,
    config: Arc<Config>,
    target: u32,
    wait: Pin<Box<dyn Future<Output = Option<Lease>> + Send>>,
}

/// None, in the states, where a request is forwarded without being routed.
struct Routed {
    exchange: Arc<Exchange>,
    /// What the client's errors look like.
    shape: Shape,
    /// Whether the engine was asked to change the protocol.
    upgrade: bool,
}

impl Drop for Routed {
    /// Whoever still holds the request, nobody waits for its answer.
    fn drop(&mut self) {
        self.exchange.abandon();
    }
}

impl<S> ResponseFuture<S>
where
    S: Service<Request<RouteBody>>,
{
    pub(crate) fn receive(
        span: RequestSpan,
        config: Arc<Config>,
        table: Arc<CompiledTable>,
        head: Parts,
        receive: Receive,
        inner: S,
    ) -> Self {
        let state = State::Receiving {
            receive,
            table,
            config,
        };
        Self::new(state, Some(head), Some(inner), span)
    }

    pub(crate) fn forward(span: RequestSpan, head: Parts, body: RouteBody, inner: S) -> Self {
        let state = State::Waiting { body, routed: None };
        Self::new(state, Some(head), Some(inner), span)
    }

    pub(crate) fn answer(span: RequestSpan, response: Response<Bytes>) -> Self {
        let response = Some(response);
        Self::new(State::Answering { response }, None, None, span)
    }

    fn new(
        state: State<S::Future>,
        head: Option<Parts>,
        inner: Option<S>,
        span: RequestSpan,
    ) -> Self {
        Self {
            state,
            head,
            inner,
            timer: None,
            span,
        }
    }
}

impl<S, R> Future for ResponseFuture<S>
where
    S: Service<Request<RouteBody>, Response = Response<R>>,
    R: Body,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _entered = this.span.enter();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Receiving {
                    receive,
                    table,
                    config,
                } => {
                    let received = ready!(Pin::new(&mut *receive).poll(cx));
                    let head = this.head.as_mut().expect(COMPLETED);
                    let received = match received {
                        Ok(received) if received.lacks(|model| table.reads_body_of(model)) => {
                            *receive = received.read_on();
                            continue;
                        }
                        received => received,
                    };
                    let matched = received
                        .and_then(|received| Matched::new(Arc::clone(table), head, received))
                        .and_then(|matched| Ok((matched.choose(head)?, matched)));
                    match matched {
                        Err(error) => rejected(&error, head, this.span),
                        Ok((Turn::Now(chosen), matched)) => {
                            *this.timer = timer(matched.server(chosen.0));
                            sent(matched, config, head, chosen, this.timer, this.span)
                        }
                        Ok((Turn::Later(target), matched)) => {
                            *this.timer = timer(matched.server(target));
                            State::Queueing {
                                queued: Some(Box::new(Queued {
                                    wait: Box::pin(matched.wait(head, target)),
                                    matched,
                                    config: Arc::clone(config),
                                    target,
                                })),
                            }
                        }
                    }
                }
                StateProj::Queueing { queued } => {
                    let wait = &mut queued.as_mut().expect(COMPLETED).wait;
                    let lease = match wait.as_mut().poll(cx) {
                        Poll::Ready(lease) => lease,
                        Poll::Pending => {
                            ready!(poll_timer(this.timer, cx));
                            None
                        }
                    };
                    let head = this.head.as_mut().expect(COMPLETED);
                    let queued = queued.take().expect(COMPLETED);
                    match lease {
                        Some(lease) => {
                            let chosen = (queued.target, lease);
                            let Queued {
                                matched, config, ..
                            } = *queued;
                            sent(matched, &config, head, chosen, this.timer, this.span)
                        }
                        None => rejected(&queued.matched.overloaded(), head, this.span),
                    }
                }
                StateProj::Waiting { body, routed } => {
                    let inner = this.inner.as_mut().expect(COMPLETED);
                    match inner.poll_ready(cx) {
                        Poll::Ready(Ok(())) => {
                            let head = this.head.take().expect(COMPLETED);
                            let call = inner.call(Request::from_parts(head, std::mem::take(body)));
                            let routed = routed.take();
                            *this.inner = None;
                            State::Calling { call, routed }
                        }
                        Poll::Ready(Err(error)) => {
                            this.state.set(State::Answering { response: None });
                            return Poll::Ready(Err(error));
                        }
                        Poll::Pending => {
                            ready!(poll_timer(this.timer, cx));
                            timed_out(routed.take(), Outcome::Shed, this.span)
                        }
                    }
                }
                StateProj::Calling { call, routed } => match call.poll(cx) {
                    Poll::Ready(result) => {
                        let routed = routed.take();
                        this.state.set(State::Answering { response: None });
                        return Poll::Ready(match routed {
                            Some(routed) => answered(result, routed, this.span),
                            None => result.map(|response| {
                                response.map(|body| ResponseBody::upstream(body, None))
                            }),
                        });
                    }
                    Poll::Pending => {
                        ready!(poll_timer(this.timer, cx));
                        timed_out(routed.take(), Outcome::TimedOut, this.span)
                    }
                },
                StateProj::Answering { response } => {
                    let response = response.take().expect(COMPLETED);
                    return Poll::Ready(Ok(response.map(ResponseBody::own)));
                }
            };
            this.state.set(next);
        }
    }
}

/// Only a caller that polls on after the end can see it.
const COMPLETED: &str = "ResponseFuture polled after completion";

/// Ready when there must be an answer, which is no later than the clock can say.
type Timer = Option<Pin<Box<Sleep>>>;

fn timer(server: &Server) -> Timer {
    let timeout = server.policy.get_total_timeout()?;
    let until = Instant::now().checked_add(timeout)?;
    Some(Box::pin(sleep_until(until)))
}

/// Never ready where no time is set.
fn poll_timer(timer: &mut Timer, cx: &mut Context<'_>) -> Poll<()> {
    match timer {
        Some(timer) => timer.as_mut().poll(cx),
        None => Poll::Pending,
    }
}

fn sent<F>(
    matched: Matched,
    config: &Config,
    head: &mut Parts,
    chosen: Chosen,
    timer: &Timer,
    span: &RequestSpan,
) -> State<F> {
    let deadline = timer.as_ref().map(|timer| timer.deadline());
    match matched.dispatch(config, head, chosen, deadline, span) {
        Ok(Dispatch {
            body,
            exchange,
            shape,
        }) => State::Waiting {
            body,
            routed: Some(Routed {
                exchange,
                shape,
                upgrade: head.headers.contains_key(UPGRADE),
            }),
        },
        Err(error) => rejected(&error, head, span),
    }
}

fn rejected<F>(error: &RouteError, head: &Parts, span: &RequestSpan) -> State<F> {
    span.rejected(error);
    State::Answering {
        response: Some(error.to_response(head.uri.path())),
    }
}

/// The total timeout has passed.
fn timed_out<F>(routed: Option<Routed>, outcome: Outcome, span: &RequestSpan) -> State<F> {
    let response = routed.map(|routed| {
        routed.exchange.settle(|| outcome);
        own_answer(&RouteError::upstream_timeout(), &routed, span)
    });
    State::Answering { response }
}

fn answered<R: Body, E>(
    result: Result<Response<R>, E>,
    routed: Routed,
    span: &RequestSpan,
) -> Result<Response<ResponseBody<R>>, E> {
    routed.exchange.settle(|| match &result {
        Ok(response) => outcome_of_answer(response),
        Err(_) => Outcome::Failed,
    });
    // Where the client's upload failed on its way, the engine can only have
    // seen a part of it: whatever came of that does not count.
    if let Some(error) = routed.exchange.upload_failure() {
        return Ok(own_answer(&error, &routed, span).map(ResponseBody::own));
    }
    let mut response = result?;
    if let Some(error) = unasked_upgrade(&response, &routed) {
        return Ok(own_answer(&error, &routed, span).map(ResponseBody::own));
    }
    let (decision, lease) = routed.exchange.finish();
    let error = response.extensions().get::<RouteError>();
    span.answered(response.status(), &decision, error);
    rewrite::response_head(&mut response);
    let idle_timeout = decision.policy().get_stream_idle_timeout();
    response.extensions_mut().insert(decision);
    let held = Held::new(lease, idle_timeout, span.clone());
    Ok(response.map(|body| ResponseBody::upstream(body, Some(held))))
}

/// An answer of ours to a request that was routed.
fn own_answer(error: &RouteError, routed: &Routed, span: &RequestSpan) -> Response<Bytes> {
    span.rejected(error);
    let mut response = error.answer(routed.shape);
    response.extensions_mut().insert(routed.exchange.decision());
    response
}

/// An engine that changes the protocol without having been asked makes no sense to the client.
fn unasked_upgrade<R>(response: &Response<R>, routed: &Routed) -> Option<RouteError> {
    (response.status() == StatusCode::SWITCHING_PROTOCOLS && !routed.upgrade).then(|| {
        RouteError::new(
            RouteErrorKind::UpstreamUnreachable,
            "the engine's answer is not one to this request",
        )
    })
}

impl<S> fmt::Debug for ResponseFuture<S>
where
    S: Service<Request<RouteBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Receiving { .. } => "receiving",
            State::Queueing { .. } => "queueing",
            State::Waiting { .. } => "waiting",
            State::Calling { .. } => "calling",
            State::Answering { .. } => "answering",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
