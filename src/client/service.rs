//! The client as a service.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::ResponseFuture;
use tower_service::Service;

use super::{
    failure::{self, Call},
    pools::Pools,
};
use crate::{attempt::RouteBody, error::BoxError, wire::ForModelServer};

/// An HTTP client for engines, to put below the layers; made by
/// [`engine_client`](crate::engine_client).
///
/// It is hyper's client, adapted to inference engines:
///
/// - HTTP/1.1, and HTTP/2 where an engine offers it in the TLS handshake, or
///   [everywhere](crate::EngineClientBuilder::http2_prior_knowledge); `https://` endpoints with the
///   machine's certificate authorities and [yours](crate::EngineClientBuilder::root_certificates).
/// - A WebSocket gets an HTTP/1.1 connection of its own: HTTP/2 has no `Upgrade` (RFC 9113 section
///   8.6). If an engine speaks only HTTP/2, the request counts as not processed, and not against
///   the engine.
/// - Idle connections are closed after 4 s, before the engine does it (uvicorn: 5 s).
/// - Connecting takes at most 5 s. A name's IPv6 and IPv4 addresses are raced (RFC 8305). Dead
///   peers are detected (TCP keep-alive after 60 s, every 15 s). Over HTTP/2, where requests share a
///   connection, one on which requests wait is asked with a PING after 15 s of silence, and given up
///   without an answer in 20 s.
/// - Clients that read nothing of their answers do not hold up others over HTTP/2: of an answer
///   that is not read, at most 408 KiB are kept.
/// - If an engine answers early and hangs up, its answer arrives although the upload could
///   not be finished. (Not on Windows, which discards what has arrived.)
/// - Its error is a [`ConnectionFailure`](crate::ConnectionFailure) if the connection failed, and
///   otherwise hyper's.
/// - A request with [`AtAddress`](crate::AtAddress) in its extensions, for one of several addresses
///   of a name, goes there; `Host`, `:authority` and TLS use the name.
/// - A request with [`FreshConnection`](crate::FreshConnection) in its extensions gets a connection of its own.
/// - The engines of a ModelServer may have
///   [options of their own](crate::EngineClientBuilder::model_server), such as a private
///   certificate authority.
///
/// Clones share their connections. It needs a tokio runtime.
#[derive(Clone)]
pub struct EngineClient(
    /// Behind one count of references: layers and servers clone a client several times a request, and
    /// hyper's own costs 80 ns each.
    Arc<Clients>,
);

struct Clients {
    common: Pools,
    /// Of the ModelServers that have options of their own, by name.
    own: HashMap<Arc<str>, Pools>,
}

impl EngineClient {
    pub(super) fn new(common: Pools, own: HashMap<Arc<str>, Pools>) -> Self {
        Self(Arc::new(Clients { common, own }))
    }

    /// A client with the same options, but connections of its own; clones share theirs.
    ///
    /// A connection belongs to the runtime that opened it, and ends with it. A gateway with
    /// [one runtime per core](crate::guide::mounting#one-thread-per-core) needs a client in each.
    #[must_use]
    pub fn with_own_connections(&self) -> Self {
        let Clients { common, own } = &*self.0;
        let own = own
            .iter()
            .map(|(name, pools)| (Arc::clone(name), pools.empty()));
        Self::new(common.empty(), own.collect())
    }
}

impl Clients {
    fn pools(&self, request: &Request<RouteBody>) -> &Pools {
        // Most clients have none: then no decision is copied.
        if self.own.is_empty() {
            return &self.common;
        }
        let own = match request.body().decision() {
            Some(decision) => self.own.get(decision.model_server()),
            None => request
                .extensions()
                .get::<ForModelServer>()
                .and_then(|server| self.own.get(server.name())),
        };
        own.unwrap_or(&self.common)
    }
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
        let (response, upgrades) = self.0.pools(&request).send(request);
        let call = Call { start, upgrades };
        EngineFuture { response, call }
    }
}

/// The future of an [`EngineClient`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct EngineFuture {
    response: ResponseFuture,
    call: Call,
}

impl Future for EngineFuture {
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.response).poll(cx));
        Poll::Ready(result.map_err(|error| failure::told(error, this.call)))
    }
}
