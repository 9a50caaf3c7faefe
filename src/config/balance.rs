//! How the endpoint for a request is chosen: the configuration.

use http::HeaderName;

use super::{
    affinity::{ConsistentHash, HashKey, PrefixCache, PrefixHash},
    custom::{ChooseEndpoint, CustomBalance},
    mistake::MistakeKind,
};

/// The strategy that chooses one of a [`ModelServer`](crate::ModelServer)'s endpoints.
///
/// No strategy picks an endpoint that is full, ejected or cooling down while another is usable. For
/// a request that is sent again, strategies that take endpoints in turn draw at random instead:
/// neighbours in a list, such as the Pods of a rollout, often fail together.
///
/// Only affinity by a key in the body ([`HashKey::User`](crate::HashKey::User) and the keys after
/// it, [`PrefixHash`](Self::PrefixHash), [`PrefixCache`](Self::PrefixCache)) and strategies that
/// count tokens read more of the body than the model. If a model's requests may go to such a
/// ModelServer, they are routed only once their body is complete or larger than
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
    /// The endpoint with the fewest tokens in flight relative to its weight, compared as by
    /// [`LeastRequest`](Self::LeastRequest).
    ///
    /// A request counts as the tokens of its prompt plus an eighth of the expected output tokens:
    /// the average of the ModelServer's answers, or the request's maximum if that is less. The
    /// tokens of a prompt are its bytes divided by the bytes per token learned from the answers'
    /// usage (4 at first). The prompt's part ends with the first content of the answer, the rest
    /// with the answer. A document of 100,000 tokens thus counts as much as hundreds of chats
    /// while the engine computes it, and as little as one of them afterwards.
    LeastTokens,
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
    /// Requests with the same key go to the same endpoint, unless its load is above a floor and
    /// more than a quarter above the average: then to the next one on the ring (consistent
    /// hashing with bounded loads, see [`Spill`](crate::Spill)).
    ///
    /// Adding or removing an endpoint moves only that endpoint's keys. Requests
    /// without a key are balanced by [`LeastRequest`](Self::LeastRequest).
    ConsistentHash(ConsistentHash),
    /// As [`ConsistentHash`](Self::ConsistentHash), keyed by the first bytes of
    /// the conversation, so that its requests find their KV cache.
    ///
    /// The key is the system prompt and the first message after it, up to this
    /// many bytes: the part that all requests of one conversation share.
    PrefixHash(PrefixHash),
    /// The endpoint that has seen the most of the prompt, so that its engine has it in its KV
    /// cache; unless its tokens in flight exceed those of the least loaded endpoint by more
    /// than that saves. A prompt that no endpoint has seen is balanced by
    /// [`LeastTokens`](Self::LeastTokens).
    ///
    /// The gateway remembers what it has sent where, as hashes of blocks of 512 bytes that cover
    /// the tools, the system prompt and the messages; conversations that branch off find the part
    /// that they share. The part that the endpoint has seen counts as computed: only the rest of
    /// the prompt is load.
    PrefixCache(PrefixCache),
    /// A strategy of your own: see [`custom`](Self::custom).
    Custom(CustomBalance),
}

impl Balance {
    /// A strategy of your own, with a name for explanations. It can't be written to a
    /// manifest.
    pub fn custom(name: impl Into<String>, chooses: impl ChooseEndpoint) -> Self {
        Self::Custom(CustomBalance::new(name.into(), chooses))
    }
}

impl Balance {
    /// What is wrong with it.
    pub(crate) fn mistakes(&self) -> Vec<MistakeKind> {
        match self {
            Self::ConsistentHash(hash) => key_mistakes(hash.get_keys()),
            Self::PrefixHash(prefix) if prefix.get_bytes() == 0 => {
                vec![MistakeKind::PrefixOfNothing]
            }
            Self::PrefixCache(cache) if cache.get_entries() == 0 => vec![MistakeKind::ZeroLimit],
            Self::PrefixCache(cache) if cache.get_entries() > PrefixCache::MOST_ENTRIES => {
                vec![MistakeKind::LimitTooLarge(PrefixCache::MOST_ENTRIES.into())]
            }
            _ => Vec::new(),
        }
    }
}

/// What is wrong with a list of keys.
pub(crate) fn key_mistakes(keys: &[HashKey]) -> Vec<MistakeKind> {
    let mistakes = keys.iter().filter_map(|key| match key {
        HashKey::Header(name) => HeaderName::try_from(name)
            .is_err()
            .then_some(MistakeKind::InvalidHeaderName),
        HashKey::Query(name) | HashKey::Cookie(name) | HashKey::Extension(name) => {
            name.is_empty().then_some(MistakeKind::EmptyName)
        }
        _ => None,
    });
    mistakes.collect()
}

impl Balance {
    /// Whether it compares the number of requests at each endpoint.
    pub(crate) fn compares_load(&self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Random | Self::PeakEwma)
    }
}

#[cfg(feature = "manifest")]
impl Balance {
    /// The strategies without a key.
    pub(crate) const PLAIN: [Self; 5] = [
        Self::LeastRequest,
        Self::LeastTokens,
        Self::RoundRobin,
        Self::Random,
        Self::PeakEwma,
    ];

    /// The name of the variant, as it is serialized.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::LeastRequest => "LeastRequest",
            Self::LeastTokens => "LeastTokens",
            Self::RoundRobin => "RoundRobin",
            Self::Random => "Random",
            Self::PeakEwma => "PeakEwma",
            Self::ConsistentHash(_) => "ConsistentHash",
            Self::PrefixHash(_) => "PrefixHash",
            Self::PrefixCache(_) => "PrefixCache",
            Self::Custom(_) => "Custom",
        }
    }
}
