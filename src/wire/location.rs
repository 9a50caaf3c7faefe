//! `Location` and `Content-Location` of an engine's answer, as the client needs
//! them.

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LOCATION, LOCATION},
};

use crate::config::Address;

/// Makes `Location` and `Content-Location` relative where they point at the engine itself, so that
/// a client that follows them comes back to the gateway.
pub(crate) fn hide_endpoint(headers: &mut HeaderMap, from: &Address) {
    for name in [LOCATION, CONTENT_LOCATION] {
        if let Some(value) = headers.get_mut(name)
            && let Some(seen) = value.to_str().ok().and_then(|text| relative(text, from))
            && let Ok(seen) = HeaderValue::try_from(seen)
        {
            *value = seen;
        }
    }
}

/// The reference as the client needs it, if that is another one.
fn relative(reference: &str, from: &Address) -> Option<String> {
    let path = match reference.split_once("//") {
        Some(("", rest)) => at_engine(from.scheme.as_str(), rest, from)?,
        Some((scheme, rest)) if scheme.ends_with(':') && !scheme.contains(['/', '?', '#']) => {
            at_engine(scheme.strip_suffix(':')?, rest, from)?
        }
        _ if reference.starts_with('/') => without_prefix(reference, from)?.to_owned(),
        _ => return None,
    };
    let path = without_prefix(&path, from).map_or(path.clone(), str::to_owned);
    let path = match path.as_bytes() {
        [] | [b'?' | b'#', ..] => format!("/{path}"),
        // Two slashes would be a host.
        [b'/', b'/' | b'\\', ..] => format!("/.{path}"),
        _ => path,
    };
    (path != reference).then_some(path)
}

/// What follows the authority, if that is the endpoint's.
fn at_engine(scheme: &str, rest: &str, from: &Address) -> Option<String> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let named = Address::parse(&format!("{scheme}://{authority}")).ok()?;
    let at = from.at.as_ref().map(|at| &at.authority);
    let is_engine = named.authority == from.authority || Some(&named.authority) == at;
    is_engine.then(|| path.to_owned())
}

fn without_prefix<'p>(path: &'p str, from: &Address) -> Option<&'p str> {
    let rest = path.strip_prefix(&*from.prefix)?;
    let is_below = rest.is_empty() || rest.starts_with(['/', '?', '#']);
    (is_below && !from.prefix.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(endpoint: &str, reference: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, reference.parse().unwrap());
        headers.insert(CONTENT_LOCATION, reference.parse().unwrap());
        hide_endpoint(&mut headers, &Address::parse(endpoint).unwrap());
        assert_eq!(headers[LOCATION], headers[CONTENT_LOCATION]);
        headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn what_points_at_the_endpoint_becomes_relative() {
        for (endpoint, reference, expected) in [
            ("http://e0:8000", "http://e0:8000/v1/x?a#b", "/v1/x?a#b"),
            ("http://e0", "http://E0:80/v1/x", "/v1/x"),
            ("http://e0", "HTTP://e0", "/"),
            ("http://e0", "http://e0?a", "/?a"),
            ("http://e0", "//e0/v1/x", "/v1/x"),
            ("http://e0:8000", "https://e0:8000/x", "/x"),
            ("http://e0/p", "http://e0/p/v1/x", "/v1/x"),
            ("http://e0/p", "/p/v1/x", "/v1/x"),
            ("http://e0/p", "/p", "/"),
            ("http://e0/p", "/p?a", "/?a"),
            ("http://e0/p", "http://e0/other", "/other"),
            ("http://e0", "http://e0//evil.test/x", "/.//evil.test/x"),
            ("http://e0/p", "/p//evil.test/x", "/.//evil.test/x"),
            ("http://e0/p", "/p/\\evil.test", "/./\\evil.test"),
        ] {
            assert_eq!(seen(endpoint, reference), expected, "{reference}");
        }
    }

    #[test]
    fn what_points_elsewhere_stays() {
        for (endpoint, reference) in [
            ("http://e0:8000", "http://e0/v1/x"),
            ("http://e0", "https://docs.example/errors"),
            ("http://e0", "//other/x"),
            ("http://e0", "http://e0@other/x"),
            ("http://e0", "http://user@e0/x"),
            ("http://e0", "/v1/x?to=http://e0/"),
            ("http://e0", "v1/x"),
            ("http://e0", "?a"),
            ("http://e0", ""),
            ("http://e0/p", "/prefix/x"),
            ("http://e0/p", "/v1/x"),
            ("http://e0", "mailto:a@e0"),
            ("http://e0", "x/http://e0/"),
        ] {
            assert_eq!(seen(endpoint, reference), reference);
        }
    }
}
