//! The gateway itself: the stack of layers, the client below it and the server above it.

use std::{io, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Version, header::HOST},
    middleware::{self, Next},
    response::Response,
    serve::ListenerExt,
};
use futures_util::FutureExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_model_route::{RouteBody, RouteError, RouteErrorKind, RouteTableHandle, stack};

use crate::show;

/// How long requests in flight may take once the gateway is asked to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Engines are near: one that takes longer to accept is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Less than the five seconds after which uvicorn, and so vLLM, closes an idle connection: a
/// request should not meet one that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Everything that the gateway serves, by the table that the handle has. `endpoints` tells clients
/// the addresses of engines.
pub(crate) fn app(table: RouteTableHandle, endpoints: bool) -> Router {
    Router::new().fallback_service(
        ServiceBuilder::new()
            .map_response(move |response| show::with_headers(response, endpoints))
            .layer(stack(table))
            .service(client()),
    )
}

fn client() -> Client<HttpConnector, RouteBody> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        // Without its own timer the pool would keep idle connections until it next needs one.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector)
}

/// Refuses requests of HTTP/1.1 that don't say whom they ask (RFC 9112 section 3.2).
async fn with_host(request: Request, next: Next) -> Response {
    let says = request.headers().contains_key(HOST) || request.uri().authority().is_some();
    if request.version() == Version::HTTP_11 && !says {
        let error = RouteError::new(RouteErrorKind::InvalidHost, "the request has no Host");
        return error.to_response_to(&request).map(Body::from);
    }
    next.run(request).await
}

/// Serves `app` until `stop` is ready, and then finishes what is in flight or leaves it after
/// [`GRACE`]. What is left is cut when the runtime ends.
///
/// axum's server speaks HTTP/1.1 and, because the feature `http2` of hyper-util is enabled
/// here, h2c.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stop = stop.boxed().shared();
    let time_is_up = async {
        stop.clone().await;
        tokio::time::sleep(GRACE).await;
    };
    // A token is to leave as it comes. A socket that refuses only delays it.
    let listener = listener.tap_io(|socket| _ = socket.set_nodelay(true));
    let app = app.layer(middleware::from_fn(with_host));
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.clone());
    tokio::select! {
        result = server.into_future() => result,
        () = time_is_up => Ok(()),
    }
}
