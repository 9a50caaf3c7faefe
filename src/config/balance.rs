//! How the endpoint for a request is chosen: the configuration.

/// The strategy that chooses one of a [`ModelServer`](crate::ModelServer)'s endpoints.
///
/// No strategy picks an endpoint that is full, ejected or cooling down while another is usable.
///
/// Only affinity by a key in the body ([`HashKey::User`], [`HashKey::SessionId`],
/// [`PrefixHash`](Self::PrefixHash)) reads more of the body than the model. If a
/// model's requests may go to such a ModelServer, they are routed only once
/// their body is complete or longer than
/// [`replay_bytes`](crate::ModelRouteLayer::replay_bytes); a key beyond that is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Balance {
    /// The endpoint with the fewest requests in flight relative to its weight;
    /// ties are broken in turn. The default.
    ///
    /// With up to eight endpoints all are compared; with more, the next in turn
    /// is compared with one drawn at random (the power of two choices).
    #[default]
    LeastRequest,
    /// One after the other, in proportion to the weights.
    RoundRobin,
    /// At random, in proportion to the weights.
    Random,
    /// The better of two endpoints, the next in turn and one drawn at random, by latency
    /// times requests in flight relative to the weight.
    ///
    /// The latency is that to the first content of the answer, as an exponentially weighted
    /// moving average that jumps to peaks at once.
    PeakEwma,
    /// Requests with the same key go to the same endpoint, unless its load is
    /// more than a quarter above the average: then to the next one on the ring
    /// (consistent hashing with bounded loads).
    ///
    /// Adding or removing an endpoint moves only that endpoint's keys. Requests
    /// without a key are balanced by [`LeastRequest`](Self::LeastRequest).
    ConsistentHash(HashKey),
    /// As [`ConsistentHash`](Self::ConsistentHash), keyed by the first bytes of
    /// the conversation, so that its requests find their KV cache.
    ///
    /// The key is the system prompt and the first message after it, up to this
    /// many bytes: the part that all requests of one conversation share.
    PrefixHash(usize),
}

/// The key that [`Balance::ConsistentHash`] hashes.
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

impl Balance {
    /// Whether it goes by the number of requests at each endpoint.
    pub(crate) fn compares_load(&self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Random | Self::PeakEwma)
    }
}

#[cfg(feature = "manifest")]
impl Balance {
    /// The strategies without a key.
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
    /// The keys without a header name.
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
