//! A client that speaks HTTP/2: hyper's, since here the subject is what becomes of its messages
//! and not its frames.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::time::within;

pub type H2Body = UnsyncBoxBody<Bytes, Infallible>;

#[derive(Clone, Debug)]
pub struct H2Client(http2::SendRequest<H2Body>);

impl H2Client {
    /// With prior knowledge, without TLS.
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = within(TcpStream::connect(address)).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
        let (client, connection) = within(handshake).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    pub async fn send(&mut self, request: Request<H2Body>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    /// What came back, if it was an answer.
    pub async fn try_send(
        &mut self,
        request: Request<H2Body>,
    ) -> hyper::Result<Response<Incoming>> {
        within(self.0.send_request(request)).await
    }

    /// Sends it and reads the whole answer: its body and its trailers.
    pub async fn ask(&mut self, request: Request<H2Body>) -> Response<(Bytes, HeaderMap)> {
        let (head, body) = self.send(request).await.into_parts();
        let body = within(body.collect()).await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        Response::from_parts(head, (body.to_bytes(), trailers))
    }
}

pub fn h2_post() -> http::request::Builder {
    Request::post("http://gateway.test/v1/chat/completions")
}

pub fn whole(body: &str) -> H2Body {
    Full::new(Bytes::from(body.to_owned())).boxed_unsync()
}

/// A body of frames without a length, and its trailers.
pub fn frames(parts: &[&str], trailers: Option<HeaderMap>) -> H2Body {
    let data = parts
        .iter()
        .map(|part| Frame::data(Bytes::from(part.to_string())));
    let frames: Vec<_> = data.chain(trailers.map(Frame::trailers)).map(Ok).collect();
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}
