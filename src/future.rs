//! The way of one request: receive, dispatch, call, answer.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    RouteDecision,
    body::{Held, Receive, Received, ResponseBody, RouteBody},
    dispatch::{Dispatch, dispatch},
    error::{RouteError, RouteErrorKind},
    layer::Config,
    rewrite,
    server::Lease,
    trace::RequestSpan,
};

pin_project! {
    /// The future of [`ModelRouteService`](crate::ModelRouteService).
    ///
    /// Dropping it drops the upload, the call to the engine and the in-flight
    /// count with it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<RouteBody>>,
    {
        #[pin]
        state: State<B, S::Future>,
        // None once it was called: what it holds is not held during the call.
        inner: Option<S>,
        span: RequestSpan,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<B, F> {
        Receiving {
            #[pin]
            receive: Receive<B>,
            config: Arc<Config>,
            head: Option<Parts>,
        },
        // The request is complete and waits for the inner service to be ready.
        Waiting {
            request: Option<Request<RouteBody>>,
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

/// None, in the states, where a request is forwarded without being routed.
struct Routed {
    decision: RouteDecision,
    lease: Lease,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<RouteBody>>,
{
    pub(crate) fn receive(
        span: RequestSpan,
        config: Arc<Config>,
        head: Parts,
        body: B,
        inner: S,
    ) -> Self {
        Self {
            state: State::Receiving {
                receive: Receive::new(body, config.max_body_bytes, config.body_timeout),
                config,
                head: Some(head),
            },
            inner: Some(inner),
            span,
        }
    }

    pub(crate) fn forward(span: RequestSpan, inner: S, request: Request<RouteBody>) -> Self {
        Self {
            state: State::Waiting {
                request: Some(request),
                routed: None,
            },
            inner: Some(inner),
            span,
        }
    }

    pub(crate) fn answer(span: RequestSpan, response: Response<Bytes>) -> Self {
        Self {
            state: State::Answering {
                response: Some(response),
            },
            inner: None,
            span,
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<RouteBody>, Response = Response<R>>,
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
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
                    config,
                    head,
                } => {
                    let received = ready!(receive.poll(cx));
                    let head = head.take().expect(COMPLETED);
                    dispatched(config, head, received, this.span)
                }
                StateProj::Waiting { request, routed } => {
                    let inner = this.inner.as_mut().expect(COMPLETED);
                    if let Err(error) = ready!(inner.poll_ready(cx)) {
                        this.state.set(State::Answering { response: None });
                        return Poll::Ready(Err(error));
                    }
                    let call = inner.call(request.take().expect(COMPLETED));
                    let routed = routed.take();
                    *this.inner = None;
                    State::Calling { call, routed }
                }
                StateProj::Calling { call, routed } => {
                    let result = ready!(call.poll(cx));
                    let routed = routed.take();
                    this.state.set(State::Answering { response: None });
                    return Poll::Ready(result.map(|response| match routed {
                        Some(routed) => answered(response, routed, this.span),
                        None => response.map(|body| ResponseBody::upstream(body, None)),
                    }));
                }
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

fn dispatched<B, F>(
    config: &Config,
    mut head: Parts,
    received: Result<Received, RouteError>,
    span: &RequestSpan,
) -> State<B, F> {
    match received.and_then(|received| dispatch(config, &mut head, received)) {
        Ok(Dispatch {
            body,
            decision,
            lease,
        }) => {
            span.routed(&decision);
            let mut request = Request::from_parts(head, body);
            request.extensions_mut().insert(decision.clone());
            State::Waiting {
                request: Some(request),
                routed: Some(Routed { decision, lease }),
            }
        }
        Err(error) => {
            span.rejected(&error);
            State::Answering {
                response: Some(error.to_response(head.uri.path())),
            }
        }
    }
}

fn answered<R: Body>(
    mut response: Response<R>,
    Routed { decision, lease }: Routed,
    span: &RequestSpan,
) -> Response<ResponseBody<R>> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return unasked_upgrade(decision, span);
    }
    let error = response.extensions().get::<RouteError>();
    span.answered(response.status(), &decision, error);
    rewrite::response_head(&mut response);
    response.extensions_mut().insert(decision);
    let held = Held {
        lease,
        span: span.clone(),
    };
    response.map(|body| ResponseBody::upstream(body, Some(held)))
}

/// No Upgrade is passed on to the engine, so the client can't make sense of an answer to one.
fn unasked_upgrade<R>(decision: RouteDecision, span: &RequestSpan) -> Response<ResponseBody<R>> {
    let error = RouteError::new(
        RouteErrorKind::UpstreamUnreachable,
        "the engine's answer is not one to this request",
    );
    span.rejected(&error);
    let mut response = error.to_response("").map(ResponseBody::own);
    response.extensions_mut().insert(decision);
    response
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<RouteBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Receiving { .. } => "receiving",
            State::Waiting { .. } => "waiting",
            State::Calling { .. } => "calling",
            State::Answering { .. } => "answering",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
