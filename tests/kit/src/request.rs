//! Requests.

use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::Body;
use http_body_util::Full;

/// A body that the tables for the model `asked` route, and what an engine that calls it `real`
/// gets for it.
pub const ASKED: &str = r#"{"model":"asked","messages":[]}"#;
pub const REWRITTEN: &str = r#"{"model":"real","messages":[]}"#;

/// The head of a POST to `uri` with `headers`.
pub fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::post(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// A chat request with this body.
pub fn chat<B>(body: B) -> Request<B> {
    Request::post("/v1/chat/completions").body(body).unwrap()
}

/// A complete chat request.
pub fn chat_of(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    chat(Full::new(body.into()))
}

/// A complete request for the model `asked`.
pub fn asked() -> Request<Full<Bytes>> {
    chat_of(ASKED)
}

/// A chat request whose Content-Length is that of its body, if that knows it.
pub fn chat_with_length<B: Body>(body: B) -> Request<B> {
    let length = body.size_hint().exact();
    let mut request = chat(body);
    if let Some(length) = length {
        request
            .headers_mut()
            .insert("content-length", length.into());
    }
    request
}

/// A POST with a JSON body, with the headers that clients send.
pub fn post(uri: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body = body.into();
    Request::post(uri)
        .header("host", "gateway.test")
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(Full::new(body))
        .unwrap()
}

/// A request that needs no body.
pub fn get(uri: &str) -> http::request::Builder {
    Request::get(uri).header("host", "gateway.test")
}
