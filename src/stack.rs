//! The recommended layers in the recommended order.

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_layer::{Identity, Layer, Stack};
use tower_service::Service;

use crate::{
    attempt::RouteBody,
    error::BoxError,
    gateway::{ModelRouteLayer, ModelRouteService, ResponseFuture},
    policy::{
        AnswerErrors, AnswerErrorsLayer, AttemptTimeout, AttemptTimeoutLayer, FailoverLayer,
        FailoverService,
    },
};

/// The recommended layers in the recommended order, around the caller's HTTP client.
///
/// The layers route a request, retry it at another endpoint if it fails,
/// enforce the timeouts, and turn every error into an answer. The error type of
/// the finished service is therefore [`Infallible`](std::convert::Infallible),
/// so axum can mount it directly:
///
/// ```
/// use tower_model_route::{RouteTable, engine_client, stack};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let table = RouteTable::builder().build()?;
/// let client = engine_client();
/// let app: axum::Router = axum::Router::new().fallback_service(stack(table).service(client));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
///
/// `layer` is a [`RouteTable`](crate::RouteTable), a
/// [`RouteTableHandle`](crate::RouteTableHandle), or a [`ModelRouteLayer`]
/// with your own options. Written out, the stack is
///
/// ```
/// # use tower_model_route::{RouteBody, RouteTable};
/// use tower::ServiceBuilder;
/// use tower_model_route::{
///     AnswerErrorsLayer, AttemptTimeoutLayer, FailoverLayer, ModelRouteLayer, engine_client,
/// };
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let table = RouteTable::builder().build()?;
/// # let client = engine_client();
/// let service = ServiceBuilder::new()
///     .layer(ModelRouteLayer::new(table)) // decides; never fails
///     .layer(AnswerErrorsLayer::new()) // errors from below become 502, 503, 504
///     .layer(FailoverLayer::new()) // the next endpoint, target, fallback
///     .layer(AttemptTimeoutLayer::new()) // the ModelServer's timeout, for each attempt
///     .service(client);
/// # let app: axum::Router = axum::Router::new().fallback_service(service);
/// # Ok(())
/// # }
/// ```
///
/// Layers that act on each attempt, such as a load shed over a concurrency
/// limit in front of the engines, go between the stack and the client. Add them
/// with [`RouteStack::layer`], or with tower's own builder methods:
///
/// ```
/// # use tower_model_route::{RouteTable, engine_client, stack};
/// use tower::ServiceBuilder;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let table = RouteTable::builder().build()?;
/// # let client = engine_client();
/// let service = ServiceBuilder::new()
///     .layer(stack(table))
///     .load_shed()
///     .concurrency_limit(64)
///     .service(client);
/// # let app: axum::Router = axum::Router::new().fallback_service(service);
/// # Ok(())
/// # }
/// ```
///
/// To store the finished service in a struct, use its short name,
/// [`RouteStackService`].
pub fn stack(layer: impl Into<ModelRouteLayer>) -> RouteStack {
    RouteStack {
        route: layer.into(),
        below: Identity::new(),
    }
}

/// The layers of [`stack`] as one layer; `L` holds the layers added below them.
#[derive(Clone, Debug)]
#[must_use]
pub struct RouteStack<L = Identity> {
    route: ModelRouteLayer,
    below: L,
}

impl<L> RouteStack<L> {
    /// Adds a layer below the others, around the client.
    pub fn layer<T>(self, layer: T) -> RouteStack<Stack<T, L>> {
        RouteStack {
            route: self.route,
            below: Stack::new(layer, self.below),
        }
    }

    /// Wraps the client, which may be any service that takes a `Request<RouteBody>`.
    pub fn service<S>(&self, client: S) -> RouteStackService<L::Service>
    where
        L: Layer<S>,
    {
        Layer::layer(self, client)
    }
}

impl<S, L> Layer<S> for RouteStack<L>
where
    L: Layer<S>,
{
    type Service = RouteStackService<L::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        let attempt = AttemptTimeoutLayer::new().layer(self.below.layer(inner));
        let failover = FailoverLayer::new().layer(attempt);
        let answers = AnswerErrorsLayer::new().layer(failover);
        RouteStackService {
            inner: self.route.layer(answers),
        }
    }
}

/// The layers below the [`ModelRouteLayer`].
type Below<S> = AnswerErrors<FailoverService<AttemptTimeout<S>>>;

/// The service that [`stack`] makes around the client `S`.
///
/// ```
/// use tower_model_route::{EngineClient, RouteStackService};
///
/// struct Gateway {
///     routes: RouteStackService<EngineClient>,
/// }
/// ```
///
/// If layers around the service make its type long again, tower's
/// [`BoxCloneSyncService`](tower::util::BoxCloneSyncService) shortens it, at the
/// cost of one allocation per request.
#[derive(Clone, Debug)]
pub struct RouteStackService<S> {
    inner: ModelRouteService<Below<S>>,
}

impl<S, B, R> Service<Request<B>> for RouteStackService<S>
where
    S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = <ModelRouteService<Below<S>> as Service<Request<B>>>::Response;
    type Error = <ModelRouteService<Below<S>> as Service<Request<B>>>::Error;
    type Future = ResponseFuture<Below<S>>;

    /// Always ready; see [`ModelRouteLayer`].
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<B>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.inner.call(request)
    }
}
