//! A route: the names it answers to, and its rules.

use super::{rate_limit::RateLimit, rule::Rule};

/// Routes the requests for one model name, or for LoRA adapters, by ordered rules.
///
/// A route is found by the exact name in the request: first by its
/// `model_name`, then, where no rule of any route of that name matches, by
/// its LoRA adapters. Several routes may share a name; they are tried in the
/// order in which they were added to the table.
///
/// A request that matched by an adapter's name is forwarded under that name:
/// the engine selects the adapter by it, so
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[must_use]
pub struct ModelRoute {
    name: String,
    model_name: Option<String>,
    lora_adapters: Vec<String>,
    rules: Vec<Rule>,
    rate_limits: Vec<RateLimit>,
}

impl ModelRoute {
    /// A route without rules, which answers to no model yet.
    ///
    /// `name` is the route's own name, used in tracing,
    /// [`RouteDecision`](crate::RouteDecision) and error messages.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            model_name: None,
            lora_adapters: Vec::new(),
            rules: Vec::new(),
            rate_limits: Vec::new(),
        }
    }

    /// The model name that clients ask for.
    pub fn model_name(mut self, name: impl Into<String>) -> Self {
        self.model_name = Some(name.into());
        self
    }

    /// Adds a LoRA adapter's name that clients ask for.
    pub fn lora_adapter(mut self, name: impl Into<String>) -> Self {
        self.lora_adapters.push(name.into());
        self
    }

    /// Adds several LoRA adapters' names.
    pub fn lora_adapters<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.lora_adapters.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds a rule after those that the route already has.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Limits what the route's requests may use; several limits hold together.
    ///
    /// A request that does not fit into one of them is answered with 429 `rate_limit_exceeded`,
    /// and takes nothing from the others.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limits.push(limit);
        self
    }

    /// Renames the ModelServers of all rules, in the order of the rules and of
    /// [`Rule::model_servers`].
    ///
    /// For front ends whose names for ModelServers are not those of the table.
    pub fn rename_model_servers(mut self, mut rename: impl FnMut(&str) -> String) -> Self {
        self.rules = self
            .rules
            .into_iter()
            .map(|rule| rule.rename_model_servers(&mut rename))
            .collect();
        self
    }

    /// Changes its limits, in their order.
    #[cfg(feature = "manifest")]
    pub(crate) fn map_rate_limits(mut self, change: impl FnMut(RateLimit) -> RateLimit) -> Self {
        self.rate_limits = self.rate_limits.into_iter().map(change).collect();
        self
    }

    /// The route's own name.
    pub fn get_name(&self) -> &str {
        &self.name
    }

    /// The model name that it answers to, if it has one.
    pub fn get_model_name(&self) -> Option<&str> {
        self.model_name.as_deref()
    }

    /// The LoRA adapters that it answers to.
    pub fn get_lora_adapters(&self) -> &[String] {
        &self.lora_adapters
    }

    /// The limits on what its requests may use.
    pub fn get_rate_limits(&self) -> &[RateLimit] {
        &self.rate_limits
    }

    /// The rules, in the order in which they are tried.
    pub fn get_rules(&self) -> &[Rule] {
        &self.rules
    }
}
