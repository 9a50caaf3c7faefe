//! A ModelRoute's manifest.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Serialize, Serializer};

use super::{
    document::Annotations,
    limits::{self, RateLimitSpec},
};
use crate::{
    config::{Condition, ModelRoute, Rule, StringMatch},
    manifest::read::{re2, route_annotations::RULES},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteSpec<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model_name: Option<&'t str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    lora_adapters: &'t [String],
    rules: Vec<RuleSpec<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimitSpec<'t>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleSpec<'t> {
    name: &'t str,
    #[serde(skip_serializing_if = "ModelMatchSpec::is_empty")]
    model_match: ModelMatchSpec<'t>,
    target_models: Vec<TargetSpec<'t>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetSpec<'t> {
    model_server_name: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
}

/// It has one condition for each header, one for the path, and one for the model.
#[derive(Default, PartialEq, Serialize)]
struct ModelMatchSpec<'t> {
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: Headers<'t>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<StringSpec<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<BodySpec<'t>>,
    /// Only annotations have it.
    #[serde(rename = "promptTokens", skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<TokensSpec>,
}

/// In the order in which they were added.
#[derive(Default, PartialEq)]
struct Headers<'t>(Vec<(&'t str, StringSpec<'t>)>);

/// Kthena's three, and a regular expression that Go can't have.
#[derive(PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
enum StringSpec<'t> {
    Exact(&'t str),
    Prefix(&'t str),
    /// In Go's syntax.
    Regex(String),
    /// In this crate's: only annotations have it, under this name.
    RustRegex(&'t str),
}

impl<'t> From<&'t StringMatch> for StringSpec<'t> {
    fn from(value: &'t StringMatch) -> Self {
        match value {
            StringMatch::Exact(text) => Self::Exact(text),
            StringMatch::Prefix(text) => Self::Prefix(text),
            StringMatch::Regex(pattern) => match re2::from_rust(pattern) {
                Some(go) => Self::Regex(go),
                None => Self::RustRegex(pattern),
            },
        }
    }
}

#[derive(PartialEq, Serialize)]
struct TokensSpec {
    min: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
}

#[derive(PartialEq, Serialize)]
struct BodySpec<'t> {
    model: &'t str,
}

/// Options of a rule that Kthena's schema does not have.
#[derive(Serialize)]
struct RuleAnnotation<'t> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fallbacks: Vec<&'t str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    when: Vec<ModelMatchSpec<'t>>,
}

/// The annotations and the spec; `servers` are the ModelServers' names in the manifests.
pub(super) fn write<'t>(
    route: &'t ModelRoute,
    servers: &HashMap<&'t str, &'t str>,
) -> (Annotations, RouteSpec<'t>) {
    let rules = route.get_rules();
    let (specs, beyond): (Vec<_>, Vec<_>) =
        rules.iter().map(|rule| write_rule(rule, servers)).unzip();
    let mut annotations = annotations(rules, &beyond);
    let rate_limit = limits::write(route.get_rate_limits(), &mut annotations);
    let spec = RouteSpec {
        model_name: route.get_model_name(),
        lora_adapters: route.get_lora_adapters(),
        rules: specs,
        rate_limit,
    };
    (annotations, spec)
}

/// By the rules' names, or by position where those are not unique.
fn annotations(rules: &[Rule], beyond: &[RuleAnnotation<'_>]) -> Annotations {
    let mut annotations = Annotations::default();
    let is_empty = |rule: &RuleAnnotation<'_>| rule.fallbacks.is_empty() && rule.when.is_empty();
    if beyond.iter().all(is_empty) {
        return annotations;
    }
    let names: HashSet<&str> = rules.iter().map(Rule::get_name).collect();
    if names.len() == rules.len() {
        let named = rules.iter().map(Rule::get_name).zip(beyond);
        let given: BTreeMap<_, _> = named.filter(|(_, beyond)| !is_empty(beyond)).collect();
        annotations.add(RULES, &given);
    } else {
        annotations.add(RULES, &beyond);
    }
    annotations
}

fn write_rule<'t>(
    rule: &'t Rule,
    servers: &HashMap<&'t str, &'t str>,
) -> (RuleSpec<'t>, RuleAnnotation<'t>) {
    let local = |name: &'t str| *servers.get(name).unwrap_or(&name);
    let (model_match, when) = conditions(rule.get_conditions());
    let targets = rule.get_targets().iter().map(|target| TargetSpec {
        model_server_name: local(target.get_model_server()),
        weight: target.get_weight(),
    });
    let spec = RuleSpec {
        name: rule.get_name(),
        model_match,
        target_models: targets.collect(),
    };
    let fallbacks = rule.get_fallbacks().iter().map(|name| local(name));
    let beyond = RuleAnnotation {
        fallbacks: fallbacks.collect(),
        when,
    };
    (spec, beyond)
}

/// What one `modelMatch` can hold, and one more for each condition that it can't.
fn conditions(conditions: &[Condition]) -> (ModelMatchSpec<'_>, Vec<ModelMatchSpec<'_>>) {
    let mut first = ModelMatchSpec::default();
    let mut when = Vec::new();
    for condition in conditions {
        if let Some(further) = first.add(condition) {
            when.push(further);
        }
    }
    (first, when)
}

impl<'t> ModelMatchSpec<'t> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a condition, or gives it back as a match of its own, for an annotation.
    fn add(&mut self, condition: &'t Condition) -> Option<Self> {
        let mut further = Self::default();
        match condition {
            Condition::Header(name, value) => {
                let value = StringSpec::from(value);
                let is_taken = self.headers.0.iter().any(|(taken, _)| taken == name);
                let place = if is_taken || value.is_rust() {
                    &mut further
                } else {
                    self
                };
                place.headers.0.push((name, value));
            }
            Condition::Uri(value) => {
                let value = StringSpec::from(value);
                let is_taken = self.uri.is_some();
                let place = if is_taken || value.is_rust() {
                    &mut further
                } else {
                    self
                };
                place.uri = Some(value);
            }
            Condition::BodyModel(model) => {
                let place = if self.body.is_some() {
                    &mut further
                } else {
                    self
                };
                place.body = Some(BodySpec { model });
            }
            Condition::PromptTokens { min, max } => {
                let (min, max) = (*min, *max);
                further.prompt_tokens = Some(TokensSpec { min, max });
            }
        }
        (!further.is_empty()).then_some(further)
    }
}

impl StringSpec<'_> {
    fn is_rust(&self) -> bool {
        matches!(self, Self::RustRegex(_))
    }
}

impl Headers<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
