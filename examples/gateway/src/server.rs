//! The gateway itself: the stack of layers, the client below it and the server above it.

use std::{io, time::Duration};

use axum::{Router, serve::ListenerExt};
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_model_route::{RouteTableHandle, engine_client, stack};

use crate::show;

/// How long requests in flight may take once the gateway is asked to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Everything that the gateway serves, by the table that the handle has.
pub(crate) fn app(table: RouteTableHandle) -> Router {
    Router::new().fallback_service(
        ServiceBuilder::new()
            .map_response(show::with_headers)
            .layer(stack(table))
            .service(engine_client()),
    )
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
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.clone());
    tokio::select! {
        result = server.into_future() => result,
        () = time_is_up => Ok(()),
    }
}
