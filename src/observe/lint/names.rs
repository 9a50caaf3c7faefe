//! Names that conflict, and weights of 0.

use std::collections::{HashMap, HashSet};

use super::warning::{Lint, LintKind};
use crate::config::{Place, RoutePart, RouteTableBuilder};

pub(super) fn lint(config: &RouteTableBuilder) -> Vec<Lint> {
    let base_names: HashMap<&str, &str> = config
        .get_model_routes()
        .iter()
        .rev() // of several, the first one wins
        .filter_map(|route| Some((route.get_model_name()?, route.get_name())))
        .collect();
    let mut route_names = HashSet::new();
    let mut lints = Vec::new();
    for (position, route) in config.get_model_routes().iter().enumerate() {
        let mut add = |kind, part, message| {
            let place = Place::ModelRoute(position, part);
            lints.push(Lint::new(config, kind, place, message));
        };
        if !route_names.insert(route.get_name()) {
            let message = "another ModelRoute has this name too".to_owned();
            add(LintKind::DuplicateRouteName, RoutePart::Whole, message);
        }
        for (adapter, name) in route.get_lora_adapters().iter().enumerate() {
            if let Some(base) = base_names.get(name.as_str()) {
                let message = format!(
                    "the ModelRoute {base:?} has it as model_name, which is looked for first: \
                     this one is tried only where no rule of that name matches"
                );
                add(
                    LintKind::HiddenAdapter,
                    RoutePart::Adapter(adapter),
                    message,
                );
            }
        }
        for (rule, config) in route.get_rules().iter().enumerate() {
            for (target, config) in config.get_targets().iter().enumerate() {
                if config.get_weight() == Some(0) {
                    let message = "its weight is 0: it gets requests only while no other \
                                   target can take them"
                        .to_owned();
                    add(
                        LintKind::ZeroWeight,
                        RoutePart::Target(rule, target),
                        message,
                    );
                }
            }
        }
    }
    lints
}
