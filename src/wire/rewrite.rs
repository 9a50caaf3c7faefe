//! All changes to the heads of requests and responses on their way through the gateway.

use std::ops::Range;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, Version,
    header::{
        ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
    uri::PathAndQuery,
};
use http_body::Body;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{at_address::AtAddress, fields::Fields};
use crate::{
    config::Address,
    error::{RouteError, RouteErrorKind},
    model::{ExtractedModel, Location, has_body},
    pieces::members,
    upload::may_be_trailer,
};

/// Removes the fields of the client's connection from `head`, which has these `fields`.
///
/// The version becomes HTTP/1.1: an HTTP/2 version can't be sent over an
/// HTTP/1 connection, and an HTTP client that speaks HTTP/2 to the engine sets
/// the version itself.
pub(crate) fn end_hop(head: &mut Parts, fields: Fields) {
    let version = std::mem::replace(&mut head.version, Version::HTTP_11);
    if version > Version::HTTP_11 {
        join_cookies(&mut head.headers);
    }
    if fields.has(Fields::EXPECT) {
        head.headers.remove(EXPECT);
    }
    if !fields.has(Fields::CONNECTION) {
        return;
    }
    // (In HTTP/1.0 `Upgrade` says nothing, and HTTP/2 has none: RFC 9110 section 7.8.)
    let upgrades = version == Version::HTTP_11 && asks_for_websocket(&head.method, &head.headers);
    let headers = &mut head.headers;
    strip(headers);
    if upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    }
}

/// The answer is to be read on its way, so it must not be compressed (RFC 9110 section 12.5.3).
pub(crate) fn ask_for_plain(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Addresses `head` to the endpoint `to`: the URI becomes absolute, and Host the
/// endpoint's. To one of several addresses of a name it has an [`AtAddress`].
///
/// Fails with `invalid_target` if the URI has no path, or one that is too long
/// with the endpoint's prefix.
pub(crate) fn address(head: &mut Parts, to: &Address) -> Result<(), RouteError> {
    upstream_uri(to, &mut head.uri).ok_or_else(invalid_target)?;
    AtAddress::mark(head, to);
    set(&mut head.headers, HOST, to.host.clone());
    Ok(())
}

/// Announces the body's `length`. With `None` no length is announced: the body
/// is then sent in chunks, after which trailers may follow, and only then.
pub(crate) fn frame(head: &mut Parts, length: Option<u64>) {
    let bodyless = !has_body(head);
    let headers = &mut head.headers;
    match length {
        None => {
            headers.remove(CONTENT_LENGTH);
            if head.method == Method::GET || head.method == Method::HEAD {
                // hyper sends no body with these unless its framing is said.
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        Some(0) if bodyless => _ = headers.remove(CONTENT_LENGTH),
        Some(length) => set_length(headers, length),
    }
}

/// A body with a length has no trailers.
pub(crate) fn end_trailers(headers: &mut HeaderMap, fields: Fields) {
    if fields.has(Fields::TRAILER) {
        headers.remove(TRAILER);
    }
}

/// Announces the trailers of a complete body: hyper sends only announced ones.
pub(crate) fn announce_trailers(headers: &mut HeaderMap, trailers: &HeaderMap) {
    headers.remove(TRAILER);
    for name in trailers.keys() {
        headers.append(TRAILER, HeaderValue::from(name.clone()));
    }
}

/// Announces of the client's trailers, which are still to come, those that are passed on.
pub(crate) fn pass_announcement(headers: &mut HeaderMap, fields: Fields) {
    if !fields.has(Fields::TRAILER) {
        return;
    }
    let names: Vec<HeaderName> = members(headers, &TRAILER)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(may_be_trailer)
        .collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    match HeaderValue::from_str(&names.join(", ")) {
        Ok(names) if !names.is_empty() => _ = headers.insert(TRAILER, names),
        _ => _ = headers.remove(TRAILER),
    }
}

/// Writes the real `name` in place of `model` in the URI: in the path, in the query.
pub(crate) fn model_in_uri(
    head: &mut Parts,
    model: &ExtractedModel,
    name: &str,
) -> Result<(), RouteError> {
    let span = match &model.location {
        Location::Path(span) => Some(span.clone()),
        Location::Query(span) => {
            let query = head.uri.path().len() + 1;
            Some(query + span.start..query + span.end)
        }
        Location::Nowhere | Location::Body { .. } => None,
    };
    if let Some(span) = span {
        replace_in_uri(&mut head.uri, span, name).ok_or_else(invalid_target)?;
    }
    Ok(())
}

/// Writes `name` into the header that also names the model, if one does.
pub(crate) fn model_in_header(head: &mut Parts, model: &ExtractedModel, name: &str) {
    if let Some(header) = model.header.as_deref() {
        // If a header can't hold the name, it is removed: the engine must not read the old one.
        match HeaderValue::from_str(name) {
            Ok(value) => _ = head.headers.insert(header, value),
            Err(_) => _ = head.headers.remove(header),
        }
    }
}

/// Sets the fields that belong to the engine, such as its API key.
pub(crate) fn overwrite(head: &mut Parts, headers: &[(HeaderName, HeaderValue)]) {
    for (name, value) in headers {
        head.headers.insert(name, value.clone());
    }
}

/// Gives the client's fields back that an earlier attempt has overwritten: the key of one engine
/// is not for another.
pub(crate) fn restore(head: &mut Parts, fields: &[(HeaderName, Vec<HeaderValue>)]) {
    for (name, values) in fields {
        head.headers.remove(name);
        for value in values {
            head.headers.append(name, value.clone());
        }
    }
}

/// The characters that need no escape in a URI (RFC 3986 section 2.3); all else is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn replace_in_uri(uri: &mut Uri, span: Range<usize>, name: &str) -> Option<()> {
    let old = uri.path_and_query()?.as_str();
    let mut new = old.get(..span.start)?.to_owned();
    new.extend(utf8_percent_encode(name, ESCAPED));
    new.push_str(old.get(span.end..)?);
    let new = PathAndQuery::from_maybe_shared(Bytes::from(new)).ok()?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(new);
    *uri = Uri::from_parts(parts).ok()?;
    Some(())
}

fn invalid_target() -> RouteError {
    RouteError::new(
        RouteErrorKind::InvalidTarget,
        "the request's target is not a path that can be forwarded",
    )
}

/// Removes the fields of the connection with the engine from its answer, which has these `fields`.
///
/// The answer to an upgrade (101) is left unchanged: there those fields are the
/// message.
pub(crate) fn response_head<R>(response: &mut Response<R>, fields: Fields) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    // A proxy sends its own version, not the one that it received (RFC 9110 section 6.2).
    *response.version_mut() = Version::HTTP_11;
    if fields.has(Fields::TRANSFER_CODING) {
        // A Content-Length next to it does not count (RFC 9112 section 6.3).
        response.headers_mut().remove(CONTENT_LENGTH);
    } else if fields.has(Fields::ODD_LENGTH) {
        one_length(response.headers_mut());
    }
    if fields.has(Fields::CONNECTION) {
        strip(response.headers_mut());
    }
}

/// Writes a length that is said several times once (RFC 9110 section 8.6): HTTP/2 clients take no
/// other. One that is no number is removed.
fn one_length(headers: &mut HeaderMap) {
    let length = {
        let mut said = members(headers, &CONTENT_LENGTH).map(number);
        let first = said.next().flatten();
        first.filter(|_| said.all(|length| length == first))
    };
    match length {
        Some(length) => headers.insert(CONTENT_LENGTH, length.into()),
        None => headers.remove(CONTENT_LENGTH),
    };
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Fails if the answer's body is coded in its transfer otherwise than in chunks, which the request
/// has not allowed (it has no `TE`; RFC 9112 section 7.4): the coding would be taken off its name
/// and stay on its body.
pub(crate) fn check_transfer<R: Body>(response: &Response<R>) -> Result<(), RouteError> {
    if response.body().is_end_stream() {
        return Ok(());
    }
    let mut codings = members(response.headers(), &TRANSFER_ENCODING)
        // As old servers call none.
        .filter(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if codings.next().is_none_or(is_chunked) && codings.next().is_none() {
        return Ok(());
    }
    Err(RouteError::new(
        RouteErrorKind::UpstreamUnreachable,
        "the engine's answer has a transfer coding that was not asked for",
    ))
}

/// Lets what is said about the client's bytes go; the engine gets others.
pub(super) fn remove_digests(headers: &mut HeaderMap) {
    for name in named(headers, Fields::DIGEST) {
        headers.remove(name);
    }
}

/// The names of the fields that are of `these`.
fn named(headers: &HeaderMap, these: Fields) -> Vec<HeaderName> {
    let names = headers.keys();
    let are = names.filter(|name| Fields::named(name.as_str()).has(these));
    are.cloned().collect()
}

/// HTTP/2 may send each cookie in its own field; HTTP/1.1 may not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Whether a request asks for a WebSocket, with a GET (RFC 6455 section 4.1).
///
/// No other protocol is asked for: with one that engines or their proxies may know, such as `h2c`,
/// a client would get a tunnel past every rule and limit.
pub(crate) fn asks_for_websocket(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET && names_websocket(headers)
}

/// Whether `Upgrade` names WebSocket, and `Connection` names `Upgrade` (RFC 9110 section 7.8).
pub(crate) fn names_websocket(headers: &HeaderMap) -> bool {
    let names = |field, token: &[u8]| {
        members(headers, field).any(|named| named.eq_ignore_ascii_case(token))
    };
    names(&UPGRADE, WEBSOCKET.as_bytes()) && names(&CONNECTION, b"upgrade")
}

const WEBSOCKET: &str = "websocket";

/// Sets a field, in its place if it is there: an insertion would first make room for one more.
fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    match only(headers, &name) {
        Some(old) => *old = value,
        None => _ = headers.insert(name, value),
    }
}

/// Announces the length of a body, in the client's own digits if they say so already.
pub(crate) fn set_length(headers: &mut HeaderMap, length: u64) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(length);
    // (`HeaderValue::from(u64)` allocates twice.)
    let value = || HeaderValue::from_str(digits).unwrap_or_else(|_| HeaderValue::from(length));
    match only(headers, &CONTENT_LENGTH) {
        Some(said) if *said == digits => {}
        Some(said) => *said = value(),
        None => _ = headers.insert(CONTENT_LENGTH, value()),
    }
}

/// The value of a field, in a head in which no name is there twice.
fn only<'h>(headers: &'h mut HeaderMap, name: &HeaderName) -> Option<&'h mut HeaderValue> {
    let are_single = headers.len() == headers.keys_len();
    are_single.then(|| headers.get_mut(name))?
}

/// Makes `uri` absolute. `None` for targets without a path (`*`, CONNECT) and for
/// paths that are too long with the prefix; those URIs are left unchanged.
fn upstream_uri(to: &Address, uri: &mut Uri) -> Option<()> {
    let path = uri.path_and_query()?.as_str();
    let slash = match path.bytes().next() {
        Some(b'/') => "",
        // An empty path with a query, which only an absolute target can have.
        Some(b'?') => "/",
        _ => return None,
    };
    let joined = if to.prefix.is_empty() && slash.is_empty() {
        None
    } else {
        let joined = [&*to.prefix, slash, path].concat();
        Some(PathAndQuery::from_maybe_shared(Bytes::from(joined)).ok()?)
    };
    let mut parts = std::mem::take(uri).into_parts();
    parts.scheme = Some(to.scheme.clone());
    parts.authority = Some(to.authority_of_uri().clone());
    parts.path_and_query = joined.or(parts.path_and_query);
    *uri = Uri::from_parts(parts).ok()?;
    Some(())
}

/// Whether this field belongs to the message, whatever Connection says (RFC 9110 section 7.6.1
/// forbids naming such a field). Otherwise a client could take the Host, the credentials or the
/// format of the body away from a request after it was routed by them.
fn is_end_to_end(name: &HeaderName) -> bool {
    const PREFIXES: [&str; 8] = [
        "accept",
        "access-control-",
        "anthropic-",
        "content-",
        "if-",
        "openai-",
        "sec-",
        "x-forwarded-",
    ];
    const NAMES: [&str; 29] = [
        "age",
        "api-key",
        "authorization",
        "cache-control",
        "cookie",
        "date",
        "etag",
        "expires",
        "forwarded",
        "from",
        "host",
        "inference-header-content-length",
        "last-modified",
        "location",
        "origin",
        "proxy-status",
        "range",
        "referer",
        "retry-after",
        "set-cookie",
        "traceparent",
        "tracestate",
        "user-agent",
        "vary",
        "via",
        "www-authenticate",
        "x-api-key",
        "x-goog-api-key",
        "x-request-id",
    ];
    let name = name.as_str();
    NAMES.binary_search(&name).is_ok() || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Removes the fields of the connection, and those that Connection names and that are not end-to-end.
fn strip(headers: &mut HeaderMap) {
    let mut names: Vec<HeaderName> = members(headers, &CONNECTION)
        // What clients send, which would only be parsed to be looked up in vain.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !is_end_to_end(name))
        .collect();
    names.extend(named(headers, Fields::CONNECTION));
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn endpoint(uri: &str) -> Address {
        Address::parse(uri).unwrap()
    }

    fn rewritten(request: http::request::Builder, to: &str) -> Parts {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        request_head(&mut head, &endpoint(to), Some(7)).unwrap();
        head
    }

    fn request_head(head: &mut Parts, to: &Address, length: Option<u64>) -> Result<(), RouteError> {
        let fields = Fields::of(&head.headers);
        end_hop(head, fields);
        if length.is_some() {
            end_trailers(&mut head.headers, fields);
        }
        address(head, to)?;
        frame(head, length);
        Ok(())
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
            let error = request_head(&mut head, &endpoint("http://h/p"), None).unwrap_err();
            assert_eq!(error.kind(), RouteErrorKind::InvalidTarget);
        }
    }

    #[test]
    fn a_path_too_long_with_its_prefix_is_refused() {
        let path = format!("/{}", "a".repeat(usize::from(u16::MAX) - 10));
        let (mut head, ()) = Request::post(path).body(()).unwrap().into_parts();
        let endpoint = endpoint("http://h/a/long/enough/prefix");
        assert!(request_head(&mut head, &endpoint, None).is_err());
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
        announce_trailers(&mut head.headers, &trailers);
        request_head(&mut head, &endpoint("http://h"), None).unwrap();
        assert!(!head.headers.contains_key(CONTENT_LENGTH));
        let announced: Vec<_> = head.headers.get_all(TRAILER).iter().collect();
        assert_eq!(announced.len(), 2);
    }

    #[test]
    fn trailers_that_may_not_be_are_neither_announced_nor_sent() {
        let forbidden = [
            "authorization",
            "cache-control",
            "content-encoding",
            "content-length",
            "content-range",
            "content-type",
            "host",
            "max-forwards",
            "set-cookie",
            "te",
            "trailer",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "upgrade",
            "proxy-authorization",
            "api-key",
            "cookie",
            "forwarded",
            "via",
            "x-api-key",
            "x-forwarded-host",
            "x-goog-api-key",
        ];
        let mut trailers = HeaderMap::new();
        for name in forbidden.iter().chain(&["x-sum", "etag"]) {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from(1));
        }
        let mut headers = HeaderMap::new();
        headers.insert(TRAILER, forbidden.join(",").parse().unwrap());
        headers.append(TRAILER, "Content-Length , X-Sum,,etag, @".parse().unwrap());
        let said = Fields::of(&headers);
        pass_announcement(&mut headers, said);
        let announced: Vec<_> = headers.get_all(TRAILER).iter().collect();
        assert_eq!(announced, ["x-sum, etag"]);
        headers.insert(TRAILER, HeaderValue::from_static("host, te"));
        pass_announcement(&mut headers, said);
        assert!(headers.is_empty());

        // It may come behind the body (RFC 9209 section 2).
        trailers.insert("proxy-status", HeaderValue::from(1));
        let left = trailers.keys().filter(|name| may_be_trailer(name));
        let mut left: Vec<_> = left.map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["etag", "proxy-status", "x-sum"]);
        let is_of_connection = |name: &&str| Fields::named(name).has(Fields::CONNECTION);
        assert!(!left.iter().any(is_of_connection));
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
        let fields = Fields::of(response.headers());
        response_head(&mut response, fields);
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
        let fields = Fields::of(upgrade.headers());
        response_head(&mut upgrade, fields);
        assert_eq!(upgrade.headers().len(), 2);
    }
}
