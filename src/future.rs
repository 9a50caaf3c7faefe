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
use tower_service::Service;

use crate::{
    RouteDecision,
    body::{Held, Receive, Received, ResponseBody, RouteBody},
    dispatch::{Dispatch, Uploading, dispatch},
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
        span: RequestSpan,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Receiving {
            receive: Receive,
            config: Arc<Config>,
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

/// None, in the states, where a request is forwarded without being routed.
struct Routed {
    decision: RouteDecision,
    lease: Lease,
    uploading: Option<Uploading>,
    /// Whether the engine was asked to change the protocol.
    upgrade: bool,
}

impl<S> ResponseFuture<S>
where
    S: Service<Request<RouteBody>>,
{
    pub(crate) fn receive(
        span: RequestSpan,
        config: Arc<Config>,
        head: Parts,
        receive: Receive,
        inner: S,
    ) -> Self {
        Self {
            state: State::Receiving { receive, config },
            head: Some(head),
            inner: Some(inner),
            span,
        }
    }

    pub(crate) fn forward(span: RequestSpan, head: Parts, body: RouteBody, inner: S) -> Self {
        Self {
            state: State::Waiting { body, routed: None },
            head: Some(head),
            inner: Some(inner),
            span,
        }
    }

    pub(crate) fn answer(span: RequestSpan, response: Response<Bytes>) -> Self {
        Self {
            state: State::Answering {
                response: Some(response),
            },
            head: None,
            inner: None,
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
                StateProj::Receiving { receive, config } => {
                    let received = ready!(Pin::new(receive).poll(cx));
                    let head = this.head.as_mut().expect(COMPLETED);
                    dispatched(config, head, received, this.span)
                }
                StateProj::Waiting { body, routed } => {
                    let inner = this.inner.as_mut().expect(COMPLETED);
                    if let Err(error) = ready!(inner.poll_ready(cx)) {
                        this.state.set(State::Answering { response: None });
                        return Poll::Ready(Err(error));
                    }
                    let head = this.head.take().expect(COMPLETED);
                    let call = inner.call(Request::from_parts(head, std::mem::take(body)));
                    let routed = routed.take();
                    *this.inner = None;
                    State::Calling { call, routed }
                }
                StateProj::Calling { call, routed } => {
                    let result = ready!(call.poll(cx));
                    let routed = routed.take();
                    this.state.set(State::Answering { response: None });
                    return Poll::Ready(match routed {
                        Some(routed) => match cut_off(&routed, this.span) {
                            Some(response) => Ok(response),
                            None => result.map(|response| answered(response, routed, this.span)),
                        },
                        None => result.map(|response| {
                            response.map(|body| ResponseBody::upstream(body, None))
                        }),
                    });
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

fn dispatched<F>(
    config: &Config,
    head: &mut Parts,
    received: Result<Received, RouteError>,
    span: &RequestSpan,
) -> State<F> {
    match received.and_then(|received| dispatch(config, head, received)) {
        Ok(Dispatch {
            body,
            uploading,
            decision,
            lease,
        }) => {
            span.routed(&decision);
            head.extensions.insert(decision.clone());
            State::Waiting {
                body,
                routed: Some(Routed {
                    decision,
                    lease,
                    uploading,
                    upgrade: head.headers.contains_key(UPGRADE),
                }),
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

/// The answer where the client's upload failed on its way to the engine, which can only have
/// seen a part of it: whatever came of that does not count.
fn cut_off<R>(routed: &Routed, span: &RequestSpan) -> Option<Response<ResponseBody<R>>> {
    let uploading = routed.uploading.as_ref()?;
    let error = uploading.upload.failure()?;
    span.rejected(&error);
    let response = error.to_response(uploading.uri.path());
    let mut response = response.map(ResponseBody::own);
    response.extensions_mut().insert(routed.decision.clone());
    Some(response)
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

fn answered<R: Body>(
    mut response: Response<R>,
    routed: Routed,
    span: &RequestSpan,
) -> Response<ResponseBody<R>> {
    if let Some(error) = unasked_upgrade(&response, &routed) {
        span.rejected(&error);
        let mut response = error.to_response("").map(ResponseBody::own);
        response.extensions_mut().insert(routed.decision);
        return response;
    }
    let Routed {
        decision, lease, ..
    } = routed;
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

impl<S> fmt::Debug for ResponseFuture<S>
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
