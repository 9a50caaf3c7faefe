//! A ModelRoute's manifest.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Serialize, Serializer};

use super::document::Annotations;
use crate::{
    config::{Condition, ModelRoute, Rule, StringMatch},
    manifest::read::route_annotations::RULES,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteSpec<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model_name: Option<&'t str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    lora_adapters: &'t [String],
    rules: Vec<RuleSpec<'t>>,
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
    uri: Option<&'t StringMatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<BodySpec<'t>>,
}

/// In the order in which they were added.
#[derive(Default, PartialEq)]
struct Headers<'t>(Vec<(&'t str, &'t StringMatch)>);

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
    let spec = RouteSpec {
        model_name: route.get_model_name(),
        lora_adapters: route.get_lora_adapters(),
        rules: specs,
    };
    (annotations(rules, &beyond), spec)
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

    /// Adds a condition, or gives it back as a match of its own.
    fn add(&mut self, condition: &'t Condition) -> Option<Self> {
        let mut further = Self::default();
        let is_free = match condition {
            Condition::Header(name, _) => self.headers.0.iter().all(|(taken, _)| taken != name),
            Condition::Uri(_) => self.uri.is_none(),
            Condition::BodyModel(_) => self.body.is_none(),
        };
        let place = if is_free { self } else { &mut further };
        match condition {
            Condition::Header(name, value) => place.headers.0.push((name, value)),
            Condition::Uri(value) => place.uri = Some(value),
            Condition::BodyModel(model) => place.body = Some(BodySpec { model }),
        }
        (!is_free).then_some(further)
    }
}

impl Headers<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}
