//! Which fields may be trailers.

use http::{HeaderMap, HeaderName};

/// Leaves of `trailers` those that are passed on.
pub(crate) fn retain_trailers(trailers: &mut HeaderMap) {
    let names = trailers.keys().filter(|name| !may_be_trailer(name));
    for name in names.cloned().collect::<Vec<_>>() {
        trailers.remove(name);
    }
}

/// Whether a field may come after the body: not if the body, the way to its reader or the
/// right to ask depends on it (RFC 9110 section 6.5.1), nor if it belongs to the connection. Some of
/// them hyper does not send over HTTP/1.1, announced or not.
pub(crate) fn may_be_trailer(name: &HeaderName) -> bool {
    const NAMES: [&str; 23] = [
        "api-key",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-api-key",
        "x-goog-api-key",
        "x-real-ip",
    ];
    let name = name.as_str();
    let is_of_proxies = name.starts_with("proxy-") && name != "proxy-status";
    NAMES.binary_search(&name).is_err() && !is_of_proxies && !name.starts_with("x-forwarded-")
}
