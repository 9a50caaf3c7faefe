//! The way of one request: receive, dispatch, call, answer.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower_service::Service;

use crate::{
    RouteDecision,
    body::{Held, Receive, ResponseBody, RouteBody},
    dispatch::{Dispatch, dispatch},
    error::RouteError,
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
        state: State<S, B>,
        span: RequestSpan,
    }
}

pin_project! {
    #[project = StateProj]
    #[project_replace = StateOwned]
    enum State<S, B>
    where
        S: Service<Request<RouteBody>>,
    {
        Receiving {
            #[pin]
            receive: Receive<B>,
            config: Arc<Config>,
            head: Parts,
            inner: S,
        },
        Calling {
            #[pin]
            call: Oneshot<S, Request<RouteBody>>,
            // None where the request was forwarded without being routed.
            routed: Option<(RouteDecision, Lease)>,
        },
        Answering {
            response: Response<Bytes>,
        },
        Done,
    }
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
        let receive = Receive::new(body, config.max_body_bytes, config.body_timeout);
        let state = State::Receiving {
            receive,
            config,
            head,
            inner,
        };
        Self { state, span }
    }

    pub(crate) fn forward(span: RequestSpan, inner: S, request: Request<RouteBody>) -> Self {
        let state = State::Calling {
            call: Oneshot::new(inner, request),
            routed: None,
        };
        Self { state, span }
    }

    pub(crate) fn answer(span: RequestSpan, response: Response<Bytes>) -> Self {
        let state = State::Answering { response };
        Self { state, span }
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
            match this.state.as_mut().project() {
                StateProj::Receiving { receive, .. } => {
                    let received = ready!(receive.poll(cx));
                    if let StateOwned::Receiving {
                        config,
                        mut head,
                        inner,
                        ..
                    } = this.state.as_mut().project_replace(State::Done)
                    {
                        let dispatched =
                            received.and_then(|body| dispatch(&config, &mut head, body));
                        this.state.set(match dispatched {
                            Ok(dispatch) => call(inner, head, dispatch, this.span),
                            Err(error) => reject(&head, &error, this.span),
                        });
                    }
                }
                StateProj::Calling { call, routed } => {
                    let result = ready!(call.poll(cx));
                    let routed = routed.take();
                    this.state.set(State::Done);
                    return Poll::Ready(result.map(|response| match routed {
                        Some(routed) => answered(response, routed, this.span),
                        None => response.map(|body| ResponseBody::upstream(body, None)),
                    }));
                }
                StateProj::Answering { .. } => {
                    if let StateOwned::Answering { response } =
                        this.state.as_mut().project_replace(State::Done)
                    {
                        return Poll::Ready(Ok(response.map(ResponseBody::own)));
                    }
                }
                StateProj::Done => panic!("ResponseFuture polled after it was ready"),
            }
        }
    }
}

fn call<S, B>(inner: S, head: Parts, dispatch: Dispatch, span: &RequestSpan) -> State<S, B>
where
    S: Service<Request<RouteBody>>,
{
    let Dispatch {
        body,
        decision,
        lease,
    } = dispatch;
    span.routed(&decision);
    let mut request = Request::from_parts(head, body);
    request.extensions_mut().insert(decision.clone());
    State::Calling {
        call: Oneshot::new(inner, request),
        routed: Some((decision, lease)),
    }
}

fn reject<S, B>(head: &Parts, error: &RouteError, span: &RequestSpan) -> State<S, B>
where
    S: Service<Request<RouteBody>>,
{
    span.rejected(error);
    State::Answering {
        response: error.to_response(head.uri.path()),
    }
}

fn answered<R: Body>(
    mut response: Response<R>,
    (decision, lease): (RouteDecision, Lease),
    span: &RequestSpan,
) -> Response<ResponseBody<R>> {
    span.answered(response.status(), &decision);
    rewrite::response_head(&mut response);
    response.extensions_mut().insert(decision);
    let held = Held {
        lease,
        span: span.clone(),
    };
    response.map(|body| ResponseBody::upstream(body, Some(held)))
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<RouteBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Receiving { .. } => "receiving",
            State::Calling { .. } => "calling",
            State::Answering { .. } => "answering",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
