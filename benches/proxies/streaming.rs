//! An engine that begins a stream and holds it open.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame, Incoming};

const EVENT: &[u8] = b"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n";

/// Reads a body to its end and answers with a stream: one event, and nothing more.
pub(super) async fn answer(
    request: Request<Incoming>,
) -> hyper::Result<Response<impl Body<Data = Bytes, Error = Infallible> + Send>> {
    request.into_body().collect().await?;
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(EVENT)))]);
    let mut response = Response::new(StreamBody::new(first.chain(stream::pending())));
    let content_type = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}
