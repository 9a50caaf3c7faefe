//! The id that identifies a request in logs, here and at the engine.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that has it, in requests and answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_LEN: usize = 128;

/// The id of a request with these headers, by the layer's own rule: the `x-request-id` if it is 1
/// to 128 visible ASCII characters, or else 128 random bits in hex, new with each call.
///
/// The answers of [`ModelRouteLayer`](crate::ModelRouteLayer) and `Admin` have it already.
/// This function is for routes beside them, such as a health check: set what it returns in the
/// request and in the answer.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use tower_model_route::request_id;
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(request_id(&headers).len(), 32);
/// headers.insert("x-request-id", HeaderValue::from_static("req-7"));
/// assert_eq!(request_id(&headers), "req-7");
/// ```
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let own = own_request_id(given_request_id(headers));
    own.cloned().unwrap_or_else(new_request_id)
}

/// The one that is given, if it is an id.
pub(super) fn own_request_id(given: Option<&HeaderValue>) -> Option<&HeaderValue> {
    given.filter(|id| is_request_id(id.as_bytes()))
}

/// The only one that is given, whatever it is.
pub(super) fn given_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut given = headers.get_all(&X_REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None) => Some(id),
        _ => None,
    }
}

fn is_request_id(id: &[u8]) -> bool {
    (1..=MAX_LEN).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

pub(super) fn new_request_id() -> HeaderValue {
    let mut digits = [0; 32];
    let mut bits = fastrand::u128(..);
    for digit in digits.iter_mut().rev() {
        let value = (bits & 0xf) as u8;
        *digit = match value {
            0..=9 => b'0' + value,
            _ => b'a' + (value - 10),
        };
        bits >>= 4;
    }
    // Shared from the start, which saves its clones an allocation.
    HeaderValue::from_maybe_shared(Bytes::from_owner(digits))
        .unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Asked;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value));
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_REQUEST_ID, value.unwrap());
        }
        headers
    }

    fn of(values: &[&[u8]]) -> HeaderValue {
        request_id(&headers(values))
    }

    /// The same where it is made only if the request is answered here.
    fn later(values: &[&[u8]]) -> HeaderValue {
        let mut request = http::Request::new(());
        *request.headers_mut() = headers(values);
        Asked::by(&request).asker().id().clone()
    }

    #[test]
    fn the_clients_is_kept_if_it_is_one() {
        let longest = [b'~'; 128];
        for id in [&b"a"[..], b"req_01!", &longest] {
            assert_eq!(
                (of(&[id]), later(&[id])),
                (id.try_into().unwrap(), id.try_into().unwrap())
            );
        }
    }

    #[test]
    fn anything_else_gets_a_new_one() {
        let too_long = [b'a'; 129];
        let mut seen = std::collections::HashSet::new();
        let cases: [&[&[u8]]; 7] = [
            &[],
            &[b""],
            &[b"two words"],
            &[b"\xc3\xa4"],
            &[b"a\tb"],
            &[&too_long],
            &[b"a", b"a"],
        ];
        for values in cases {
            let id = of(values);
            let made_later = later(values);
            assert!(
                values.iter().all(|value| made_later != *value),
                "{values:?}"
            );
            assert_eq!(made_later.len(), 32);
            let id = id.to_str().unwrap();
            assert!(
                id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{id}"
            );
            assert_eq!(id, id.to_lowercase());
            assert!(seen.insert(id.to_owned()), "{id} twice");
        }
    }
}
