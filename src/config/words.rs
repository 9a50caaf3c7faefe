//! Places in a configuration, in words.

use super::{
    affinity::HashKey,
    balance::Balance,
    builder::RouteTableBuilder,
    endpoint::Endpoint,
    model_route::ModelRoute,
    model_server::ModelServer,
    place::{Place, RoutePart, ServerPart},
    rule::Condition,
};

impl Place {
    /// The place in words, such as `ModelRoute "chat", rule "premium"`.
    pub(crate) fn words(self, config: &RouteTableBuilder) -> String {
        match self {
            Self::ModelServer(position, part) => config
                .get_model_servers()
                .get(position)
                .map_or_else(String::new, |server| of_server(server, position, part)),
            Self::ModelRoute(position, part) => config
                .get_model_routes()
                .get(position)
                .map_or_else(String::new, |route| of_route(route, position, part)),
            Self::WithoutModel => "without_model".to_owned(),
            Self::EngineState => "engine_state".to_owned(),
            Self::Other(name) => name.to_owned(),
        }
    }
}

fn of_server(server: &ModelServer, position: usize, part: ServerPart) -> String {
    let whole = named("ModelServer", server.get_name(), position);
    match part {
        ServerPart::Whole => whole,
        ServerPart::Model => format!("{whole}, model"),
        ServerPart::Endpoint(position) => {
            let endpoint = server.get_endpoints().get(position);
            match endpoint.and_then(Endpoint::get_name) {
                Some(name) => format!("{whole}, endpoint #{} {name:?}", position + 1),
                None => format!("{whole}, endpoint #{}", position + 1),
            }
        }
        ServerPart::Header(header) => match server.get_headers().nth(header) {
            Some((name, _)) => format!("{whole}, header {name:?}"),
            None => whole,
        },
        ServerPart::Balance => match server.get_balance() {
            Balance::ConsistentHash(hash) => match hash.get_keys() {
                [HashKey::Header(name)] => format!("{whole}, balance, header {name:?}"),
                _ => format!("{whole}, balance"),
            },
            _ => format!("{whole}, balance"),
        },
        ServerPart::TrafficPolicy(None) => format!("{whole}, traffic_policy"),
        ServerPart::TrafficPolicy(Some(option)) => format!("{whole}, traffic_policy, {option}"),
    }
}

fn of_route(route: &ModelRoute, position: usize, part: RoutePart) -> String {
    let whole = named("ModelRoute", route.get_name(), position);
    let rule = part
        .rule()
        .and_then(|position| Some((position, route.get_rules().get(position)?)));
    let of_rule = rule.map_or_else(String::new, |(position, rule)| {
        format!("{whole}, {}", named("rule", rule.get_name(), position))
    });
    let rule = rule.map(|(_, rule)| rule);
    match part {
        RoutePart::Whole => whole,
        RoutePart::ModelName => format!("{whole}, model_name"),
        RoutePart::Adapter(position) => {
            let name = route.get_lora_adapters().get(position);
            let name = name.map_or("", String::as_str);
            format!("{whole}, {}", named("LoRA adapter", name, position))
        }
        RoutePart::Limit(position) => match route.get_rate_limits().get(position) {
            Some(limit) => format!("{whole}, rate limit #{} ({limit})", position + 1),
            None => whole,
        },
        RoutePart::Rule(_) => of_rule,
        RoutePart::Condition(_, position) => {
            match rule.and_then(|rule| rule.get_conditions().get(position)) {
                Some(Condition::Header(name, _)) => format!("{of_rule}, header {name:?}"),
                Some(Condition::Uri(_)) => format!("{of_rule}, uri"),
                Some(Condition::BodyModel(_)) => format!("{of_rule}, body_model"),
                Some(Condition::PromptTokens { .. }) => format!("{of_rule}, prompt_tokens"),
                None => of_rule,
            }
        }
        RoutePart::Target(_, position) => {
            let target = rule.and_then(|rule| rule.get_targets().get(position));
            let name = target.map_or("", |target| target.get_model_server());
            format!("{of_rule}, {}", named("target", name, position))
        }
        RoutePart::Fallback(_, position) => {
            let fallback = rule.and_then(|rule| rule.get_fallbacks().get(position));
            let name = fallback.map_or("", String::as_str);
            format!("{of_rule}, {}", named("fallback", name, position))
        }
    }
}

/// A thing by its name, or by its position (from 1) if the name is empty.
fn named(what: &str, name: &str, position: usize) -> String {
    if name.is_empty() {
        format!("{what} #{}", position + 1)
    } else {
        format!("{what} {name:?}")
    }
}
