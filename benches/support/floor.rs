//! The least that any router by model does for a request, and nothing more: the yardstick of what
//! the layer costs beyond it.

use bytes::Bytes;
use http::{
    HeaderValue, Request, Uri,
    header::{CONTENT_LENGTH, HOST},
    uri::{Authority, Scheme},
};
use http_body::Body;
use http_body_util::BodyExt;
use tower_model_route::{JsonBody, RouteBody};

/// Sends all that ask for one model to one engine, which knows it by another name.
///
/// It reads the body to its end, looks for the model in it, addresses the engine, and writes the
/// engine's name, the length and the Host. It looks nothing up, counts and times nothing, passes on
/// the fields of the client's connection, and answers each mistake with a panic.
#[derive(Clone)]
pub struct Floor {
    pub authority: Authority,
    pub host: HeaderValue,
    /// What the engine calls it.
    pub model: &'static str,
}

impl Floor {
    pub async fn routed<B: Body<Data = Bytes> + Unpin>(
        &self,
        request: Request<B>,
    ) -> Request<RouteBody> {
        let (mut head, mut body) = request.into_parts();
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

        let mut uri = std::mem::take(&mut head.uri).into_parts();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(self.authority.clone()));
        head.uri = Uri::from_parts(uri).expect("a path");
        head.version = http::Version::HTTP_11;
        for (name, value) in [
            (HOST, self.host.clone()),
            (CONTENT_LENGTH, text.len().into()),
        ] {
            match head.headers.get_mut(&name) {
                Some(old) => *old = value,
                None => _ = head.headers.insert(name, value),
            }
        }
        Request::from_parts(head, Bytes::from(text).into())
    }
}
