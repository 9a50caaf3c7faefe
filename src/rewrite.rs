//! What changes between the client's request and the engine's, byte by byte.

use std::ops::Range;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, Entry, HOST, TRAILER, TRANSFER_ENCODING},
    request::Parts,
    uri::PathAndQuery,
};

use crate::{
    error::{RouteError, RouteErrorKind},
    server::Endpoint,
};

/// Makes `head` that of a request to `endpoint`, for a body of `length` bytes.
///
/// The URI becomes absolute, Host the endpoint's, the version HTTP/1.1 (an
/// HTTP/2 version can't go over an HTTP/1 connection; a client that speaks
/// HTTP/2 upstream sets its own), and what belongs to the client's connection
/// stays behind. A Content-Length is set unless there are trailers, which
/// only chunks can carry.
pub(crate) fn request_head(
    head: &mut Parts,
    endpoint: &Endpoint,
    length: u64,
    trailers: Option<&HeaderMap>,
) -> Result<(), RouteError> {
    upstream_uri(endpoint, &mut head.uri).ok_or_else(|| {
        RouteError::new(
            RouteErrorKind::InvalidTarget,
            "the request's target is not a path that can be forwarded",
        )
    })?;
    let version = std::mem::replace(&mut head.version, Version::HTTP_11);
    let headers = &mut head.headers;
    if version > Version::HTTP_11 {
        join_cookies(headers);
    }
    strip(headers, of_request);
    headers.insert(HOST, endpoint.host.clone());
    match trailers {
        None => {
            headers.insert(CONTENT_LENGTH, decimal(length));
        }
        Some(trailers) => {
            headers.remove(CONTENT_LENGTH);
            // hyper sends only those trailers that are announced.
            for name in trailers.keys() {
                headers.append(TRAILER, HeaderValue::from(name.clone()));
            }
        }
    }
    Ok(())
}

/// Removes what belongs to the connection with the engine from its answer.
///
/// The answer to an upgrade is left alone: there it is the message.
pub(crate) fn response_head<R>(response: &mut Response<R>) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    // A proxy sends its own version, not the one that it received (RFC 9110 section 6.2).
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    // Where both stand the chunks have counted; the length must go (RFC 9112 section 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers, of_response);
}

/// `value` in place of the bytes at `span`; the rest is shared, not copied.
///
/// `None` where the span is not within the body.
pub(crate) fn splice(body: &Bytes, span: Range<usize>, value: Bytes) -> Option<[Bytes; 3]> {
    body.get(span.clone())?;
    Some([body.slice(..span.start), value, body.slice(span.end..)])
}

/// (`HeaderValue::from(u64)` allocates twice.)
fn decimal(length: u64) -> HeaderValue {
    let mut number = length;
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    HeaderValue::from_bytes(&digits[start..]).unwrap_or_else(|_| HeaderValue::from(length))
}

/// `None`, and the URI as it was, for targets without a path (`*`, CONNECT)
/// and for paths that are too long with the prefix.
fn upstream_uri(endpoint: &Endpoint, uri: &mut Uri) -> Option<()> {
    let path = uri.path_and_query()?.as_str();
    let root = match path.as_bytes().first() {
        Some(b'/') => "",
        // Of an absolute form without a path (RFC 9110 section 4.2.3).
        Some(b'?') => "/",
        _ => return None,
    };
    let joined = if endpoint.prefix.is_empty() && root.is_empty() {
        None
    } else {
        let joined = [&*endpoint.prefix, root, path].concat();
        Some(PathAndQuery::from_maybe_shared(Bytes::from(joined)).ok()?)
    };
    let mut parts = std::mem::take(uri).into_parts();
    parts.scheme = Some(endpoint.scheme.clone());
    parts.authority = Some(endpoint.authority.clone());
    parts.path_and_query = joined.or(parts.path_and_query);
    *uri = Uri::from_parts(parts).ok()?;
    Some(())
}

/// The fields of one connection, not of the message (RFC 9110 section 7.6.1),
/// and Expect, which is settled with this hop once the body is read.
fn of_request(name: &HeaderName) -> bool {
    matches!(name.as_str(), "trailer" | "expect") || of_response(name)
}

fn of_response(name: &HeaderName) -> bool {
    match name.as_str() {
        "connection" | "keep-alive" | "te" | "transfer-encoding" | "upgrade" | "http2-settings" => {
            true
        }
        other => other.starts_with("proxy-"),
    }
}

/// HTTP/2 may spread the cookies over several fields (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<_> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Removes the headers that are `connection_specific`, and those that Connection names.
fn strip(headers: &mut HeaderMap, connection_specific: fn(&HeaderName) -> bool) {
    if !headers.keys().any(connection_specific) {
        return;
    }
    let mut names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| connection_specific(name))
        .cloned()
        .collect();
    for value in headers.get_all(CONNECTION) {
        let tokens = value.as_bytes().split(|&byte| byte == b',');
        names.extend(tokens.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()));
    }
    for name in names {
        if let Entry::Occupied(entry) = headers.entry(name) {
            entry.remove_entry_mult();
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn endpoint(uri: &str) -> Endpoint {
        Endpoint::parse(uri).unwrap()
    }

    fn rewritten(request: http::request::Builder, to: &str) -> Parts {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        request_head(&mut head, &endpoint(to), 7, None).unwrap();
        head
    }

    #[test]
    fn the_uri_is_absolute_and_keeps_path_and_query() {
        for (from, to, expected) in [
            ("/v1/x?a=%20b", "http://h:8000", "http://h:8000/v1/x?a=%20b"),
            ("/v1/x?a", "https://h/p/q/", "https://h/p/q/v1/x?a"),
            ("http://gateway:1/v1//x", "http://h", "http://h/v1//x"),
            ("https://gateway", "http://h/p", "http://h/p/"),
        ] {
            assert_eq!(rewritten(Request::post(from), to).uri, expected);
        }
    }

    #[test]
    fn targets_without_a_path_are_refused() {
        for target in ["*", "host:80"] {
            let (mut head, ()) = Request::post(target).body(()).unwrap().into_parts();
            let error = request_head(&mut head, &endpoint("http://h/p"), 0, None).unwrap_err();
            assert_eq!(error.kind(), RouteErrorKind::InvalidTarget);
        }
    }

    #[test]
    fn a_path_too_long_with_its_prefix_is_refused() {
        let path = format!("/{}", "a".repeat(usize::from(u16::MAX) - 10));
        let (mut head, ()) = Request::post(path).body(()).unwrap().into_parts();
        let endpoint = endpoint("http://h/a/long/enough/prefix");
        assert!(request_head(&mut head, &endpoint, 0, None).is_err());
    }

    #[test]
    fn what_belongs_to_the_connection_stays_behind() {
        let request = Request::post("/")
            .version(Version::HTTP_2)
            .header("host", "gateway")
            .header("connection", "close, X-Internal")
            .header("connection", "x-other , , @")
            .header("x-internal", "1")
            .header("x-internal", "2")
            .header("x-other", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("trailer", "etag")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c")
            .header("http2-settings", "x")
            .header("proxy-authorization", "secret")
            .header("proxy-anything", "x")
            .header("expect", "100-continue")
            .header("content-length", "5")
            .header("authorization", "Bearer x")
            .header("x-kept", "1")
            .header("x-kept", "2");
        let head = rewritten(request, "http://h:8000");
        assert_eq!(head.version, Version::HTTP_11);
        let mut left: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "authorization: Bearer x",
                "content-length: 7",
                "host: h:8000",
                "x-kept: 1",
                "x-kept: 2"
            ]
        );
    }

    #[test]
    fn trailers_are_announced_and_take_the_place_of_the_length() {
        let (mut head, ()) = Request::post("/")
            .header("content-length", "7")
            .body(())
            .unwrap()
            .into_parts();
        let trailers = HeaderMap::from_iter([
            (HeaderName::from_static("x-sum"), HeaderValue::from(1)),
            (HeaderName::from_static("x-end"), HeaderValue::from(2)),
        ]);
        request_head(&mut head, &endpoint("http://h"), 7, Some(&trailers)).unwrap();
        assert!(!head.headers.contains_key(CONTENT_LENGTH));
        let announced: Vec<_> = head.headers.get_all(TRAILER).iter().collect();
        assert_eq!(announced.len(), 2);
    }

    #[test]
    fn the_answer_loses_its_connection_but_not_its_trailers() {
        let mut response = Response::builder()
            .version(Version::HTTP_10)
            .header("connection", "keep-alive, x-hop")
            .header("x-hop", "1")
            .header("transfer-encoding", "chunked")
            .header("trailer", "etag")
            .header("content-type", "text/event-stream")
            .body(())
            .unwrap();
        response_head(&mut response);
        let mut left: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "trailer"]);
        assert_eq!(response.version(), Version::HTTP_11);

        let mut upgrade = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .body(())
            .unwrap();
        response_head(&mut upgrade);
        assert_eq!(upgrade.headers().len(), 2);
    }

    #[test]
    fn a_span_outside_the_body_is_not_spliced() {
        let body = Bytes::from_static(b"abc");
        let reversed = Range { start: 2, end: 1 };
        for span in [0..4, 4..4, reversed] {
            assert_eq!(splice(&body, span, Bytes::new()), None);
        }
    }

    proptest! {
        #[test]
        fn splice_changes_nothing_but_the_value(
            before: Vec<u8>, old: Vec<u8>, after: Vec<u8>, new: Vec<u8>,
        ) {
            let body = Bytes::from([&*before, &old, &after].concat());
            let span = before.len()..before.len() + old.len();
            let pieces = splice(&body, span, Bytes::from(new.clone())).unwrap();
            prop_assert_eq!(pieces.concat(), [&*before, &new, &after].concat());
        }
    }
}
