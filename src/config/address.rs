//! The address of an endpoint, parsed.

use std::sync::Arc;

use http::{
    HeaderValue, Uri,
    uri::{Authority, Scheme},
};

use super::mistake::Reason;

/// An endpoint's URI, parsed and normalised once, when the table is built.
///
/// The authority is lower-case and without a default port: a client's pool
/// treats `h` and `h:80` as different hosts.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    pub(crate) host: HeaderValue,
    /// The prefix of each request's path: empty, or `/a/b`.
    pub(crate) prefix: Box<str>,
    /// `scheme://authority/prefix`, for people.
    pub(crate) uri: Arc<str>,
}

impl Address {
    /// The host, and the port, which may be the scheme's.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        let port = self.authority.port_u16();
        let default_port = default_port(&self.scheme);
        (self.authority.host(), port.unwrap_or(default_port))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Reason> {
        // Uri's parser drops a fragment without a word.
        if text.contains('#') {
            return Err(Reason::from("it has a fragment"));
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| Reason::from("it is not a valid URI"))?;
        let scheme = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("http") => Scheme::HTTP,
            Some("https") => Scheme::HTTPS,
            Some(_) => return Err(Reason::from("its scheme is neither http nor https")),
            None => return Err(Reason::from("it has no scheme (http:// or https://)")),
        };
        if uri.query().is_some() {
            return Err(Reason::from("it has a query"));
        }
        let authority = uri
            .authority()
            .ok_or(Reason::from("it has no host"))
            .and_then(|authority| normalise(authority, &scheme))?;
        let prefix: Box<str> = uri.path().trim_end_matches('/').into();
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| Reason::from("its host is not valid"))?;
        Ok(Self {
            uri: format!("{scheme}://{authority}{prefix}").into(),
            scheme,
            authority,
            host,
            prefix,
        })
    }
}

fn normalise(authority: &Authority, scheme: &Scheme) -> Result<Authority, Reason> {
    if authority.as_str().contains('@') {
        return Err(Reason::from("it has user information"));
    }
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() {
        return Err(Reason::from("it has no host"));
    }
    let default_port = default_port(scheme);
    let text = match (authority.port_u16(), authority.as_str().len() == host.len()) {
        (None, true) => host,
        (Some(port), false) if port == default_port => host,
        (Some(port @ 1..), false) => format!("{host}:{port}"),
        _ => return Err(Reason::from("its port is not a number from 1 to 65535")),
    };
    text.parse()
        .map_err(|_| Reason::from("its host is not valid"))
}

fn default_port(scheme: &Scheme) -> u16 {
    if *scheme == Scheme::HTTPS { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Result<Arc<str>, String> {
        Address::parse(text)
            .map(|address| address.uri)
            .map_err(|reason| reason.to_string())
    }

    #[test]
    fn authorities_are_normalised() {
        for (text, expected) in [
            ("http://H.example", "http://h.example"),
            ("http://h:80/", "http://h"),
            ("HTTP://h:8000", "http://h:8000"),
            ("https://h:443/v/", "https://h/v"),
            ("https://h:80", "https://h:80"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://[::1]:8000/a/b//", "http://[::1]:8000/a/b"),
        ] {
            assert_eq!(&*uri(text).expect(text), expected);
        }
    }

    #[test]
    fn what_is_not_an_endpoint_is_refused_with_the_reason() {
        for (text, expected) in [
            ("", "valid URI"),
            ("not a uri", "valid URI"),
            ("localhost:8000", "no scheme"),
            ("/v1", "no scheme"),
            ("ftp://h", "neither http"),
            ("http://user:secret@h", "user information"),
            ("http://h/?", "a query"),
            ("http://h/v1?a=b", "a query"),
            ("http://h/#top", "a fragment"),
            ("http://h:0", "its port"),
            ("http://h:99999", "its port"),
            ("http://h:", "its port"),
            ("http://:80", "host"),
        ] {
            let error = uri(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
