//! The client as a service.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, ResponseFuture};
use tower_service::Service;

use super::{connector::Connector, failure};
use crate::{attempt::RouteBody, error::BoxError, wire::FreshConnection};

/// An HTTP client for engines, to put below the layers. [`engine_client`](crate::engine_client) makes one.
///
/// It is hyper's client with what inference engines need:
///
/// - HTTP/1.1, and HTTP/2 where an engine offers it in the TLS handshake, or
///   [everywhere](crate::EngineClientBuilder::http2_prior_knowledge); `https://` endpoints with the
///   machine's certificate authorities and [yours](crate::EngineClientBuilder::root_certificates).
/// - Idle connections are closed after 4 s, before the engine does it (uvicorn: 5 s).
/// - A connection is there within 5 s or not at all. A name's addresses are tried side by side,
///   IPv6 and IPv4 (RFC 8305). Dead peers are noticed (TCP keep-alive after 60 s, every 15 s).
/// - An engine that answers early and hangs up is heard: its answer arrives though the upload
///   could not be finished. (Not on Windows, which throws away what has arrived.)
/// - Its error is a [`ConnectionFailure`](crate::ConnectionFailure) if the connection failed, with
///   what is known of it, and otherwise hyper's.
/// - A request with [`FreshConnection`] in its extensions gets a connection of its own.
///
/// Clones share their connections. It needs a tokio runtime.
#[derive(Clone)]
pub struct EngineClient {
    pub(super) pooled: Client<Connector, RouteBody>,
    /// Keeps no connection.
    pub(super) fresh: Client<Connector, RouteBody>,
}

impl fmt::Debug for EngineClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineClient").finish_non_exhaustive()
    }
}

impl Service<Request<RouteBody>> for EngineClient {
    type Response = Response<Incoming>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = EngineFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RouteBody>) -> EngineFuture {
        let start = Instant::now();
        let client = match request.extensions().get::<FreshConnection>() {
            Some(FreshConnection) => &self.fresh,
            None => &self.pooled,
        };
        EngineFuture {
            response: client.request(request),
            start,
        }
    }
}

/// The future of an [`EngineClient`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct EngineFuture {
    response: ResponseFuture,
    start: Instant,
}

impl Future for EngineFuture {
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.response).poll(cx));
        Poll::Ready(result.map_err(|error| failure::told(error, this.start)))
    }
}
