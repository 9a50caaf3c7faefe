//! The affinity key of a request.

use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderMap, HeaderName, Uri, header::COOKIE};
use percent_encoding::percent_decode;
use twox_hash::XxHash64;

use super::wanted::Wanted;
use crate::{
    config::HashKey,
    limit::Estimate,
    model::{BodyKeys, NeededKeys, hash, is_empty},
};

/// What is known about a request whose endpoint is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// Its query is the client's; its path may be that of an engine already.
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    pub(crate) body: &'a BodyKeys,
    pub(crate) estimate: Estimate,
    pub(crate) model: Wanted<'a>,
}

/// Affinity keys that a layer above puts into a request's extensions, for
/// [`HashKey::Extension`].
///
/// Only hashes of the values are kept. An empty value is not a key.
///
/// ```
/// use tower_model_route::AffinityKeys;
///
/// let mut request = http::Request::new(());
/// // A layer above has verified the caller's token.
/// let keys = AffinityKeys::new().with("sub", "user-17").with("tenant", "acme");
/// request.extensions_mut().insert(keys);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct AffinityKeys {
    values: Vec<(Box<str>, u64)>,
}

impl AffinityKeys {
    /// No values yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value, or replaces the one of this name.
    pub fn with(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.into().into_boxed_str(), value.as_ref());
        self.values.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.values.push((name, hash(0, value)));
        }
        self
    }

    fn get(&self, name: &str) -> Option<u64> {
        let mut values = self.values.iter();
        values.find_map(|(known, value)| (**known == *name).then_some(*value))
    }
}

/// Where the keys of requests are, in order: the first that a request has is its key.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Box<[Source]>);

#[derive(Clone, Debug)]
enum Source {
    Header(HeaderName),
    Query(Box<str>),
    Cookie(Box<str>),
    Extension(Box<str>),
    ClientAddr,
    User,
    SessionId,
    PromptCache,
    Conversation,
    Prefix(usize),
}

impl Keys {
    /// A header of an invalid name, which is a mistake in the table, is in no request.
    pub(crate) fn new(keys: &[HashKey]) -> Self {
        Self(keys.iter().filter_map(Source::new).collect())
    }

    /// The first bytes of the conversation.
    pub(crate) fn prefix(bytes: usize) -> Self {
        Self([Source::Prefix(bytes)].into())
    }

    /// What of a request's body they need.
    pub(crate) fn needed(&self) -> NeededKeys {
        let needed = self.0.iter().map(Source::needed);
        needed.fold(NeededKeys::default(), NeededKeys::and)
    }

    /// The request's key, if it has one.
    pub(crate) fn find(&self, caller: Caller<'_>) -> Option<u64> {
        self.0.iter().find_map(|key| key.of(caller))
    }
}

impl Source {
    fn new(key: &HashKey) -> Option<Self> {
        Some(match key {
            HashKey::Header(name) => Self::Header(name.parse().ok()?),
            HashKey::Query(name) => Self::Query((&**name).into()),
            HashKey::Cookie(name) => Self::Cookie((&**name).into()),
            HashKey::Extension(name) => Self::Extension((&**name).into()),
            HashKey::ClientAddr => Self::ClientAddr,
            HashKey::User => Self::User,
            HashKey::SessionId => Self::SessionId,
            HashKey::PromptCacheKey => Self::PromptCache,
            HashKey::Conversation => Self::Conversation,
        })
    }

    fn needed(&self) -> NeededKeys {
        let mut needed = NeededKeys::default();
        match *self {
            Self::User => needed.user = true,
            Self::SessionId => needed.session_id = true,
            Self::PromptCache => needed.prompt_cache_key = true,
            Self::Conversation => needed.conversation_id = true,
            Self::Prefix(bytes) => needed.prefix = bytes,
            Self::Header(_)
            | Self::Query(_)
            | Self::Cookie(_)
            | Self::Extension(_)
            | Self::ClientAddr => {}
        }
        needed
    }

    /// An empty value is not a key, because it tells no callers apart.
    fn of(&self, caller: Caller<'_>) -> Option<u64> {
        match self {
            Self::Header(name) => header(caller.headers, name),
            Self::Query(name) => query(caller.uri.query()?, name),
            Self::Cookie(name) => cookie(caller.headers, name),
            Self::Extension(name) => caller.extensions.get::<AffinityKeys>()?.get(name),
            Self::ClientAddr => client_addr(caller.extensions),
            Self::User => caller.body.user,
            Self::SessionId => caller.body.session_id,
            Self::PromptCache => caller.body.prompt_cache_key,
            Self::Conversation => caller.body.conversation_id,
            Self::Prefix(bytes) => {
                let prefix = &caller.body.conversation;
                let prefix = prefix.get(..*bytes).unwrap_or(prefix);
                (!is_empty(prefix)).then(|| hash(0, prefix))
            }
        }
    }
}

fn hash_of(value: &[u8]) -> Option<u64> {
    (!value.is_empty()).then(|| hash(0, value))
}

/// All values of a header, in their order.
fn header(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    use std::hash::Hasher;
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(first.as_bytes());
    let mut is_empty = first.is_empty();
    for value in values {
        // As one line: two are equal to their values joined (RFC 9110, section 5.2).
        hasher.write(b", ");
        hasher.write(value.as_bytes());
        is_empty &= value.is_empty();
    }
    (!is_empty).then(|| hasher.finish())
}

/// The first parameter of this name that is not empty, decoded.
fn query(query: &str, name: &str) -> Option<u64> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter_map(|(key, value)| {
        let is_named = percent_decode(key.as_bytes()).eq(name.bytes());
        is_named.then_some(value)
    });
    values.find_map(|value| {
        let value: Vec<u8> = percent_decode(value.as_bytes()).collect();
        hash_of(&value)
    })
}

/// The first cookie of this name that is not empty (RFC 6265, section 4.2.1).
fn cookie(headers: &HeaderMap, name: &str) -> Option<u64> {
    let fields = headers.get_all(COOKIE).iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b';'));
    pairs.find_map(|pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        hash_of(value)
    })
}

/// The client's address, if the server told it.
pub(crate) fn client_ip(extensions: &Extensions) -> Option<IpAddr> {
    let socket = extensions.get::<SocketAddr>().map(SocketAddr::ip);
    let addr = socket.or_else(|| extensions.get::<IpAddr>().copied())?;
    Some(addr.to_canonical())
}

fn client_addr(extensions: &Extensions) -> Option<u64> {
    Some(match client_ip(extensions)? {
        IpAddr::V4(addr) => hash(0, &addr.octets()),
        IpAddr::V6(addr) => hash(0, &addr.octets()),
    })
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Parts};

    use super::*;

    fn of_body(key: HashKey, head: &Parts, body: &BodyKeys) -> Option<u64> {
        find(&Keys::new(&[key]), head, body)
    }

    fn find(keys: &Keys, head: &Parts, body: &BodyKeys) -> Option<u64> {
        keys.find(Caller {
            uri: &head.uri,
            headers: &head.headers,
            extensions: &head.extensions,
            body,
            estimate: Estimate::default(),
            model: Wanted::named("m", false),
        })
    }

    fn of(key: HashKey, head: http::request::Builder) -> Option<u64> {
        let (head, ()) = head.body(()).unwrap().into_parts();
        of_body(key, &head, &BodyKeys::default())
    }

    fn by_header(values: &[&str]) -> Option<u64> {
        let head = values.iter().fold(Request::builder(), |head, value| {
            head.header("x-session", *value)
        });
        of(
            HashKey::Header("X-Session".into()),
            head.header("x-other", "o"),
        )
    }

    #[test]
    fn a_headers_values_are_a_key() {
        assert_eq!(by_header(&["a"]), Some(hash(0, b"a")));
        assert_ne!(by_header(&["a"]), by_header(&["b"]));
        assert_ne!(by_header(&["a", "b"]), by_header(&["b", "a"]));
        assert_ne!(by_header(&["a", "b"]), by_header(&["a"]));
        assert_eq!(by_header(&["a", "b"]), by_header(&["a, b"]));
        assert_eq!(by_header(&[]), None);
        assert_eq!(by_header(&[""]), None);
    }

    #[test]
    fn a_parameter_of_the_query_is_a_key() {
        let of = |uri: &str| of(HashKey::Query("sid".into()), Request::builder().uri(uri));
        assert_eq!(of("/v1?sid=a"), Some(hash(0, b"a")));
        assert_eq!(of("/v1?x=1&sid=&sid=a%20b&sid=c"), Some(hash(0, b"a b")));
        assert_eq!(of("/v1?s%69d=a"), Some(hash(0, b"a")));
        for none in ["/v1", "/v1?", "/v1?sid", "/v1?sid=", "/v1?sidx=a&xsid=a"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn a_cookie_is_a_key() {
        let of = |fields: &[&str]| {
            let head = fields.iter().fold(Request::builder(), |head, field| {
                head.header("cookie", *field)
            });
            of(HashKey::Cookie("sid".into()), head)
        };
        assert_eq!(of(&["sid=a"]), Some(hash(0, b"a")));
        assert_eq!(of(&["x=1; sid=a; y=2"]), Some(hash(0, b"a")));
        assert_eq!(of(&["x=1", "sid=;sid=a=b"]), Some(hash(0, b"a=b")));
        for none in [&[][..], &["sid"], &["sid="], &["xsid=a; sidx=a"]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_layer_above_may_give_keys() {
        let keys = AffinityKeys::new().with("sub", "b").with("sub", "a");
        let keys = keys.with("none", "");
        let of = |name: &str| {
            let head = Request::builder().extension(keys.clone());
            of(HashKey::Extension(name.into()), head)
        };
        assert_eq!(of("sub"), Some(hash(0, b"a")));
        assert_eq!((of("none"), of("other")), (None, None));
    }

    #[test]
    fn a_clients_address_is_a_key_without_its_port() {
        let socket = |text: &str| {
            let addr: SocketAddr = text.parse().unwrap();
            of(HashKey::ClientAddr, Request::builder().extension(addr))
        };
        let ip = |text: &str| {
            let addr: IpAddr = text.parse().unwrap();
            of(HashKey::ClientAddr, Request::builder().extension(addr))
        };
        assert!(socket("10.0.0.1:80").is_some());
        assert_eq!(socket("10.0.0.1:80"), socket("10.0.0.1:81"));
        assert_eq!(socket("10.0.0.1:80"), ip("10.0.0.1"));
        assert_eq!(socket("[::ffff:10.0.0.1]:80"), ip("10.0.0.1"));
        assert_ne!(ip("10.0.0.1"), ip("10.0.0.2"));
        assert_eq!(socket("[2001:db8::1]:80"), ip("2001:db8::1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8::2"));
        assert_eq!(of(HashKey::ClientAddr, Request::builder()), None);
    }

    #[test]
    fn keys_of_a_body_are_those_that_were_read() {
        let (head, ()) = Request::new(()).into_parts();
        let body = BodyKeys {
            user: Some(1),
            session_id: Some(2),
            prompt_cache_key: Some(3),
            conversation_id: Some(4),
            conversation: b"conversation".to_vec(),
            ..BodyKeys::default()
        };
        for (key, expected) in [
            (HashKey::User, 1),
            (HashKey::SessionId, 2),
            (HashKey::PromptCacheKey, 3),
            (HashKey::Conversation, 4),
        ] {
            assert!(!Keys::new(std::slice::from_ref(&key)).needed().is_none());
            assert_eq!(of_body(key.clone(), &head, &body), Some(expected));
            assert_eq!(of_body(key, &head, &BodyKeys::default()), None);
        }
        for (bytes, expected) in [(4, &b"conv"[..]), (99, b"conversation")] {
            let keys = Keys::prefix(bytes);
            assert_eq!(keys.needed().prefix, bytes);
            assert_eq!(find(&keys, &head, &body), Some(hash(0, expected)));
            assert_eq!(find(&keys, &head, &BodyKeys::default()), None);
        }
    }

    #[test]
    fn the_first_key_that_is_there_counts() {
        let keys = Keys::new(&[
            HashKey::Header("x-session".into()),
            HashKey::PromptCacheKey,
            HashKey::User,
        ]);
        assert!(keys.needed().user && keys.needed().prompt_cache_key);
        let (mut head, ()) = Request::new(()).into_parts();
        let mut body = BodyKeys {
            user: Some(1),
            ..BodyKeys::default()
        };
        assert_eq!(find(&keys, &head, &body), Some(1));
        body.prompt_cache_key = Some(2);
        assert_eq!(find(&keys, &head, &body), Some(2));
        head.headers.insert("x-session", "".parse().unwrap());
        assert_eq!(find(&keys, &head, &body), Some(2));
        head.headers.insert("x-session", "a".parse().unwrap());
        assert_eq!(find(&keys, &head, &body), Some(hash(0, b"a")));
    }
}
