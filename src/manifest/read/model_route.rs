//! A `ModelRoute` manifest.

use std::collections::{HashMap, HashSet};

use super::{
    fields::{Field, Object, Reader},
    gateway_refs::{self, Parent},
    kthena, metadata,
    route_annotations::{self, RouteAnnotations},
    string_match::{self, Words},
};
use crate::{
    config::{ModelMatch, ModelRoute, Rule, TargetModel},
    manifest::{
        full_name,
        origin::{RouteOrigin, RuleOrigin},
        place::Spot,
    },
};

const SPEC: [&str; 5] = [
    "modelName",
    "loraAdapters",
    "parentRefs",
    "rules",
    "rateLimit",
];

/// The prefix of an ExternalModelProvider's name: no ModelServer has such a name.
pub(crate) const EXTERNAL: &str = "external:";

/// A ModelRoute as it is read: its targets have the full names of their ModelServers, which may
/// have others in the table.
#[derive(Clone, Debug)]
pub(crate) struct RouteManifest {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) created: Option<(i64, u32)>,
    pub(crate) version: Option<u128>,
    pub(crate) route: ModelRoute,
    pub(crate) origin: RouteOrigin,
    /// ExternalModelProviders that its targets name.
    pub(crate) external: Vec<(String, Spot)>,
    /// The Gateways that it belongs to; where it names none, all of its namespace.
    pub(crate) parents: Vec<Parent>,
    pub(crate) parents_spot: Option<Spot>,
}

pub(crate) fn read(resource: &Object<'_>, reader: &mut Reader<'_>) -> Option<RouteManifest> {
    let metadata = metadata::read(resource, reader)?;
    let annotations = route_annotations::read(&metadata, reader);
    let name = annotations
        .name
        .clone()
        .unwrap_or_else(|| full_name::join(&metadata.namespace, &metadata.name));
    let mut manifest = RouteManifest {
        route: ModelRoute::new(name),
        origin: RouteOrigin {
            whole: metadata.name_spot.clone(),
            model_name: None,
            adapters: Vec::new(),
            rules: Vec::new(),
            limits: Vec::new(),
            without_model: annotations.without_model.clone(),
        },
        namespace: metadata.namespace,
        name: metadata.name,
        created: metadata.created,
        version: metadata.version,
        external: Vec::new(),
        parents: Vec::new(),
        parents_spot: None,
    };
    match resource.get("spec") {
        Some(spec) => {
            if let Some(spec) = spec.object(reader, &SPEC) {
                manifest.read_spec(&spec, annotations, reader);
            }
        }
        None => {
            let spot = resource.spot_of(reader, "spec");
            reader.error(&spot, "missing-field", "it has no spec");
        }
    }
    let namespace = manifest.namespace.clone();
    let full_name = |name: &str| full_name::join(&namespace, name);
    manifest.change(|route| route.rename_model_servers(full_name));
    Some(manifest)
}

impl RouteManifest {
    /// The full names of the ModelServers that it sends requests to, each with where it is said.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (&str, &Spot)> {
        let rules = self.route.get_rules().iter().zip(&self.origin.rules);
        rules.flat_map(|(rule, origin)| {
            let spots = origin.targets.iter().chain(&origin.fallbacks);
            let spots = spots.chain(std::iter::repeat(&origin.whole));
            rule.model_servers().zip(spots)
        })
    }

    fn read_spec(
        &mut self,
        spec: &Object<'_>,
        mut annotations: RouteAnnotations,
        reader: &mut Reader<'_>,
    ) {
        if let Some(field) = spec.get("modelName")
            && let Some(name) = field.text(reader)
        {
            // Go writes what is not there as an empty text.
            if !name.is_empty() {
                self.change(|route| route.model_name(name));
            }
            self.origin.model_name = Some(field.spot(reader));
        }
        self.read_adapters(spec, reader);
        let limits = std::mem::take(&mut annotations.limits);
        for (limit, spot) in limits.with(spec.get("rateLimit"), reader) {
            self.change(|route| route.rate_limit(limit));
            self.origin.limits.push(spot);
        }
        let mut rules = Vec::new();
        at_most(spec, "rules", 16, reader);
        for field in spec.list("rules", reader) {
            rules.extend(self.read_rule(&field, rules.len() + 1, reader));
        }
        route_annotations::apply(annotations, &mut rules, &mut self.origin, reader);
        for rule in rules {
            self.change(|route| route.rule(rule));
        }
        if let Some(field) = spec.get("parentRefs") {
            self.parents_spot = Some(field.spot(reader));
            self.parents = gateway_refs::read(&field, reader);
        }
    }

    /// Kthena's router has a set of them.
    fn read_adapters(&mut self, spec: &Object<'_>, reader: &mut Reader<'_>) {
        at_most(spec, "loraAdapters", 10, reader);
        let mut seen = HashSet::new();
        for field in spec.list("loraAdapters", reader) {
            let Some(name) = field.text(reader) else {
                continue;
            };
            let spot = field.spot(reader);
            // A name that is none is a mistake wherever it is.
            if seen.insert(name) || name.is_empty() {
                self.change(|route| route.lora_adapter(name));
                self.origin.adapters.push(spot);
            } else {
                let message = format!("the LoRA adapter {name:?} is already named: it counts once");
                reader.warning(&spot, "duplicate-adapter", message);
            }
        }
    }

    /// Applies a builder's method to the route.
    fn change(&mut self, change: impl FnOnce(ModelRoute) -> ModelRoute) {
        let route = std::mem::replace(&mut self.route, ModelRoute::new(""));
        self.route = change(route);
    }

    fn read_rule(
        &mut self,
        field: &Field<'_>,
        position: usize,
        reader: &mut Reader<'_>,
    ) -> Option<Rule> {
        const RULE: [&str; 3] = ["name", "modelMatch", "targetModels"];
        let object = field.object(reader, &RULE)?;
        let name = object
            .get("name")
            .and_then(|field| field.text(reader))
            .filter(|name| !name.is_empty())
            .map_or_else(|| format!("rule-{position}"), str::to_owned);
        let mut rule = Rule::new(name);
        let mut origin = RuleOrigin {
            whole: field.spot(reader),
            conditions: Vec::new(),
            targets: Vec::new(),
            fallbacks: Vec::new(),
        };
        if let Some(field) = object.get("modelMatch") {
            for (condition, spot) in string_match::read(&field, Words::Kthena, reader) {
                rule = rule.when(ModelMatch::from(condition));
                origin.conditions.push(spot);
            }
        }
        at_most(&object, "targetModels", 16, reader);
        let mut targets = Vec::new();
        for field in object.list("targetModels", reader) {
            targets.extend(self.target(&field, reader));
        }
        let targets = merged(default_weights(targets), reader);
        for (target, spot) in targets {
            rule = rule.target(target);
            origin.targets.push(spot);
        }
        self.origin.rules.push(origin);
        Some(rule)
    }

    /// A target, and the place of its name.
    fn target(
        &mut self,
        field: &Field<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<(TargetModel, Spot)> {
        const SERVER: &str = "modelServerName";
        const PROVIDER: &str = "externalModelProviderName";
        let object = field.object(reader, &[SERVER, PROVIDER, "weight"])?;
        let weight = object
            .get("weight")
            .map(|field| field.number(reader, 0, 100));
        let (name, spot) = match (object.named(SERVER), object.named(PROVIDER)) {
            (Some(field), None) => (model_server(&field, reader)?, field.spot(reader)),
            (None, Some(field)) => self.provider(&field, reader)?,
            (Some(_), Some(field)) => {
                let spot = field.spot(reader);
                let message = format!("a target has a {SERVER} or an {PROVIDER}, not both");
                reader.error(&spot, "invalid-value", message);
                return None;
            }
            (None, None) => {
                let spot = object.spot_of(reader, SERVER);
                let message = format!("the target has no {SERVER}");
                reader.error(&spot, "missing-field", message);
                return None;
            }
        };
        let target = TargetModel::new(name);
        let target = match weight {
            None => target,
            // One that is wrong has been reported; it counts as given.
            Some(weight) => target.weight(weight.map_or(100, |weight| weight as u32)),
        };
        Some((target, spot))
    }

    /// An ExternalModelProvider, which becomes a ModelServer without endpoints.
    fn provider(&mut self, field: &Field<'_>, reader: &mut Reader<'_>) -> Option<(String, Spot)> {
        let name = format!("{EXTERNAL}{}", field.text(reader)?);
        let message = format!(
            "ExternalModelProviders are not acted on: it is a ModelServer {name:?} without \
             endpoints, and its share goes to the rule's other targets"
        );
        reader.not_acted_on(field, &message);
        let spot = field.spot(reader);
        if !self.origin.adapters.is_empty() {
            let reason = "a route with loraAdapters has only ModelServers as targets";
            kthena::refused(reader, &spot, reason);
        }
        self.external.push((name.clone(), spot.clone()));
        Some((name, spot))
    }
}

/// The name of a ModelServer of the route's own namespace.
fn model_server(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let name = field.text(reader)?;
    if name.contains('/') {
        let spot = field.spot(reader);
        let message = format!(
            "{name:?} has a slash: targets are ModelServers of the route's own namespace, named \
             without it"
        );
        reader.error(&spot, "invalid-name", message);
        return None;
    }
    Some(name.to_owned())
}

/// Kthena's weight is 100 where none is given; without any, all are equal anyway.
fn default_weights(mut targets: Vec<(TargetModel, Spot)>) -> Vec<(TargetModel, Spot)> {
    let is_weighted = |(target, _): &(TargetModel, Spot)| target.get_weight().is_some();
    if targets.iter().any(is_weighted) {
        for (target, _) in &mut targets {
            let weight = target.get_weight().unwrap_or(100);
            *target = target.clone().weight(weight);
        }
    }
    targets
}

/// One target for each ModelServer: Kthena draws among all, so that their weights add up.
fn merged(targets: Vec<(TargetModel, Spot)>, reader: &mut Reader<'_>) -> Vec<(TargetModel, Spot)> {
    let names = targets.iter().map(|(target, _)| target.get_model_server());
    if names.collect::<HashSet<_>>().len() == targets.len() {
        return targets;
    }
    // Without any weight each is one of several equal ones.
    let weight = |target: &TargetModel| target.get_weight().unwrap_or(1);
    let mut merged: Vec<(TargetModel, Spot)> = Vec::new();
    let mut positions = HashMap::new();
    for (target, spot) in targets {
        let name = target.get_model_server();
        let position = *positions.entry(name.to_owned()).or_insert(merged.len());
        let Some((first, _)) = merged.get_mut(position) else {
            let weight = weight(&target);
            merged.push((target.weight(weight), spot));
            continue;
        };
        let message =
            format!("{name:?} is already a target of this rule: their weights are added up");
        reader.warning(&spot, "duplicate-target", message);
        let sum = weight(first).saturating_add(weight(&target));
        *first = first.clone().weight(sum);
    }
    scale(&mut merged);
    merged
}

/// A target has a weight of at most 100: where a sum is above it, all become smaller in proportion,
/// which is exact where they have a common divisor, and else right to half a percent.
fn scale(targets: &mut [(TargetModel, Spot)]) {
    const MOST: u32 = 100;
    let weights = targets.iter().map(|(target, _)| target.get_weight());
    let weights: Vec<u32> = weights.map(Option::unwrap_or_default).collect();
    let most = weights.iter().copied().max().unwrap_or_default();
    let divisor = weights.iter().copied().fold(0, divisor);
    if most <= MOST || divisor == 0 {
        return;
    }
    for ((target, _), weight) in targets.iter_mut().zip(weights) {
        let scaled = match most / divisor {
            ..=MOST => weight / divisor,
            _ => weight.saturating_mul(MOST).saturating_add(most / 2) / most,
        };
        *target = target.clone().weight(scaled.max(weight.min(1)));
    }
}

/// The greatest common one.
fn divisor(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        b => divisor(b, a % b),
    }
}

/// Kthena's schema has a most for a list.
fn at_most(object: &Object<'_>, name: &str, most: usize, reader: &mut Reader<'_>) {
    if let Some(field) = object.get(name) {
        let count = field.loose_list().len();
        kthena::at_most(&field, count, most, name, reader);
    }
}
