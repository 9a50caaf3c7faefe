//! A copy of a request for another attempt.

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::attempt::RouteBody;

/// What a request is made of again if it is sent again, as few are.
///
/// A clone of its fields would count references to each value and each name that is not a standard
/// one, and allocate for those that nobody shares: 3,300 instructions and 40 atomic writes of a request
/// with 17 fields. This copies their bytes.
pub(super) struct RequestCopy {
    method: Method,
    uri: Uri,
    version: Version,
    extensions: Extensions,
    /// One after the other, as in `text`.
    fields: Vec<Field>,
    text: Vec<u8>,
    body: RouteBody,
}

/// The lengths of a name and of a value.
struct Field {
    name: usize,
    value: usize,
    is_sensitive: bool,
}

impl RequestCopy {
    pub(super) fn of(request: &Request<RouteBody>) -> Self {
        let headers = request.headers();
        // As long as fields mostly are; to add their lengths up takes as long as to copy half of them.
        let mut text = Vec::with_capacity(headers.len() * 48);
        let mut fields = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            let name = name.as_str().as_bytes();
            text.extend_from_slice(name);
            text.extend_from_slice(value.as_bytes());
            fields.push(Field {
                name: name.len(),
                value: value.len(),
                is_sensitive: value.is_sensitive(),
            });
        }
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            extensions: request.extensions().clone(),
            fields,
            text,
            body: request.body().clone(),
        }
    }

    pub(super) fn body(&self) -> &RouteBody {
        &self.body
    }

    /// The request; `None` if it had a field that can't be made of its bytes.
    pub(super) fn into_request(self) -> Option<Request<RouteBody>> {
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        let mut rest = Bytes::from(self.text);
        for field in self.fields {
            let name = HeaderName::from_bytes(&rest.split_to(field.name)).ok()?;
            let value = rest.split_to(field.value);
            let mut value = HeaderValue::from_maybe_shared(value).ok()?;
            value.set_sensitive(field.is_sensitive);
            headers.append(name, value);
        }
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = headers;
        *request.extensions_mut() = self.extensions;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_request_is_made_again(
            fields in prop::collection::vec(
                ("(host|accept|via|x-[a-z]{1,3})", "[ -~\u{e4}]{0,20}", any::<bool>()),
                0..20,
            ),
        ) {
            let mut request = Request::put("http://h:1/a?b").extension(7_u8);
            for (name, value, is_sensitive) in &fields {
                let mut value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
                value.set_sensitive(*is_sensitive);
                request = request.header(name, value);
            }
            let body = RouteBody::from(Bytes::from_static(b"body"));
            let request = request.version(Version::HTTP_10).body(body).unwrap();
            let again = RequestCopy::of(&request).into_request().unwrap();
            prop_assert_eq!(again.method(), request.method());
            prop_assert_eq!(again.uri(), request.uri());
            prop_assert_eq!(again.version(), request.version());
            prop_assert_eq!(again.extensions().get::<u8>(), Some(&7));
            let all = |request: &Request<RouteBody>| -> Vec<_> {
                let fields = request.headers().iter();
                fields
                    .map(|(name, value)| (name.clone(), value.clone(), value.is_sensitive()))
                    .collect()
            };
            prop_assert_eq!(all(&again), all(&request));
            let hint = http_body::Body::size_hint(again.body());
            prop_assert_eq!(hint.exact(), Some(4));
        }
    }
}
