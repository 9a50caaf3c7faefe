//! What ends with the client's connection, where a request is forwarded as it came. (The library sees
//! to those that are routed.)

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Request, Version,
    header::{CONNECTION, COOKIE, EXPECT, TE, UPGRADE},
};

/// Makes a client's request one of HTTP/1.1, without the fields of the client's connection (RFC 9110
/// section 7.6.1). Nor does it ask for another protocol: nobody would carry that.
pub(crate) fn end<B>(request: &mut Request<B>) {
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|names| names.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !is_end_to_end(name.as_str()))
        .collect();
    let of_proxies = headers.keys().filter(|name| is_of_proxies(name));
    let of_proxies: Vec<HeaderName> = of_proxies.cloned().collect();
    let own = ["keep-alive", "http2-settings"].map(HeaderName::from_static);
    let own = own.into_iter().chain([CONNECTION, EXPECT, TE, UPGRADE]);
    for name in named.into_iter().chain(of_proxies).chain(own) {
        headers.remove(name);
    }
    join_cookies(headers);
}

/// Whether this belongs to the message, whatever Connection says: a client can't take it from those
/// who go by it.
fn is_end_to_end(name: &str) -> bool {
    let is_of_body = name.starts_with("content-");
    is_of_body
        || name.starts_with("x-forwarded-")
        || matches!(
            name,
            "authorization" | "cookie" | "forwarded" | "host" | "via"
        )
}

fn is_of_proxies(name: &HeaderName) -> bool {
    name.as_str().starts_with("proxy-")
}

/// HTTP/2 has a field for each, HTTP/1.1 one for all (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let cookies: Vec<&[u8]> = cookies.collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}
