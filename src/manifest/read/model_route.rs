//! A `ModelRoute` manifest.

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
        at_most(spec, "loraAdapters", 10, reader);
        for field in spec.list("loraAdapters", reader) {
            if let Some(name) = field.text(reader) {
                self.change(|route| route.lora_adapter(name));
                self.origin.adapters.push(field.spot(reader));
            }
        }
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
        let mut targets = Vec::new();
        at_most(&object, "targetModels", 16, reader);
        for field in object.list("targetModels", reader) {
            if let Some((target, spot)) = self.target(&field, reader) {
                targets.push(target);
                origin.targets.push(spot);
            }
        }
        self.origin.rules.push(origin);
        Some(default_weights(targets).fold(rule, Rule::target))
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
fn default_weights(targets: Vec<TargetModel>) -> impl Iterator<Item = TargetModel> {
    let any = targets.iter().any(|target| target.get_weight().is_some());
    targets
        .into_iter()
        .map(move |target| match target.get_weight() {
            None if any => target.weight(100),
            _ => target,
        })
}

/// Kthena's schema has a most for a list.
fn at_most(object: &Object<'_>, name: &str, most: usize, reader: &mut Reader<'_>) {
    if let Some(field) = object.get(name) {
        let count = field.loose_list().len();
        kthena::at_most(&field, count, most, name, reader);
    }
}
