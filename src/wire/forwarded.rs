//! What engines are told about the client.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, HOST},
    request::Parts,
};

use crate::server::client_ip;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How to treat the headers that tell an engine where a request came from:
/// `X-Forwarded-For`, `X-Forwarded-Host`, `X-Forwarded-Proto`, and `Forwarded`
/// (RFC 7239).
///
/// The client's address is a `SocketAddr` or an `IpAddr` in the request's
/// extensions, as for [`HashKey::ClientAddr`](crate::HashKey::ClientAddr), its
/// host the authority or `Host` of its request, and its protocol the scheme of
/// an absolute URI (HTTP/2 always has one). What is not known is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedFields {
    /// They are passed on as the client sent them.
    #[default]
    Unchanged,
    /// They are removed.
    Remove,
    /// Those of the client are removed, and new ones are set: for a gateway
    /// that clients reach directly.
    Replace,
    /// The client is added to the lists, and its host and protocol are set if
    /// there are none: for a gateway behind proxies that can be trusted.
    Append,
}

impl ForwardedFields {
    /// Sets the fields of a request that still has the client's URI and Host.
    pub(crate) fn set(self, head: &mut Parts) {
        match self {
            Self::Unchanged => return,
            Self::Append => {}
            Self::Remove | Self::Replace => {
                for name in [
                    FORWARDED,
                    X_FORWARDED_FOR,
                    X_FORWARDED_HOST,
                    X_FORWARDED_PROTO,
                ] {
                    head.headers.remove(name);
                }
                if self == Self::Remove {
                    return;
                }
            }
        }
        let address = client_ip(&head.extensions);
        let host = match head.uri.authority() {
            // Not who is in front of the host.
            Some(authority) => authority.as_str().rsplit('@').next().map(str::to_owned),
            None => text_of(&head.headers, &HOST),
        };
        let proto = head.uri.scheme_str().map(str::to_owned);
        let headers = &mut head.headers;
        if let Some(address) = address {
            add(headers, X_FORWARDED_FOR, &address.to_string());
        }
        for (name, value) in [(X_FORWARDED_HOST, &host), (X_FORWARDED_PROTO, &proto)] {
            if let Some(value) = value
                && !headers.contains_key(&name)
            {
                add(headers, name, value);
            }
        }
        let pairs = [("for", address.map(node)), ("host", host), ("proto", proto)];
        let element: Vec<_> = pairs
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", quoted(&value?))))
            .collect();
        if !element.is_empty() {
            add(headers, FORWARDED, &element.join(";"));
        }
    }
}

/// Adds an element to the list that all fields of this name are together.
fn add(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let mut joined = Vec::new();
    for value in headers.get_all(&name) {
        joined.extend_from_slice(value.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        // A request that has no room for another field goes without.
        _ = headers.try_insert(name, value);
    }
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// An address as RFC 7239 section 6 has it.
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// A token as it is, anything else as a quoted string.
fn quoted(value: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    match value.bytes().all(is_token) {
        true => value.to_owned(),
        false => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::Request;

    use super::*;

    const NAMES: [&str; 4] = [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "forwarded",
    ];

    fn set(fields: ForwardedFields, request: http::request::Builder) -> [Option<String>; 4] {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        fields.set(&mut head);
        NAMES.map(|name| {
            assert!(head.headers.get_all(name).iter().count() < 2);
            text_of(&head.headers, &name.parse().unwrap())
        })
    }

    fn told(values: [Option<&str>; 4]) -> [Option<String>; 4] {
        values.map(|value| value.map(str::to_owned))
    }

    fn from_proxy() -> http::request::Builder {
        let client: SocketAddr = "[2001:db8::1]:5000".parse().unwrap();
        Request::post("/v1/x")
            .extension(client)
            .header("host", "gateway:8080")
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-forwarded-for", "10.0.0.1")
            .header("x-forwarded-host", "public.example")
            .header("forwarded", "for=203.0.113.7")
    }

    #[test]
    fn by_default_they_pass_and_they_can_be_removed() {
        let (head, ()) = from_proxy().body(()).unwrap().into_parts();
        let mut same = head.clone();
        ForwardedFields::default().set(&mut same);
        assert_eq!(head.headers, same.headers);
        assert_eq!(set(ForwardedFields::Remove, from_proxy()), told([None; 4]));
    }

    #[test]
    fn the_clients_own_are_replaced() {
        assert_eq!(
            set(ForwardedFields::Replace, from_proxy()),
            told([
                Some("2001:db8::1"),
                Some("gateway:8080"),
                None,
                Some("for=\"[2001:db8::1]\";host=\"gateway:8080\""),
            ])
        );
        let http2 = Request::post("https://me@gateway.example/v1/x")
            .extension(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(
            set(ForwardedFields::Replace, http2),
            told([
                Some("192.0.2.1"),
                Some("gateway.example"),
                Some("https"),
                Some("for=192.0.2.1;host=gateway.example;proto=https"),
            ])
        );
    }

    #[test]
    fn lists_grow_and_what_the_first_proxy_said_stays() {
        assert_eq!(
            set(ForwardedFields::Append, from_proxy()),
            told([
                Some("203.0.113.7, 10.0.0.1, 2001:db8::1"),
                Some("public.example"),
                None,
                Some("for=203.0.113.7, for=\"[2001:db8::1]\";host=\"gateway:8080\""),
            ])
        );
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let unknown = Request::post("/v1/x");
        assert_eq!(set(ForwardedFields::Replace, unknown), told([None; 4]));
    }
}
