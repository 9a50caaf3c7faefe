//! Which requests go to the same endpoint, and when they leave it: the configuration
//! of affinity.

/// Where a request's affinity key is: requests with the same key belong
/// together.
///
/// An empty value is not a key, because it tells no callers apart. A key is kept as a 64-bit
/// hash (XXH64) that is the same in every process, so that several gateways agree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum HashKey {
    /// The value of this header.
    Header(String),
    /// The value of this query parameter.
    Query(String),
    /// The value of this cookie.
    Cookie(String),
    /// The value under this name in the request's [`AffinityKeys`](crate::AffinityKeys),
    /// which a layer above has set: a claim of a JWT that it verified, for example.
    Extension(String),
    /// The client's address: the [`SocketAddr`](std::net::SocketAddr) or
    /// [`IpAddr`](std::net::IpAddr) in the request's extensions, where the
    /// server or a layer above must put it. The port does not count.
    ClientAddr,
    /// The top-level `user` of the JSON body, or else Anthropic's `metadata.user_id`.
    User,
    /// The top-level `session_id` of the JSON body.
    SessionId,
    /// The top-level `prompt_cache_key` of the JSON body, OpenAI's field for this purpose.
    PromptCacheKey,
    /// The top-level `conversation` of the JSON body: an id, or an object with one.
    Conversation,
}

/// Affinity by a key: the configuration of [`Balance::ConsistentHash`](crate::Balance).
///
/// ```
/// use tower_model_route::{Balance, ConsistentHash, HashKey, ModelServer, Spill};
///
/// let by_session = ConsistentHash::by(HashKey::Header("x-session-id".to_owned()))
///     .or_by(HashKey::PromptCacheKey)
///     .or_by(HashKey::User)
///     .spill(Spill::AboveRequests(32));
/// let server = ModelServer::new("chat").balance(Balance::ConsistentHash(by_session));
/// # let _ = server;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ConsistentHash {
    keys: Vec<HashKey>,
    spill: Spill,
}

impl ConsistentHash {
    /// Affinity by this key.
    pub fn by(key: HashKey) -> Self {
        Self {
            keys: vec![key],
            spill: Spill::default(),
        }
    }

    /// Affinity by this key, for requests that have none of the earlier keys.
    pub fn or_by(mut self, key: HashKey) -> Self {
        self.keys.push(key);
        self
    }

    /// When a request leaves its key's endpoint.
    pub fn spill(mut self, spill: Spill) -> Self {
        self.spill = spill;
        self
    }

    /// The keys; the first that a request has is its key.
    pub fn get_keys(&self) -> &[HashKey] {
        &self.keys
    }

    /// When a request leaves its key's endpoint.
    pub fn get_spill(&self) -> Spill {
        self.spill
    }
}

impl From<HashKey> for ConsistentHash {
    fn from(key: HashKey) -> Self {
        Self::by(key)
    }
}

/// Affinity by the beginning of the conversation: the configuration of
/// [`Balance::PrefixHash`](crate::Balance).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct PrefixHash {
    bytes: usize,
    spill: Spill,
}

impl PrefixHash {
    /// The key is the first `bytes` bytes of the conversation; at least 1.
    pub fn of(bytes: usize) -> Self {
        Self {
            bytes,
            spill: Spill::default(),
        }
    }

    /// When a request leaves its key's endpoint.
    pub fn spill(mut self, spill: Spill) -> Self {
        self.spill = spill;
        self
    }

    /// How many bytes of the conversation form the key.
    pub fn get_bytes(&self) -> usize {
        self.bytes
    }

    /// When a request leaves its key's endpoint.
    pub fn get_spill(&self) -> Spill {
        self.spill
    }
}

impl From<usize> for PrefixHash {
    fn from(bytes: usize) -> Self {
        Self::of(bytes)
    }
}

/// Affinity to the contents of engines' prefix caches: the configuration of
/// [`Balance::PrefixCache`](crate::Balance).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use]
pub struct PrefixCache {
    entries: u32,
}

impl PrefixCache {
    /// What can be configured: 128 MiB of an endpoint.
    pub(crate) const MOST_ENTRIES: u32 = 12 * 1024 * 1024;

    /// With the defaults.
    pub fn new() -> Self {
        Self { entries: 4096 }
    }

    /// How many blocks of 512 bytes are remembered for each endpoint; the least recently used
    /// are dropped first. 4,096 by default: 2 MiB of text, about half a million tokens. From 1
    /// to 12,582,912 (128 MiB for each endpoint); anything else is a
    /// [`BuildError`](crate::BuildError).
    ///
    /// Set it to what the engine's KV cache holds, or somewhat less: anything remembered beyond
    /// that is no longer in the cache. An entry takes 11 bytes of memory, so the default takes 44
    /// KiB for each endpoint.
    pub fn entries(mut self, entries: u32) -> Self {
        self.entries = entries;
        self
    }

    /// How many blocks are remembered for each endpoint.
    pub fn get_entries(&self) -> u32 {
        self.entries
    }
}

impl Default for PrefixCache {
    fn default() -> Self {
        Self::new()
    }
}

/// When a request with a key leaves its key's endpoint for the next one on the ring that has
/// room.
///
/// An endpoint has room while its load is below a floor, or below 1.25 times its share of the
/// load of all (Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads, 2016).
/// Without a floor, nearly every request would move on an almost idle system, where moving gains
/// nothing: a single request in flight is far above the average of four endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Spill {
    /// The load is the requests in flight, and this is the floor. The default is 16.
    AboveRequests(u32),
    /// The load is the tokens in flight, as [`Balance::LeastTokens`](crate::Balance) counts them,
    /// and this is the floor.
    AboveTokens(u64),
    /// Never, while the key's endpoint is usable: not full, ejected, cooling down or drained.
    Never,
}

impl Default for Spill {
    fn default() -> Self {
        Self::AboveRequests(16)
    }
}

/// One key alone is written as that key.
#[cfg(feature = "serde")]
impl serde::Serialize for ConsistentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (&*self.keys, self.spill == Spill::default()) {
            ([key], true) => key.serialize(serializer),
            (keys, true) => keys.serialize(serializer),
            (keys, false) => with_spill(serializer, "keys", keys, self.spill),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for PrefixHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.spill == Spill::default() {
            true => self.bytes.serialize(serializer),
            false => with_spill(serializer, "bytes", &self.bytes, self.spill),
        }
    }
}

#[cfg(feature = "serde")]
fn with_spill<S: serde::Serializer>(
    serializer: S,
    name: &'static str,
    value: &(impl serde::Serialize + ?Sized),
    spill: Spill,
) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry(name, value)?;
    map.serialize_entry("spill", &spill)?;
    map.end()
}

/// The name of a variant, and what makes it of the name that it holds.
#[cfg(feature = "manifest")]
type NamedKey = (&'static str, fn(String) -> HashKey);

#[cfg(feature = "manifest")]
impl HashKey {
    /// The keys without a name.
    pub(crate) const PLAIN: [Self; 5] = [
        Self::ClientAddr,
        Self::User,
        Self::SessionId,
        Self::PromptCacheKey,
        Self::Conversation,
    ];

    /// What makes a key of a name, by the name of the variant.
    pub(crate) const NAMED: [NamedKey; 4] = [
        ("Header", Self::Header),
        ("Query", Self::Query),
        ("Cookie", Self::Cookie),
        ("Extension", Self::Extension),
    ];

    /// The name of the variant, as it is serialized.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Header(_) => "Header",
            Self::Query(_) => "Query",
            Self::Cookie(_) => "Cookie",
            Self::Extension(_) => "Extension",
            Self::ClientAddr => "ClientAddr",
            Self::User => "User",
            Self::SessionId => "SessionId",
            Self::PromptCacheKey => "PromptCacheKey",
            Self::Conversation => "Conversation",
        }
    }
}
