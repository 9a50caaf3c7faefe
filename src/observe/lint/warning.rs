//! A warning about a valid configuration.

use std::fmt;

use crate::config::{Place, RouteTableBuilder};

/// One warning about a table, from [`RouteTable::lint`](crate::RouteTable::lint).
///
/// It displays as its place and a sentence:
///
/// ```
/// use tower_model_route::{LintKind, ModelRoute, ModelServer, RouteTable, Rule};
///
/// let table = RouteTable::builder()
///     .model_server(ModelServer::new("small").endpoint("http://10.0.0.1:8000"))
///     .model_route(
///         ModelRoute::new("chat")
///             .model_name("chat")
///             .rule(Rule::new("all").target("small"))
///             .rule(Rule::new("never").target("small")),
///     )
///     .build()
///     .unwrap();
/// let lints = table.lint();
/// assert_eq!(lints[0].kind(), LintKind::UnreachableRule);
/// assert_eq!(
///     lints[0].to_string(),
///     "ModelRoute \"chat\", rule \"never\": it is never reached: \
///      all that it matches goes to the rule \"all\" before it",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    kind: LintKind,
    place: Place,
    words: String,
    message: String,
}

/// The kind of a [`Lint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LintKind {
    /// No request can reach a rule: earlier ones take all that it matches, or it matches nothing.
    UnreachableRule,
    /// Requests without a model go to a ModelRoute whose rules all ask for a model, so that each
    /// of them is answered with 404.
    UnreachableWithoutModel,
    /// A LoRA adapter has the name of a base model, which takes precedence.
    HiddenAdapter,
    /// A limit applies to no request: other ModelRoutes take all that its own
    /// route matches.
    UnreachableLimit,
    /// A limit on tokens is smaller than what a typical request uses.
    SmallLimit,
    /// No rule sends anything to a ModelServer.
    UnusedModelServer,
    /// A ModelServer has no endpoints: requests that only it could serve get 503.
    NoEndpoints,
    /// A target has the weight 0: it gets requests only while no sibling can take them.
    ZeroWeight,
    /// A regular expression matches more than it looks like.
    SuspectRegex,
    /// One attempt may take longer than the request as a whole.
    TimeoutBeyondTotal,
    /// A time limit of streams that another one always cuts short.
    UnreachableStreamTime,
    /// An attempt at a fallback may take longer than the request as a whole, so it may never be tried.
    FallbackTimeoutBeyondTotal,
    /// Two ModelRoutes have the same name, so traces and messages can't tell them
    /// apart.
    DuplicateRouteName,
    /// Requests may be retried, but there is only one endpoint to send them to.
    RetriesWithoutAlternative,
    /// Two ModelServers share an endpoint and differ in their `max_in_flight`, with which each
    /// compares the number of requests of both.
    DifferingLimits,
    /// A ModelServer prefers the gateway's own zone, but that is not known or has none of its
    /// endpoints.
    ZoneWithoutEffect,
    /// Engines are asked for their load, which the balance does not compare.
    ReportsWithoutEffect,
    /// An endpoint is `https`, so the HTTP client must support TLS. Only without the feature
    /// `client`, whose `engine_client()` does.
    NeedsTls,
}

impl LintKind {
    /// Its stable code, such as `unreachable-rule`.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnreachableRule => "unreachable-rule",
            Self::UnreachableWithoutModel => "unreachable-without-model",
            Self::HiddenAdapter => "hidden-adapter",
            Self::UnreachableLimit => "unreachable-limit",
            Self::SmallLimit => "small-limit",
            Self::UnusedModelServer => "unused-model-server",
            Self::NoEndpoints => "no-endpoints",
            Self::ZeroWeight => "zero-weight",
            Self::SuspectRegex => "suspect-regex",
            Self::TimeoutBeyondTotal => "timeout-beyond-total",
            Self::UnreachableStreamTime => "unreachable-stream-time",
            Self::FallbackTimeoutBeyondTotal => "fallback-timeout-beyond-total",
            Self::DuplicateRouteName => "duplicate-route-name",
            Self::RetriesWithoutAlternative => "retries-without-alternative",
            Self::DifferingLimits => "differing-limits",
            Self::ZoneWithoutEffect => "zone-without-effect",
            Self::ReportsWithoutEffect => "reports-without-effect",
            Self::NeedsTls => "needs-tls",
        }
    }
}

impl Lint {
    pub(super) fn new(
        config: &RouteTableBuilder,
        kind: LintKind,
        place: Place,
        message: String,
    ) -> Self {
        Self {
            kind,
            place,
            words: place.words(config),
            message,
        }
    }

    /// The kind of warning.
    pub fn kind(&self) -> LintKind {
        self.kind
    }

    /// The part of the configuration, such as `ModelRoute "chat", rule "premium"`.
    pub fn place(&self) -> &str {
        &self.words
    }

    /// The finding, as a sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The part of the configuration, as data.
    pub fn position(&self) -> Place {
        self.place
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.words, self.message)
    }
}
