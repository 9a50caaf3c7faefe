//! Mistakes in a configuration.

use std::{borrow::Cow, error::Error, fmt};

use super::place::Place;

/// Every mistake found when a [`RouteTable`](crate::RouteTable), or something
/// else with options, was built.
///
/// ```
/// use tower_model_route::{ModelRoute, RouteTable, Rule};
///
/// let error = RouteTable::builder()
///     .model_route(ModelRoute::new("chat").model_name("").rule(Rule::new("all").target("gone")))
///     .build()
///     .unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "2 mistakes in the route table\n\
///      - ModelRoute \"chat\", model_name: the name is empty\n\
///      - ModelRoute \"chat\", rule \"all\", target \"gone\": there is no ModelServer of this name",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    mistakes: Vec<Mistake>,
}

/// One mistake and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    place: Place,
    /// The place in words.
    words: String,
    kind: MistakeKind,
}

/// The kind of a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MistakeKind {
    /// A name is empty.
    EmptyName,
    /// Two ModelServers have this name.
    DuplicateModelServer,
    /// No ModelServer has this endpoint.
    UnknownEndpoint,
    /// A ModelServer has the same endpoint twice.
    DuplicateEndpoint,
    /// A ModelRoute has the same LoRA adapter twice.
    DuplicateAdapter,
    /// A rule has the same ModelServer as a target twice.
    DuplicateTarget,
    /// An endpoint is not a usable URI; the reason.
    InvalidEndpoint(Reason),
    /// An endpoint has the weight 0.
    EndpointWeightZero,
    /// A [`Balance::PrefixHash`](crate::Balance::PrefixHash) has 0 bytes.
    PrefixOfNothing,
    /// A time limit or an interval is zero.
    ZeroTime,
    /// A limit is 0 and would let nothing through.
    ZeroLimit,
    /// A limit is higher than can be counted; the maximum for its period.
    LimitTooLarge(u64),
    /// A ModelRoute has another limit of the same unit, period and key, or of the same unit with
    /// Kthena's key, which has no period.
    DuplicateLimit,
    /// A limit on concurrent requests is to be kept in Redis.
    LimitNotShared,
    /// A limit that Kthena's router does not have is to be shared with it.
    NotAKthenaLimit,
    /// The address of a Redis is not a host and a port.
    InvalidRedisAddress,
    /// The password of a Redis is empty, or the limit is not kept in one.
    InvalidRedisPassword,
    /// A limit is to be kept in Redis, and the feature `redis` is off.
    RedisNotBuilt,
    /// A [`SessionSticky`](crate::SessionSticky) has no sources.
    NoSessionSources,
    /// A retry after an answer with this status is pointless: another engine would answer the same.
    NotRetriable(u16),
    /// The queue has no effect, because requests in flight are not limited.
    QueueWithoutLimit,
    /// A percentage is above 100.
    PercentTooLarge(u32),
    /// A maximum is below the initial value.
    MaximumTooSmall,
    /// No number is in a range.
    EmptyRange,
    /// A ModelRoute has neither a model name nor a LoRA adapter.
    NoModel,
    /// A ModelRoute has no rule.
    NoRules,
    /// A rule has no target.
    NoTargets,
    /// A target names a ModelServer that is not in the table.
    UnknownModelServer,
    /// Requests without a model are to be routed as if they named one that no
    /// ModelRoute has; its name.
    UnknownModel(String),
    /// Requests without a model are to go to a ModelRoute that is not in the table;
    /// its name.
    UnknownModelRoute(String),
    /// Some targets of a rule have a weight and others do not.
    MixedWeights,
    /// All targets of a rule have the weight 0.
    AllWeightsZero,
    /// A weight is above 100.
    WeightTooLarge(u32),
    /// A header name is not one that HTTP allows.
    InvalidHeaderName,
    /// A header value is not one that HTTP allows.
    InvalidHeaderValue,
    /// A ModelServer, or a health check, sends a header twice.
    DuplicateHeader,
    /// A header that the gateway sets: one of the connection or of the body's framing, or Host.
    ReservedHeader,
    /// A path or a pattern of paths is invalid; the reason.
    InvalidPath(Reason),
    /// A regular expression does not compile; the reason.
    InvalidRegex(Reason),
    /// A certificate or a private key is not valid; the reason.
    InvalidCertificate(Reason),
    /// Options for the engines of one ModelServer contain such options
    /// themselves.
    NestedModelServers,
    /// A name for the field `Via` is neither a token nor a host.
    InvalidPseudonym,
    /// A rule is for exactly a path that no request to an engine can have: it is not on the
    /// list of [`ApiPaths`](crate::ApiPaths).
    UnknownPath,
}

impl BuildError {
    /// `None` where there are no mistakes.
    pub(crate) fn new(mistakes: Vec<Mistake>) -> Option<Self> {
        (!mistakes.is_empty()).then_some(Self { mistakes })
    }

    /// One mistake in something that is not part of a table.
    pub(crate) fn other(name: &'static str, kind: MistakeKind) -> Self {
        Self::of(name, name.to_owned(), kind)
    }

    /// The same with the place in more words.
    pub(crate) fn of(name: &'static str, words: String, kind: MistakeKind) -> Self {
        Self {
            mistakes: vec![Mistake::new(Place::Other(name), words, kind)],
        }
    }

    /// Its mistakes, and then the others'.
    #[cfg(feature = "client")]
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.mistakes.extend(others.mistakes);
        self
    }

    /// Something is asked of a ModelServer that is not in the table.
    pub(crate) fn unknown_model_server(name: &str) -> Self {
        let words = format!("ModelServer {name:?}");
        Self::of("ModelServer", words, MistakeKind::UnknownModelServer)
    }

    /// Something is asked of an endpoint, and this is wrong with it.
    pub(crate) fn endpoint(uri: &str, kind: MistakeKind) -> Self {
        Self::of("endpoint", format!("endpoint {uri:?}"), kind)
    }

    /// The mistakes, at least one: first those of the ModelServers, then those of the
    /// ModelRoutes, each in the order in which they were added, and then that of `without_model`.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl Mistake {
    pub(crate) fn new(place: Place, words: String, kind: MistakeKind) -> Self {
        Self { place, words, kind }
    }

    /// The place as text, such as `ModelRoute "chat", rule "premium", target #2`.
    pub fn place(&self) -> &str {
        &self.words
    }

    /// The place, for programs.
    pub fn position(&self) -> Place {
        self.place
    }

    /// The kind of mistake.
    pub fn kind(&self) -> &MistakeKind {
        &self.kind
    }
}

/// Why something is invalid, as text for people; the text may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(Cow<'static, str>);

impl From<&'static str> for Reason {
    fn from(words: &'static str) -> Self {
        Self(words.into())
    }
}

impl From<String> for Reason {
    fn from(words: String) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for BuildError {}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_other = |mistake: &Mistake| matches!(mistake.place, Place::Other(_));
        let what = match self.mistakes.iter().any(is_other) {
            true => "options",
            false => "route table",
        };
        match self.mistakes.len() {
            1 => write!(f, "1 mistake in the {what}")?,
            n => write!(f, "{n} mistakes in the {what}")?,
        }
        self.mistakes
            .iter()
            .try_for_each(|mistake| write!(f, "\n- {mistake}"))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.words, self.kind)
    }
}

impl fmt::Display for MistakeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidEndpoint(reason) => write!(f, "this is not an endpoint: {reason}"),
            Self::NotRetriable(status) => write!(
                f,
                "after {status} a request can't be sent again: only 429 and statuses from 500 on"
            ),
            Self::LimitTooLarge(most) => write!(f, "the limit is above {most} in this time"),
            Self::PercentTooLarge(percent) => write!(f, "{percent} percent is above 100"),
            Self::UnknownModel(name) => {
                write!(f, "no ModelRoute has the model or LoRA adapter {name:?}")
            }
            Self::UnknownModelRoute(name) => write!(f, "there is no ModelRoute {name:?}"),
            Self::WeightTooLarge(weight) => write!(f, "the weight {weight} is above 100"),
            Self::InvalidPath(reason) => write!(f, "the path is invalid: {reason}"),
            Self::InvalidRegex(reason) => {
                write!(f, "the regular expression does not compile: {reason}")
            }
            Self::InvalidCertificate(reason) => {
                write!(f, "the certificate is not valid: {reason}")
            }
            fixed => f.write_str(fixed.words()),
        }
    }
}

const UNKNOWN_PATH: &str = "no inference API has this path, so no request with it is let through: \
                            add it to the table's paths";

impl MistakeKind {
    /// The words for a kind that has no value.
    fn words(&self) -> &'static str {
        match self {
            Self::EmptyName => "the name is empty",
            Self::DuplicateModelServer => "another ModelServer already has this name",
            Self::UnknownEndpoint => "no ModelServer has this endpoint",
            Self::DuplicateEndpoint => "the ModelServer already has this endpoint",
            Self::DuplicateAdapter => "the ModelRoute already has this LoRA adapter",
            Self::DuplicateTarget => "the rule already has this ModelServer as a target",
            Self::EndpointWeightZero => "the weight of an endpoint must be at least 1",
            Self::PrefixOfNothing => "a prefix must have at least 1 byte",
            Self::NoSessionSources => "there are no sources of session keys",
            Self::ZeroTime => "the time must be more than zero",
            Self::ZeroLimit => "the limit must be at least 1",
            Self::DuplicateLimit => {
                "the ModelRoute already has a limit of this unit, period and key, or Kthena key"
            }
            Self::LimitNotShared => "concurrent requests are counted in each gateway, not in Redis",
            Self::NotAKthenaLimit => {
                "Kthena only limits input and output tokens of whole routes with a model name"
            }
            Self::InvalidRedisAddress => "the address of Redis must be a host and a port",
            Self::InvalidRedisPassword => "the password is empty, or the limit is not in Redis",
            Self::RedisNotBuilt => "limits in Redis need the feature `redis`, which is off",
            Self::QueueWithoutLimit => "without max_in_flight nothing ever queues",
            Self::EmptyRange => "the range is empty",
            Self::MaximumTooSmall => "it is below the initial value",
            Self::NoModel => "it has neither a model_name nor a LoRA adapter",
            Self::NoRules => "it has no rule",
            Self::NoTargets => "it has no target",
            Self::UnknownModelServer => "there is no ModelServer of this name",
            Self::MixedWeights => "either all targets must have a weight or none",
            Self::AllWeightsZero => "all weights are 0",
            Self::InvalidHeaderName => "this is not a valid header name",
            Self::InvalidHeaderValue => "its value is not a valid header value",
            Self::DuplicateHeader => "this header is already set",
            Self::ReservedHeader => "the gateway itself sets this header",
            Self::NestedModelServers => "options of one ModelServer can't have those of another",
            Self::InvalidPseudonym => "the name is neither a token nor a host with a port",
            Self::UnknownPath => UNKNOWN_PATH,
            Self::InvalidEndpoint(_)
            | Self::NotRetriable(_)
            | Self::LimitTooLarge(_)
            | Self::PercentTooLarge(_)
            | Self::UnknownModel(_)
            | Self::UnknownModelRoute(_)
            | Self::WeightTooLarge(_)
            | Self::InvalidPath(_)
            | Self::InvalidRegex(_)
            | Self::InvalidCertificate(_) => "",
        }
    }
}
