//! A route: the names it answers to, and its rules.

use std::{fmt, sync::Arc};

use super::{rate_limit::RateLimit, rule::Rule};

/// Routes the requests for one model name, or for LoRA adapters, by ordered rules.
///
/// A route is found by the exact name in the request: first by its
/// `model_name`; then, if no rule of any route with that name matches, by its
/// LoRA adapters. Several routes may share a name; they are tried in the order
/// in which they were added to the table.
///
/// A request that matched by an adapter's name is forwarded under that name,
/// since the engine selects the adapter by it:
/// [`ModelServer::model`](crate::ModelServer::model) does not overwrite it.
///
/// ```
/// use tower_model_route::{ModelRoute, Rule};
///
/// let route = ModelRoute::new("deepseek-lora")
///     .model_name("deepseek-base")
///     .lora_adapters(["lora-A", "lora-B"])
///     .rule(Rule::new("all").target("deepseek-r1-1-5b"));
/// assert_eq!(route.get_rules().len(), 1);
/// ```
///
/// Clones are cheap: they share one copy until one of them is changed.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
#[must_use]
pub struct ModelRoute(
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::serial::shared"))]
    Arc<ModelRouteFields>,
);

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
struct ModelRouteFields {
    name: String,
    model_name: Option<String>,
    lora_adapters: Vec<String>,
    rules: Vec<Rule>,
    rate_limits: Vec<RateLimit>,
}

impl ModelRoute {
    /// A route without rules or model names yet.
    ///
    /// `name` is the route's own name, used in tracing,
    /// [`RouteDecision`](crate::RouteDecision) and error messages.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Arc::new(ModelRouteFields {
            name: name.into(),
            model_name: None,
            lora_adapters: Vec::new(),
            rules: Vec::new(),
            rate_limits: Vec::new(),
        }))
    }

    /// The model name that clients ask for.
    pub fn model_name(mut self, name: impl Into<String>) -> Self {
        self.fields().model_name = Some(name.into());
        self
    }

    /// Adds a LoRA adapter's name that clients ask for.
    pub fn lora_adapter(mut self, name: impl Into<String>) -> Self {
        self.fields().lora_adapters.push(name.into());
        self
    }

    /// Adds several LoRA adapters' names.
    pub fn lora_adapters<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.fields()
            .lora_adapters
            .extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds a rule after those that the route already has.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.fields().rules.push(rule);
        self
    }

    /// Limits what the route's requests may use; a request must fit all limits.
    ///
    /// A request that does not fit one of them is answered with 429 `rate_limit_exceeded`, and
    /// takes nothing from the others.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.fields().rate_limits.push(limit);
        self
    }

    /// Renames the ModelServers of all rules, in the order of the rules and of
    /// [`Rule::model_servers`].
    ///
    /// For front ends whose names for ModelServers differ from the table's.
    pub fn rename_model_servers(mut self, mut rename: impl FnMut(&str) -> String) -> Self {
        let rules = std::mem::take(&mut self.fields().rules).into_iter();
        let renamed = rules.map(|rule| rule.rename_model_servers(&mut rename));
        self.fields().rules = renamed.collect();
        self
    }

    /// Changes its limits, in their order.
    #[cfg(feature = "manifest")]
    pub(crate) fn map_rate_limits(mut self, change: impl FnMut(RateLimit) -> RateLimit) -> Self {
        let limits = std::mem::take(&mut self.fields().rate_limits).into_iter();
        self.fields().rate_limits = limits.map(change).collect();
        self
    }

    /// The route's own name.
    pub fn get_name(&self) -> &str {
        &self.0.name
    }

    /// The model name that it answers to, if it has one.
    pub fn get_model_name(&self) -> Option<&str> {
        self.0.model_name.as_deref()
    }

    /// The LoRA adapters that it answers to.
    pub fn get_lora_adapters(&self) -> &[String] {
        &self.0.lora_adapters
    }

    /// The limits on what its requests may use.
    pub fn get_rate_limits(&self) -> &[RateLimit] {
        &self.0.rate_limits
    }

    /// The rules, in the order in which they are tried.
    pub fn get_rules(&self) -> &[Rule] {
        &self.0.rules
    }

    /// The fields, to be changed here and in no clone.
    fn fields(&mut self) -> &mut ModelRouteFields {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Debug for ModelRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
