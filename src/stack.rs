//! The recommended layers in the recommended order.

use tower::{ServiceBuilder, retry::RetryLayer};
use tower_layer::{Identity, Stack};

use crate::{
    gateway::ModelRouteLayer,
    policy::{AnswerErrorsLayer, AttemptTimeoutLayer, Failover},
};

/// What [`stack`] makes: a [`ServiceBuilder`], and so itself a layer.
pub type RouteStack = ServiceBuilder<
    Stack<
        AttemptTimeoutLayer,
        Stack<RetryLayer<Failover>, Stack<AnswerErrorsLayer, Stack<ModelRouteLayer, Identity>>>,
    >,
>;

/// The recommended layers in the recommended order, around the caller's HTTP client.
///
/// It routes, sends again what failed elsewhere, keeps the time limits, and
/// makes an answer of every error. So its error is
/// [`Infallible`](std::convert::Infallible), and it mounts in axum as it is:
///
/// ```
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower_model_route::{RouteBody, RouteTable, stack};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let table = RouteTable::builder().build()?;
/// let client = Client::builder(TokioExecutor::new()).build_http::<RouteBody>();
/// let app: axum::Router = axum::Router::new().fallback_service(stack(table).service(client));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
///
/// It takes a [`RouteTable`](crate::RouteTable), a
/// [`RouteTableHandle`](crate::RouteTableHandle), or a [`ModelRouteLayer`]
/// with settings of one's own. Written out it is
///
/// ```
/// # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// # use tower_model_route::{RouteBody, RouteTable};
/// use tower::ServiceBuilder;
/// use tower_model_route::{AnswerErrorsLayer, AttemptTimeoutLayer, Failover, ModelRouteLayer};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let table = RouteTable::builder().build()?;
/// # let client = Client::builder(TokioExecutor::new()).build_http::<RouteBody>();
/// let service = ServiceBuilder::new()
///     .layer(ModelRouteLayer::new(table)) // decides; never fails
///     .layer(AnswerErrorsLayer::new()) // errors from below become 502, 503, 504
///     .retry(Failover::new()) // the next endpoint, target, fallback
///     .layer(AttemptTimeoutLayer::new()) // the ModelServer's timeout, for each attempt
///     .service(client);
/// # let app: axum::Router = axum::Router::new().fallback_service(service);
/// # Ok(())
/// # }
/// ```
///
/// Layers that act on each attempt, such as a load shed over a concurrency
/// limit in front of the engines, go between it and the client:
/// `stack(table).load_shed().concurrency_limit(64).service(client)`.
pub fn stack(layer: impl Into<ModelRouteLayer>) -> RouteStack {
    ServiceBuilder::new()
        .layer(layer.into())
        .layer(AnswerErrorsLayer::new())
        .retry(Failover::new())
        .layer(AttemptTimeoutLayer::new())
}
