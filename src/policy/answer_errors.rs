//! Turns errors of the services below into answers.

use std::{
    any::Any,
    convert::Infallible,
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::debug;

use crate::{
    attempt::{ResponseBody, RouteBody},
    error::{Asked, RouteError},
};

/// Turns every error from below into a JSON answer, so that the finished
/// service can be mounted where services must not fail, as in axum.
///
/// Its place is right below the [`ModelRouteLayer`](crate::ModelRouteLayer),
/// around everything that can fail. The answer then has the
/// [`RouteDecision`](crate::RouteDecision) in its extensions like any other,
/// and its status is recorded in the span. If a layer *above* the
/// `ModelRouteLayer` can fail, such as a load shed, put another
/// `AnswerErrorsLayer` around it. [`RouteError::from_upstream`] says which
/// error becomes which answer.
///
/// ```
/// # use tower_model_route::{AnswerErrorsLayer, ModelRouteLayer, RouteBody, RouteTable};
/// # use tower::ServiceBuilder;
/// # use http::{Request, Response};
/// # let table = RouteTable::builder().build().unwrap();
/// # let client = tower::service_fn(|_: Request<RouteBody>| async {
/// #     Ok::<_, std::io::Error>(Response::new(axum::body::Body::empty()))
/// # });
/// let app: axum::Router = axum::Router::new().fallback_service(
///     ServiceBuilder::new()
///         .layer(ModelRouteLayer::new(table))
///         .layer(AnswerErrorsLayer::new())
///         .service(client),
/// );
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct AnswerErrorsLayer(());

impl AnswerErrorsLayer {
    /// Creates the layer, which has no options.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for AnswerErrorsLayer {
    type Service = AnswerErrors<S>;

    fn layer(&self, inner: S) -> AnswerErrors<S> {
        AnswerErrors {
            inner,
            not_ready: None,
        }
    }
}

/// The service made by [`AnswerErrorsLayer`].
#[derive(Clone, Debug)]
pub struct AnswerErrors<S> {
    inner: S,
    /// Why the inner service did not become ready; the next request is answered with it.
    not_ready: Option<RouteError>,
}

impl<S, B, R> Service<Request<B>> for AnswerErrors<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: 'static,
    R: Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = Infallible;
    type Future = AnswerErrorsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.not_ready = ready!(self.inner.poll_ready(cx))
            .err()
            .map(RouteError::from_upstream);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        AnswerErrorsFuture {
            asked: asked(&request),
            state: match self.not_ready.take() {
                Some(error) => State::Failed { error },
                None => State::Calling {
                    future: self.inner.call(request),
                },
            },
        }
    }
}

/// Below the `ModelRouteLayer` the path is the engine's.
fn asked<B: 'static>(request: &Request<B>) -> Asked {
    let body = (request.body() as &dyn Any).downcast_ref::<RouteBody>();
    match body.and_then(RouteBody::exchange) {
        Some(exchange) => Asked::in_shape(exchange.api().shape, request),
        None => Asked::by(request),
    }
}

pin_project! {
    /// The future of [`AnswerErrors`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AnswerErrorsFuture<F> {
        asked: Asked,
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F },
        Failed { error: RouteError },
    }
}

impl<F, R, E> Future for AnswerErrorsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<Response<ResponseBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let error = match this.state.project() {
            StateProj::Failed { error } => error.clone(),
            StateProj::Calling { future } => match ready!(future.poll(cx)) {
                Ok(response) => {
                    return Poll::Ready(Ok(response.map(ResponseBody::passed_on)));
                }
                Err(error) => RouteError::from_upstream(error),
            },
        };
        debug!(
            status = error.status().as_u16(),
            code = error.kind().code(),
            reason = error.source().map(tracing::field::display),
            "upstream failed"
        );
        let response = error.answer(&this.asked.asker());
        Poll::Ready(Ok(response.map(ResponseBody::own)))
    }
}

impl<F> fmt::Debug for AnswerErrorsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerErrorsFuture").finish_non_exhaustive()
    }
}
