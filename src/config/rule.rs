//! A rule: conditions, and the targets of the requests that meet them.

use std::ops::{Bound, RangeBounds};

use super::{string_match::StringMatch, target::TargetModel};

/// One rule of a [`ModelRoute`](crate::ModelRoute): requests that meet its
/// [`ModelMatch`] are split over its targets.
///
/// A route's rules are tried in the order in which they were added, and the
/// first that matches wins. A rule without a `ModelMatch` always matches, so
/// it belongs last.
///
/// ```
/// use tower_model_route::{ModelMatch, Rule, StringMatch};
///
/// let premium = Rule::new("premium")
///     .when(ModelMatch::new().header("user-type", "premium").uri(StringMatch::prefix("/v1/")))
///     .target("deepseek-r1-7b");
/// let everyone = Rule::new("default")
///     .target(("deepseek-r1-1-5b", 70))
///     .target(("deepseek-r1-7b", 30));
/// # let _ = (premium, everyone);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct Rule {
    name: String,
    conditions: Vec<Condition>,
    targets: Vec<TargetModel>,
    fallbacks: Vec<String>,
}

impl Rule {
    /// A rule that always matches and has no targets yet.
    ///
    /// The name is used in tracing, [`RouteDecision`](crate::RouteDecision) and
    /// error messages.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            conditions: Vec::new(),
            targets: Vec::new(),
            fallbacks: Vec::new(),
        }
    }

    /// Only for requests that meet all of `conditions`.
    ///
    /// Each further call adds conditions that must hold as well.
    pub fn when(mut self, conditions: ModelMatch) -> Self {
        self.conditions.extend(conditions.0);
        self
    }

    /// Adds a target: the name of a ModelServer, a name and a weight such as `("small", 70)`, or
    /// a [`TargetModel`].
    pub fn target(mut self, target: impl Into<TargetModel>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// Adds a fallback: the name of a ModelServer that gets requests only if
    /// none of the targets can take them.
    ///
    /// That is: their endpoints are full, ejected or missing, or a request has
    /// tried them all and still has a retry left (see
    /// [`TrafficPolicy::max_retries`](crate::TrafficPolicy::max_retries)).
    /// Fallbacks are tried in the order in which they were added.
    pub fn fallback(mut self, model_server: impl Into<String>) -> Self {
        self.fallbacks.push(model_server.into());
        self
    }

    /// The name.
    pub fn get_name(&self) -> &str {
        &self.name
    }

    /// The conditions, all of which must hold; empty for a rule that always matches.
    pub fn get_conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The targets, in the order in which they were added.
    pub fn get_targets(&self) -> &[TargetModel] {
        &self.targets
    }

    /// The fallbacks, in the order in which they are tried.
    pub fn get_fallbacks(&self) -> &[String] {
        &self.fallbacks
    }

    /// The names of all ModelServers that the rule can send requests to: its
    /// targets, then its fallbacks.
    pub fn model_servers(&self) -> impl Iterator<Item = &str> {
        let targets = self.targets.iter().map(TargetModel::get_model_server);
        targets.chain(self.fallbacks.iter().map(String::as_str))
    }

    /// Renames the ModelServers, in the order of [`model_servers`](Self::model_servers).
    pub fn rename_model_servers(mut self, mut rename: impl FnMut(&str) -> String) -> Self {
        self.targets = self
            .targets
            .into_iter()
            .map(|target| target.rename(&mut rename))
            .collect();
        self.fallbacks = self.fallbacks.iter().map(|name| rename(name)).collect();
        self
    }
}

/// The conditions of a rule; all of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[must_use]
pub struct ModelMatch(Vec<Condition>);

/// One condition of a [`ModelMatch`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub enum Condition {
    /// A value of the header of this name must match.
    Header(String, StringMatch),
    /// The decoded path must match.
    Uri(StringMatch),
    /// The request must ask for exactly this model.
    BodyModel(String),
    /// The prompt must have about this many tokens, both bounds included.
    PromptTokens {
        /// The least.
        min: u64,
        /// The most; `None` is no limit.
        max: Option<u64>,
    },
}

impl ModelMatch {
    /// No condition: every request.
    pub fn new() -> Self {
        Self::default()
    }

    /// A header must be present, and its value must match: a [`StringMatch`], or a string that
    /// it must equal.
    ///
    /// If the header is repeated, one matching value is enough. A missing
    /// header matches nothing, not even an empty prefix (presence is required,
    /// as in the Gateway API; Kthena treats a missing header as empty).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<StringMatch>) -> Self {
        self.0.push(Condition::Header(name.into(), value.into()));
        self
    }

    /// The URI's path must match: a [`StringMatch`], or a string that it must
    /// equal.
    ///
    /// The path is matched percent-decoded and without the query, as in
    /// Kthena: `/v1/%63hat` can't slip past a rule on `/v1/chat`.
    pub fn uri(mut self, path: impl Into<StringMatch>) -> Self {
        self.0.push(Condition::Uri(path.into()));
        self
    }

    /// The model in the request must be exactly `model`.
    ///
    /// Useful in a route that serves several names: a base model and its
    /// LoRA adapters.
    pub fn body_model(mut self, model: impl Into<String>) -> Self {
        self.0.push(Condition::BodyModel(model.into()));
        self
    }

    /// The prompt must have about this many tokens: a range such as `4000..` or
    /// `..4000`.
    ///
    /// The number is estimated at 4 bytes a token, from the JSON body without the images and audio
    /// in it; the same body always counts the same. The body is read to its end before the request
    /// is routed. A request without a body, or whose body is not a JSON object, has no such number
    /// and never meets the condition. See the guide on [adapters](crate::guide::adapters) for what
    /// happens if the estimate was wrong.
    ///
    /// ```
    /// use tower_model_route::{ModelMatch, Rule};
    ///
    /// let long = Rule::new("long").when(ModelMatch::new().prompt_tokens(8000..)).target("128k");
    /// let rest = Rule::new("rest").target("8k");
    /// # let _ = (long, rest);
    /// ```
    pub fn prompt_tokens(mut self, range: impl RangeBounds<u64>) -> Self {
        let min = match range.start_bound() {
            Bound::Included(min) => *min,
            Bound::Excluded(below) => below.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let max = match range.end_bound() {
            Bound::Included(max) => Some(*max),
            // A range that nothing is in is a mistake, also this one.
            Bound::Excluded(0) => {
                self.0.push(Condition::PromptTokens {
                    min: 1,
                    max: Some(0),
                });
                return self;
            }
            Bound::Excluded(above) => Some(above - 1),
            Bound::Unbounded => None,
        };
        self.0.push(Condition::PromptTokens { min, max });
        self
    }

    /// The conditions, in the order in which they were added.
    pub fn get_conditions(&self) -> &[Condition] {
        &self.0
    }
}

impl From<Condition> for ModelMatch {
    fn from(condition: Condition) -> Self {
        Self(vec![condition])
    }
}

impl FromIterator<Condition> for ModelMatch {
    fn from_iter<I: IntoIterator<Item = Condition>>(conditions: I) -> Self {
        Self(conditions.into_iter().collect())
    }
}
