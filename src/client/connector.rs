//! How a connection to an engine is made.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tower_service::Service;

use super::socket::Socket;
use crate::error::BoxError;

/// When a connection on which nothing moves is asked whether its other end is still there, and
/// how often then. A firewall forgets a connection after minutes, and an engine may think for
/// longer before its first token.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// How connections are made.
#[derive(Clone)]
pub(super) struct Connecting {
    pub(super) tls: rustls::ClientConfig,
    pub(super) timeout: Duration,
    pub(super) versions: Versions,
}

/// Which versions of HTTP an engine may be spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    /// HTTP/1.1, or HTTP/2 where it is chosen in the TLS handshake.
    Any,
    Http1,
    /// Also without TLS.
    Http2,
}

impl Versions {
    /// What is offered in the TLS handshake (RFC 7301), the best first.
    fn offered(self) -> Vec<Vec<u8>> {
        let (http1, http2) = (b"http/1.1".to_vec(), b"h2".to_vec());
        match self {
            Self::Any => vec![http2, http1],
            Self::Http1 => vec![http1],
            Self::Http2 => vec![http2],
        }
    }
}

/// Name resolution, TCP to the first address that answers (RFC 8305), TLS, all within one time.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Tcp>,
    timeout: Duration,
    is_http2: bool,
}

impl Connector {
    /// Connects to what a URI names, or always `at` this address, for these `versions`.
    pub(super) fn new(how: &Connecting, versions: Versions, at: Option<SocketAddr>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE_INTERVAL));
        // Shared among a name's addresses, so that one that does not answer leaves time for the next.
        tcp.set_connect_timeout(Some(how.timeout));
        let tcp = Tcp { inner: tcp, at };
        let mut tls = how.tls.clone();
        tls.alpn_protocols = versions.offered();
        Self {
            https: HttpsConnector::from((tcp, tls)),
            timeout: how.timeout,
            is_http2: versions == Versions::Http2,
        }
    }
}

/// The part below TLS, which alone needs the address.
#[derive(Clone)]
pub(super) struct Tcp {
    inner: HttpConnector,
    at: Option<SocketAddr>,
}

impl Service<Uri> for Tcp {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = <HttpConnector as Service<Uri>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let at = self.at.and_then(|at| {
            let uri = Uri::builder().scheme("http").authority(at.to_string());
            uri.path_and_query("/").build().ok()
        });
        self.inner.call(at.unwrap_or(to))
    }
}

type Stream = TokioIo<<HttpsConnector<Tcp> as Service<Uri>>::Response>;

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket<Stream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, timeout, is_http2) = (self.https.call(to), self.timeout, self.is_http2);
        Box::pin(async move {
            let stream = tokio::time::timeout(timeout, connecting)
                .await
                .map_err(|_| {
                    io::Error::new(io::ErrorKind::TimedOut, "connecting took too long")
                })??;
            Ok(TokioIo::new(Socket::new(TokioIo::new(stream), is_http2)))
        })
    }
}
