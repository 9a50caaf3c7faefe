//! One engine address: its parsed parts, and what goes on there.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use http::{
    HeaderValue, Uri,
    uri::{Authority, Scheme},
};

use super::health::Health;
use crate::server::balance::ewma::Ewma;

/// An endpoint, parsed and normalised once, when the table is built.
///
/// The authority is lower-case and without a default port: a client's pool
/// treats `h` and `h:80` as different hosts.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    pub(crate) host: HeaderValue,
    /// What stands in front of a request's path: empty, or `/a/b`.
    pub(crate) prefix: Box<str>,
    /// `scheme://authority/prefix`, for people.
    pub(crate) uri: Arc<str>,
    pub(crate) health: Health,
    pub(crate) counts: Counts,
    /// Observed only where the balance goes by it.
    pub(crate) latency: Ewma,
    in_flight: AtomicUsize,
}

/// What has happened at an endpoint so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) ejections: AtomicU64,
}

/// Why a text is not an endpoint's URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidEndpoint(pub(crate) &'static str);

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        // Uri's parser drops a fragment without a word.
        if text.contains('#') {
            return Err(InvalidEndpoint("it has a fragment"));
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| InvalidEndpoint("it is not a valid URI"))?;
        let scheme = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("http") => Scheme::HTTP,
            Some("https") => Scheme::HTTPS,
            Some(_) => return Err(InvalidEndpoint("its scheme is neither http nor https")),
            None => return Err(InvalidEndpoint("it has no scheme (http:// or https://)")),
        };
        if uri.query().is_some() {
            return Err(InvalidEndpoint("it has a query"));
        }
        let authority = uri
            .authority()
            .ok_or(InvalidEndpoint("it has no host"))
            .and_then(|authority| normalise(authority, &scheme))?;
        let prefix: Box<str> = uri.path().trim_end_matches('/').into();
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| InvalidEndpoint("its host is not valid"))?;
        Ok(Self {
            uri: format!("{scheme}://{authority}{prefix}").into(),
            scheme,
            authority,
            host,
            prefix,
            health: Health::default(),
            counts: Counts::default(),
            latency: Ewma::new(),
            in_flight: AtomicUsize::new(0),
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether [`begin`](Self::begin) would count one more.
    pub(crate) fn has_room(&self, max: Option<usize>) -> bool {
        // In the order that `begin` speaks of.
        max.is_none_or(|max| self.in_flight.load(Ordering::SeqCst) < max)
    }

    /// Counts one more request in flight, unless there are `max` already.
    pub(crate) fn begin(&self, max: Option<usize>) -> bool {
        let Some(max) = max else {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        // In one order with the queue's count of those who wait: see there.
        let counted = self
            .in_flight
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                (count < max).then_some(count + 1)
            });
        counted.is_ok()
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

fn normalise(authority: &Authority, scheme: &Scheme) -> Result<Authority, InvalidEndpoint> {
    if authority.as_str().contains('@') {
        return Err(InvalidEndpoint("it has user information"));
    }
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() {
        return Err(InvalidEndpoint("it has no host"));
    }
    let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let text = match (authority.port_u16(), authority.as_str().len() == host.len()) {
        (None, true) => host,
        (Some(port), false) if port == default_port => host,
        (Some(port @ 1..), false) => format!("{host}:{port}"),
        _ => return Err(InvalidEndpoint("its port is not a number from 1 to 65535")),
    };
    text.parse()
        .map_err(|_| InvalidEndpoint("its host is not valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Result<Arc<str>, &'static str> {
        Endpoint::parse(text)
            .map(|endpoint| endpoint.uri)
            .map_err(|invalid| invalid.0)
    }

    #[test]
    fn no_more_begin_than_may() {
        let endpoint = Endpoint::parse("http://h").unwrap();
        assert!(!endpoint.has_room(Some(0)) && !endpoint.begin(Some(0)));
        assert!(endpoint.begin(Some(2)) && endpoint.begin(Some(2)));
        assert!(!endpoint.has_room(Some(2)) && !endpoint.begin(Some(2)));
        assert!(endpoint.begin(None));
        endpoint.end();
        endpoint.end();
        assert!(endpoint.has_room(Some(2)) && endpoint.begin(Some(2)));
        assert_eq!(endpoint.in_flight(), 2);
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
            assert_eq!(uri(text).as_deref(), Ok(expected), "{text}");
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
