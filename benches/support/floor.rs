//! The least that proxies do for a request: the yardsticks of what the layer costs.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Uri, Version,
    header::{CONTENT_LENGTH, HOST, InvalidHeaderValue},
    uri::{Authority, Scheme},
};
use http_body::Body;
use http_body_util::BodyExt;
use tower_model_route::{JsonBody, RouteBody};

/// Where all requests go.
#[derive(Clone)]
pub struct Target {
    authority: Authority,
    host: HeaderValue,
}

impl Target {
    pub fn new(engine: SocketAddr) -> Result<Self, InvalidHeaderValue> {
        let authority = engine.to_string();
        Ok(Self {
            host: HeaderValue::from_str(&authority)?,
            authority: authority.parse().expect("an address is an authority"),
        })
    }

    /// The least that any reverse proxy does: an absolute URI and the right Host.
    pub fn forwarded<B>(&self, mut request: Request<B>) -> Request<B> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        *request.version_mut() = Version::HTTP_11;
        set(&mut request, HOST, self.host.clone());
        request
    }
}

/// The least that any router by model does, and nothing more.
///
/// It reads the body to its end, looks for the model in it, addresses the engine, and writes the
/// engine's name and the length. It looks nothing up, counts and times nothing, passes on the fields
/// of the client's connection, and answers each mistake with a panic.
pub struct Floor {
    to: Target,
    /// What the engine calls it.
    model: &'static str,
}

impl Floor {
    /// For as long as the program runs.
    pub fn to(to: Target, model: &'static str) -> &'static Self {
        Box::leak(Box::new(Self { to, model }))
    }

    pub async fn routed<B: Body<Data = Bytes> + Unpin>(
        &self,
        request: Request<B>,
    ) -> Request<RouteBody> {
        let (head, mut body) = request.into_parts();
        let mut chunks: Vec<Bytes> = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                panic!("the client sends all of its body")
            };
            chunks.extend(frame.into_data());
            if body.is_end_stream() {
                break;
            }
        }
        let text = match &*chunks {
            [only] => only.clone(),
            several => several.concat().into(),
        };
        let read = JsonBody::new().read(&text);
        let model = read.expect("a body with one model");
        let name = model.name().as_bytes();
        let at = memchr::memmem::rfind(&text, name).expect("a name without escapes");
        let (before, rest) = text.split_at(at);
        let text = [before, self.model.as_bytes(), &rest[name.len()..]].concat();

        let length = text.len().into();
        let request = Request::from_parts(head, Bytes::from(text).into());
        let mut request = self.to.forwarded(request);
        set(&mut request, CONTENT_LENGTH, length);
        request
    }
}

/// In place, where the field is there: inserting would grow a full map.
fn set<B>(request: &mut Request<B>, name: HeaderName, value: HeaderValue) {
    match request.headers_mut().get_mut(&name) {
        Some(old) => *old = value,
        None => _ = request.headers_mut().insert(name, value),
    }
}
