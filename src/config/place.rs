//! Places in a configuration.

use super::{
    builder::RouteTableBuilder, model_route::ModelRoute, model_server::ModelServer, rule::Condition,
};

/// A part of a configuration: by positions, because names need not be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    ModelServer(usize, ServerPart),
    ModelRoute(usize, RoutePart),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerPart {
    Whole,
    #[cfg_attr(
        not(feature = "manifest"),
        expect(dead_code, reason = "mistakes stand here")
    )]
    Model,
    #[cfg_attr(
        not(feature = "manifest"),
        expect(dead_code, reason = "mistakes stand here")
    )]
    Endpoint(usize),
    #[cfg_attr(
        not(feature = "manifest"),
        expect(dead_code, reason = "mistakes stand here")
    )]
    Balance,
    Policy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoutePart {
    Whole,
    #[cfg_attr(
        not(feature = "manifest"),
        expect(dead_code, reason = "mistakes stand here")
    )]
    ModelName,
    Adapter(usize),
    Rule(usize),
    /// Of a rule, by its position.
    Condition(usize, usize),
    Target(usize, usize),
    Fallback(usize, usize),
}

impl RoutePart {
    pub(crate) fn rule(self) -> Option<usize> {
        match self {
            Self::Whole | Self::ModelName | Self::Adapter(_) => None,
            Self::Rule(rule)
            | Self::Condition(rule, _)
            | Self::Target(rule, _)
            | Self::Fallback(rule, _) => Some(rule),
        }
    }
}

impl Place {
    /// The words that a [`BuildError`](crate::BuildError) has for it, such as
    /// `ModelRoute "chat", rule "premium"`.
    pub(crate) fn words(self, config: &RouteTableBuilder) -> String {
        match self {
            Self::ModelServer(position, part) => config
                .servers
                .get(position)
                .map_or_else(String::new, |server| of_server(server, position, part)),
            Self::ModelRoute(position, part) => config
                .routes
                .get(position)
                .map_or_else(String::new, |route| of_route(route, position, part)),
        }
    }
}

fn of_server(server: &ModelServer, position: usize, part: ServerPart) -> String {
    let whole = named("ModelServer", &server.name, position);
    match part {
        ServerPart::Whole => whole,
        ServerPart::Model => format!("{whole}, model"),
        ServerPart::Endpoint(endpoint) => format!("{whole}, endpoint #{}", endpoint + 1),
        ServerPart::Balance => format!("{whole}, balance"),
        ServerPart::Policy => format!("{whole}, traffic_policy"),
    }
}

fn of_route(route: &ModelRoute, position: usize, part: RoutePart) -> String {
    let whole = named("ModelRoute", &route.name, position);
    let rule = part
        .rule()
        .and_then(|position| Some((position, route.rules.get(position)?)));
    let of_rule = rule.map_or_else(String::new, |(position, rule)| {
        format!("{whole}, {}", named("rule", &rule.name, position))
    });
    let rule = rule.map(|(_, rule)| rule);
    match part {
        RoutePart::Whole => whole,
        RoutePart::ModelName => format!("{whole}, model_name"),
        RoutePart::Adapter(position) => {
            let name = route.lora_adapters.get(position).map_or("", |name| name);
            format!("{whole}, {}", named("LoRA adapter", name, position))
        }
        RoutePart::Rule(_) => of_rule,
        RoutePart::Condition(_, position) => {
            match rule.and_then(|rule| rule.conditions.get(position)) {
                Some(Condition::Header(name, _)) => format!("{of_rule}, header {name:?}"),
                Some(Condition::Uri(_)) => format!("{of_rule}, uri"),
                Some(Condition::BodyModel(_)) => format!("{of_rule}, body_model"),
                None => of_rule,
            }
        }
        RoutePart::Target(_, position) => {
            let target = rule.and_then(|rule| rule.targets.get(position));
            let name = target.map_or("", |target| &target.model_server);
            format!("{of_rule}, {}", named("target", name, position))
        }
        RoutePart::Fallback(_, position) => {
            let fallback = rule.and_then(|rule| rule.fallbacks.get(position));
            let name = fallback.map_or("", |name| name);
            format!("{of_rule}, {}", named("fallback", name, position))
        }
    }
}

/// A thing by its name, or by its position where it has none.
fn named(what: &str, name: &str, position: usize) -> String {
    if name.is_empty() {
        format!("{what} #{}", position + 1)
    } else {
        format!("{what} {name:?}")
    }
}
