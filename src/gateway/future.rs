//! The future of one request.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    routing::{Progress, Routing},
    waiter::Waiter,
};
use crate::{
    attempt::{Late, ResponseBody, RouteBody},
    error::BoxError,
};

pin_project! {
    /// The future of [`ModelRouteService`](crate::ModelRouteService).
    ///
    /// Dropping it cancels the request: it drops the upload and the call to the
    /// engine, and the request no longer counts as in flight.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S>
    where
        S: Service<Request<RouteBody>>,
    {
        #[pin]
        state: State<S>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S>
    where
        S: Service<Request<RouteBody>>,
    {
        Short { #[pin] routing: Routing<S> },
        // So that it can go on in the answer's body.
        Long { long: Option<Long<S>> },
    }
}

struct Long<S>
where
    S: Service<Request<RouteBody>>,
{
    routing: Pin<Box<Routing<S>>>,
    waiter: Waiter,
}

impl<S> ResponseFuture<S>
where
    S: Service<Request<RouteBody>>,
{
    pub(super) fn new(routing: Routing<S>) -> Self {
        let state = State::Short { routing };
        Self { state }
    }
}

impl<S, R> Future for ResponseFuture<S>
where
    S: Service<Request<RouteBody>, Response = Response<R>> + Send + 'static,
    S::Error: 'static,
    S::Future: Send,
    R: Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Short { routing } => match ready!(routing.poll(cx)) {
                    Progress::Answer(answer) => return Poll::Ready(answer),
                    Progress::Long(routing, waiter) => {
                        let long = Some(Long { routing, waiter });
                        state.set(State::Long { long });
                    }
                },
                StateProj::Long { long } => {
                    let Some(Long { routing, waiter }) = long else {
                        panic!("ResponseFuture polled after completion");
                    };
                    if let Poll::Ready(progress) = routing.as_mut().poll(cx) {
                        return Poll::Ready(progress.into_answer());
                    }
                    let comment = ready!(waiter.keep_alive.poll(false, cx));
                    return match long.take() {
                        Some(long) => Poll::Ready(Ok(long.open(comment))),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }
}

impl<S, R> Long<S>
where
    S: Service<Request<RouteBody>, Response = Response<R>> + Send + 'static,
    S::Error: 'static,
    S::Future: Send,
    R: Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// The answer as the client sees it before there is one, with a first comment.
    fn open(self, comment: Bytes) -> Response<ResponseBody<R>> {
        let Self {
            mut routing,
            waiter,
        } = self;
        let decision = routing.decision();
        routing.as_mut().open();
        let mut response = waiter.open();
        if let Some(decision) = decision {
            response.extensions_mut().insert(decision);
        }
        let call = async move {
            let progress = poll_fn(|cx| routing.as_mut().poll(cx)).await;
            progress.into_answer().ok()
        };
        let Waiter {
            keep_alive,
            dialect,
            id,
            ..
        } = waiter;
        let late = Late::new(Box::pin(call), comment, keep_alive, dialect, id);
        response.map(|()| ResponseBody::late(late))
    }
}

impl<S> fmt::Debug for ResponseFuture<S>
where
    S: Service<Request<RouteBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Short { routing } => routing.state(),
            State::Long { long: Some(long) } => long.routing.state(),
            State::Long { long: None } => "completed",
        };
        f.debug_struct("ResponseFuture")
            .field("phase", &state)
            .finish_non_exhaustive()
    }
}
