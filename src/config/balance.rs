//! How the endpoint for a request is chosen: the configuration.

/// The strategy that chooses one of a [`ModelServer`](crate::ModelServer)'s endpoints.
///
/// No strategy picks an endpoint that is full, ejected or cooling down while there is another.
///
/// Only affinity by what is in the body ([`HashKey::User`], [`HashKey::SessionId`],
/// [`PrefixHash`](Self::PrefixHash)) reads more of it than the model. Requests
/// for a model that may go there are not routed while their bodies still
/// arrive, but once they are whole or longer than
/// [`replay_bytes`](crate::ModelRouteLayer::replay_bytes); what comes later is no key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Balance {
    /// The endpoint with the fewest requests in flight relative to its weight,
    /// equals in turn. The default.
    ///
    /// Of up to eight endpoints it is looked for among all; of more, it is the
    /// better of two that are drawn (the power of two choices).
    #[default]
    LeastRequest,
    /// One after the other, in proportion to the weights.
    RoundRobin,
    /// At random, in proportion to the weights.
    Random,
    /// Of two endpoints drawn at random the one whose latency to the answer's
    /// head, as an exponentially weighted moving average that jumps to peaks
    /// at once, times its requests in flight is smaller.
    PeakEwma,
    /// Requests with the same key go to the same endpoint, as long as it is
    /// not loaded by more than a quarter above the average (consistent
    /// hashing with bounded loads): then to the next one on the ring.
    ///
    /// An endpoint that comes or goes moves only its own share of the keys. A
    /// request without a key is balanced by [`LeastRequest`](Self::LeastRequest).
    ConsistentHash(HashKey),
    /// As [`ConsistentHash`](Self::ConsistentHash), by the first bytes of the
    /// conversation, so that it finds its KV cache.
    ///
    /// The key is the system prompt with the first message after it, up to so
    /// many bytes: what all requests of one conversation begin with.
    PrefixHash(usize),
}

/// What [`Balance::ConsistentHash`] is by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum HashKey {
    /// The value of this header.
    Header(String),
    /// The client's address: the [`SocketAddr`](std::net::SocketAddr) or
    /// [`IpAddr`](std::net::IpAddr) in the request's extensions, where the
    /// server or a layer above must put it. The port does not count.
    ClientAddr,
    /// The top-level `user` of the JSON body, or else Anthropic's `metadata.user_id`.
    User,
    /// The top-level `session_id` of the JSON body.
    SessionId,
}

#[cfg(feature = "manifest")]
impl Balance {
    /// Those without a key.
    pub(crate) const PLAIN: [Self; 4] = [
        Self::LeastRequest,
        Self::RoundRobin,
        Self::Random,
        Self::PeakEwma,
    ];

    /// The name of the variant, as it is serialized.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::LeastRequest => "LeastRequest",
            Self::RoundRobin => "RoundRobin",
            Self::Random => "Random",
            Self::PeakEwma => "PeakEwma",
            Self::ConsistentHash(_) => "ConsistentHash",
            Self::PrefixHash(_) => "PrefixHash",
        }
    }
}

#[cfg(feature = "manifest")]
impl HashKey {
    /// Those without a name.
    pub(crate) const PLAIN: [Self; 3] = [Self::ClientAddr, Self::User, Self::SessionId];

    /// The name of the variant, as it is serialized.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Header(_) => "Header",
            Self::ClientAddr => "ClientAddr",
            Self::User => "User",
            Self::SessionId => "SessionId",
        }
    }
}
