//! Where in the manifests each part of a configuration is defined.

use super::place::Spot;
use crate::config::{RoutePart, ServerPart};

/// Where a ModelServer is defined, and its parts that are defined elsewhere.
#[derive(Clone, Debug)]
pub(super) struct ServerOrigin {
    pub(super) whole: Spot,
    pub(super) model: Option<Spot>,
    pub(super) balance: Option<Spot>,
    pub(super) policy: Option<Spot>,
    /// The options of the traffic policy that are given, by their keys.
    pub(super) options: Vec<(&'static str, Spot)>,
    pub(super) headers: Vec<Spot>,
    /// `None` for those that are not in its own manifest.
    pub(super) endpoints: Vec<Option<Spot>>,
    pub(super) selects_pods: bool,
    /// Whether the manifest says something of `retry`.
    pub(super) has_retry: bool,
}

impl ServerOrigin {
    /// A ModelServer of which no part has a place of its own yet.
    pub(super) fn new(whole: Spot) -> Self {
        Self {
            whole,
            model: None,
            balance: None,
            policy: None,
            options: Vec::new(),
            headers: Vec::new(),
            endpoints: Vec::new(),
            selects_pods: false,
            has_retry: false,
        }
    }

    pub(super) fn of(&self, part: ServerPart) -> &Spot {
        match part {
            ServerPart::Whole => None,
            ServerPart::Model => self.model.as_ref(),
            ServerPart::Balance => self.balance.as_ref(),
            ServerPart::Header(header) => self.headers.get(header),
            ServerPart::TrafficPolicy(option) => option
                .and_then(|option| self.option(option))
                .or(self.policy.as_ref()),
            ServerPart::Endpoint(endpoint) => self.endpoints.get(endpoint).and_then(Option::as_ref),
        }
        .unwrap_or(&self.whole)
    }

    pub(super) fn add_option(&mut self, key: &'static str, spot: Spot) {
        self.options.push((key, spot));
    }

    /// Builders and mistakes say `max_queue` where manifests have `maxQueue`.
    fn option(&self, name: &str) -> Option<&Spot> {
        let letters = || name.bytes().filter(|letter| *letter != b'_');
        let is_key = |key: &str| {
            key.bytes()
                .map(|key| key.to_ascii_lowercase())
                .eq(letters())
        };
        let (_, spot) = self.options.iter().find(|(key, _)| is_key(key))?;
        Some(spot)
    }
}

/// Where a ModelRoute and its parts are defined.
#[derive(Clone, Debug)]
pub(super) struct RouteOrigin {
    pub(super) whole: Spot,
    pub(super) model_name: Option<Spot>,
    pub(super) adapters: Vec<Spot>,
    pub(super) rules: Vec<RuleOrigin>,
    pub(super) limits: Vec<Spot>,
    /// Where it is said that requests without a model go to it.
    pub(super) without_model: Option<Spot>,
}

#[derive(Clone, Debug)]
pub(super) struct RuleOrigin {
    pub(super) whole: Spot,
    pub(super) conditions: Vec<Spot>,
    pub(super) targets: Vec<Spot>,
    pub(super) fallbacks: Vec<Spot>,
}

impl RouteOrigin {
    /// The spot of a part, or else that of the whole it belongs to.
    pub(super) fn of(&self, part: RoutePart) -> &Spot {
        let rule = part.rule().and_then(|rule| self.rules.get(rule));
        let spot = match part {
            RoutePart::Whole | RoutePart::Rule(_) => None,
            RoutePart::ModelName => self.model_name.as_ref(),
            RoutePart::Limit(limit) => self.limits.get(limit),
            RoutePart::Adapter(adapter) => self.adapters.get(adapter),
            RoutePart::Condition(_, i) => rule.and_then(|rule| rule.conditions.get(i)),
            RoutePart::Target(_, i) => rule.and_then(|rule| rule.targets.get(i)),
            RoutePart::Fallback(_, i) => rule.and_then(|rule| rule.fallbacks.get(i)),
        };
        spot.or_else(|| rule.map(|rule| &rule.whole))
            .unwrap_or(&self.whole)
    }
}
