//! The address of an endpoint, parsed.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{
    HeaderValue, Uri,
    uri::{Authority, Scheme},
};

use super::mistake::Reason;
use crate::pieces::interned;

/// An endpoint's URI, parsed and normalized once, when the table is built.
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
    /// `scheme://authority/prefix`, for people, with `#address` if it is at one.
    pub(crate) uri: Arc<str>,
    /// If it is only one of the addresses of its host.
    pub(crate) at: Option<At>,
}

/// One of the addresses of a host.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) socket: SocketAddr,
    /// The same as a URI has it.
    pub(crate) authority: Authority,
}

impl Address {
    /// The host, and the port, which may be the scheme's.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        let port = self.authority.port_u16();
        let default_port = default_port(&self.scheme);
        (self.authority.host(), port.unwrap_or(default_port))
    }

    /// The host, if it is a name that can be resolved.
    pub(crate) fn name(&self) -> Option<&str> {
        let host = self.authority.host();
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        (!is_address).then_some(host)
    }

    /// What stands in the URI of requests to it: over `http` where it is, so that every client
    /// finds it; over `https` what its certificate is for.
    pub(crate) fn authority_of_uri(&self) -> &Authority {
        let at = self.at.as_ref().filter(|_| self.scheme == Scheme::HTTP);
        at.map_or(&self.authority, |at| &at.authority)
    }

    /// The same, for an endpoint of a table: what each request to it has a part in is shared at no
    /// cost.
    pub(crate) fn interned(self) -> Self {
        let host = HeaderValue::from_maybe_shared(interned(self.authority.as_str()));
        let authority = |of: Authority| {
            let text = interned(of.as_str());
            Authority::from_maybe_shared(text).unwrap_or(of)
        };
        Self {
            host: host.unwrap_or(self.host),
            authority: authority(self.authority),
            at: self.at.map(|at| At {
                authority: authority(at.authority),
                ..at
            }),
            ..self
        }
    }

    /// The same endpoint at this address of its host, and nowhere else.
    pub(crate) fn at(&self, ip: IpAddr) -> Option<Self> {
        let (_, port) = self.host_and_port();
        let socket = SocketAddr::new(ip, port);
        let at = At {
            socket,
            authority: normalize(&socket.to_string().parse().ok()?, &self.scheme).ok()?,
        };
        Some(Self {
            uri: format!("{}#{ip}", self.uri).into(),
            at: Some(at),
            ..self.clone()
        })
    }

    /// The endpoint that people call so: the inverse of [`uri`](Self::uri).
    pub(crate) fn called(text: &str) -> Result<Self, Reason> {
        let Some((uri, ip)) = text.split_once('#') else {
            return Self::parse(text);
        };
        let address = Self::parse(uri)?;
        let at = ip.parse().ok().and_then(|ip| address.at(ip));
        at.ok_or(Reason::from("its fragment is not an IP address"))
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
            .and_then(|authority| normalize(authority, &scheme))?;
        let prefix: Box<str> = uri.path().trim_end_matches('/').into();
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| Reason::from("its host is not valid"))?;
        Ok(Self {
            uri: format!("{scheme}://{authority}{prefix}").into(),
            scheme,
            authority,
            host,
            prefix,
            at: None,
        })
    }
}

fn normalize(authority: &Authority, scheme: &Scheme) -> Result<Authority, Reason> {
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
    fn authorities_are_normalized() {
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
    fn one_of_several_addresses_has_a_name_of_its_own() {
        for (text, ip, called, authority) in [
            (
                "http://H:8000/v",
                "10.0.0.7",
                "http://h:8000/v#10.0.0.7",
                "10.0.0.7:8000",
            ),
            ("http://h", "::1", "http://h#::1", "[::1]"),
            (
                "https://h:8443",
                "fd00::7",
                "https://h:8443#fd00::7",
                "[fd00::7]:8443",
            ),
        ] {
            let address = Address::parse(text).unwrap();
            let at = address.at(ip.parse().unwrap()).unwrap();
            assert_eq!(&*at.uri, called);
            assert_eq!(at.at.unwrap().authority, authority);
            assert_eq!(at.host, address.host);
            assert_eq!(Address::called(called).unwrap().uri, at.uri);
        }
        assert!(Address::called("http://h#top").is_err());
        assert!(Address::called("http://h").unwrap().at.is_none());
    }

    #[test]
    fn only_names_are_resolved() {
        let name = |text| Address::parse(text).unwrap().name().map(str::to_owned);
        assert_eq!(name("http://Engines:8000").as_deref(), Some("engines"));
        assert_eq!(name("http://10.0.0.7:8000"), None);
        assert_eq!(name("http://[::1]:8000"), None);
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
