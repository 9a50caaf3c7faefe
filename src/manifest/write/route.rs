//! A ModelRoute's manifest.

use std::collections::{HashMap, HashSet};

use super::yaml::Yaml;
use crate::{
    config::{Condition, ModelRoute, Rule, StringMatch},
    manifest::{
        read::route_annotations::RULES,
        write::document::{Fields, annotation},
    },
};

/// The annotations and the spec; `servers` are the ModelServers' names in the manifests.
pub(super) fn write(route: &ModelRoute, servers: &HashMap<&str, &str>) -> (Fields, Fields) {
    let mut spec = Fields::new();
    if let Some(model) = route.get_model_name() {
        spec.push(("modelName".into(), Yaml::text(model)));
    }
    if !route.get_lora_adapters().is_empty() {
        spec.push(("loraAdapters".into(), texts(route.get_lora_adapters())));
    }
    let (mut rules, mut extras) = (Vec::new(), Vec::new());
    for rule in route.get_rules() {
        let (fields, extra) = write_rule(rule, servers);
        rules.push(Yaml::Map(fields));
        extras.push((rule.get_name().to_owned(), Yaml::Map(extra)));
    }
    spec.push(("rules".into(), Yaml::List(rules)));
    (rules_annotation(extras), spec)
}

/// By the rules' names, or by position where those are not unique.
fn rules_annotation(extras: Vec<(String, Yaml)>) -> Fields {
    let is_empty = |extra: &Yaml| matches!(extra, Yaml::Map(fields) if fields.is_empty());
    if extras.iter().all(|(_, extra)| is_empty(extra)) {
        return Fields::new();
    }
    let names: HashSet<&String> = extras.iter().map(|(name, _)| name).collect();
    let value = if names.len() == extras.len() {
        let given = extras.into_iter().filter(|(_, extra)| !is_empty(extra));
        Yaml::Map(given.collect())
    } else {
        Yaml::List(extras.into_iter().map(|(_, extra)| extra).collect())
    };
    vec![annotation(RULES, value)]
}

fn write_rule(rule: &Rule, servers: &HashMap<&str, &str>) -> (Fields, Fields) {
    let local = |name: &str| Yaml::text(*servers.get(name).unwrap_or(&name));
    let mut fields = vec![("name".into(), Yaml::text(rule.get_name()))];
    let (model_match, when) = conditions(rule.get_conditions());
    if !model_match.is_empty() {
        fields.push(("modelMatch".into(), Yaml::Map(model_match)));
    }
    let targets = rule.get_targets().iter().map(|target| {
        let mut fields = vec![("modelServerName".into(), local(target.get_model_server()))];
        if let Some(weight) = target.get_weight() {
            fields.push(("weight".into(), Yaml::Number(weight.into())));
        }
        Yaml::Map(fields)
    });
    fields.push(("targetModels".into(), Yaml::List(targets.collect())));
    let mut extra = Fields::new();
    if !rule.get_fallbacks().is_empty() {
        let fallbacks = rule
            .get_fallbacks()
            .iter()
            .map(|name| local(name))
            .collect();
        extra.push(("fallbacks".into(), Yaml::List(fallbacks)));
    }
    if !when.is_empty() {
        extra.push(("when".into(), Yaml::List(when)));
    }
    (fields, extra)
}

/// What a `modelMatch` can hold, and one more for each condition that it can't.
///
/// It has one condition for each header, one for the path, and one for the model.
fn conditions(conditions: &[Condition]) -> (Fields, Vec<Yaml>) {
    let (mut headers, mut uri, mut body) = (Fields::new(), None, None);
    let mut when = Vec::new();
    for condition in conditions {
        match condition {
            Condition::Header(name, value) => {
                let field = (name.clone(), string_match(value));
                if headers.iter().any(|(taken, _)| taken == name) {
                    when.push(Yaml::field("headers", Yaml::Map(vec![field])));
                } else {
                    headers.push(field);
                }
            }
            Condition::Uri(value) if uri.is_none() => uri = Some(string_match(value)),
            Condition::Uri(value) => when.push(Yaml::field("uri", string_match(value))),
            Condition::BodyModel(model) => {
                let value = Yaml::field("model", Yaml::text(model));
                if body.is_none() {
                    body = Some(value);
                } else {
                    when.push(Yaml::field("body", value));
                }
            }
        }
    }
    let mut fields = Fields::new();
    if !headers.is_empty() {
        fields.push(("headers".into(), Yaml::Map(headers)));
    }
    fields.extend(uri.map(|uri| ("uri".into(), uri)));
    fields.extend(body.map(|body| ("body".into(), body)));
    (fields, when)
}

fn string_match(value: &StringMatch) -> Yaml {
    let (kind, text) = match value {
        StringMatch::Exact(text) => ("exact", text),
        StringMatch::Prefix(text) => ("prefix", text),
        StringMatch::Regex(text) => ("regex", text),
    };
    Yaml::field(kind, Yaml::text(text))
}

fn texts(texts: &[String]) -> Yaml {
    Yaml::List(texts.iter().map(Yaml::text).collect())
}
