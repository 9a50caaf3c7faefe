//! `GET /_routes`: the table and its live state as JSON.

use std::time::UNIX_EPOCH;

use http::Response;
use serde::Serialize;

use super::{
    access::Access,
    answer,
    body::AdminBody,
    lints::{LintJson, Lints},
    reading::Reading,
};
use crate::{
    config::{Endpoint, ModelRoute, ModelServer, TargetModel, WithoutModel},
    observe::{
        explain::{Shown, balance, described, sentence},
        recent::{Recent, RecentJson},
        snapshot::{EndpointSnapshot, ServerSnapshot},
        targets::targets,
    },
    route::{CompiledTable, RouteTableHandle, RuleView},
    server::Server,
};

#[derive(Serialize)]
struct View<'t> {
    routes: Vec<RouteJson<'t>>,
    model_servers: Vec<ServerJson<'t>>,
    /// What happens to requests without a model: the layer says it, or else the table.
    without_model: Option<&'t WithoutModel>,
    reload: ReloadJson,
    lints: Vec<LintJson<'t>>,
    /// The last minute; null where nobody keeps it.
    recent: Option<RecentJson>,
    /// Whether `_drain` and `_undrain` answer here.
    read_only: bool,
}

#[derive(Serialize)]
struct RouteJson<'t> {
    name: &'t str,
    model_name: Option<&'t str>,
    lora_adapters: &'t [String],
    rules: Vec<RuleJson<'t>>,
}

#[derive(Serialize)]
struct RuleJson<'t> {
    name: &'t str,
    /// All must hold; a rule without any matches always.
    conditions: Vec<String>,
    /// The fallbacks come last.
    targets: Vec<TargetJson<'t>>,
}

#[derive(Serialize)]
struct TargetJson<'t> {
    model_server: &'t str,
    fallback: bool,
    weight: Option<u32>,
    /// In percent, as configured.
    share: f64,
    /// In percent, as it is now.
    current_share: f64,
    /// In percent, as counted; null before the first request. Kept by a table that replaces another,
    /// for a rule of the same name with the same targets.
    counted_share: Option<f64>,
    /// Those whose first attempt went to it by this rule.
    requests: u64,
}

#[derive(Serialize)]
struct ServerJson<'t> {
    name: &'t str,
    model: Option<&'t str>,
    balance: String,
    policy: String,
    in_flight: usize,
    endpoints: Vec<EndpointJson>,
}

#[derive(Serialize)]
struct EndpointJson {
    #[serde(flatten)]
    state: EndpointSnapshot,
    weight: u32,
    max_in_flight: Option<usize>,
}

#[derive(Serialize)]
struct ReloadJson {
    /// When the table was last replaced, in seconds since 1970; null for the first one.
    at: Option<f64>,
    /// Why the last attempt to do so failed, if it did.
    error: Option<String>,
}

pub(super) fn answer(
    handle: &RouteTableHandle,
    access: &Access,
    reading: &Reading,
    recent: Option<&Recent>,
    lints: &Lints,
) -> Response<AdminBody> {
    let (table, shown) = (handle.table(), access.shown());
    let lints = lints.of(&table);
    let (config, table) = (table.config(), table.compiled());
    answer::json(&View {
        routes: table
            .walk()
            .map(|(route, rules)| route_json(table, route, rules, shown))
            .collect(),
        model_servers: table
            .walk_servers()
            .map(|(config, server)| server_json(config, server))
            .collect(),
        without_model: reading.without_model.as_ref().or(table.without_model()),
        reload: reload(handle),
        lints: lints
            .iter()
            .map(|lint| LintJson::new(lint, config, shown))
            .collect(),
        recent: recent.map(RecentJson::new),
        read_only: access.is_read_only,
    })
}

fn reload(handle: &RouteTableHandle) -> ReloadJson {
    let since = |at: std::time::SystemTime| at.duration_since(UNIX_EPOCH).ok();
    ReloadJson {
        at: handle
            .last_reload()
            .and_then(since)
            .map(|since| since.as_secs_f64()),
        error: handle.last_error().map(|error| error.to_string()),
    }
}

fn route_json<'t>(
    table: &'t CompiledTable,
    route: &'t ModelRoute,
    rules: Vec<RuleView<'t>>,
    shown: Shown<'_>,
) -> RouteJson<'t> {
    RouteJson {
        name: route.get_name(),
        model_name: route.get_model_name(),
        lora_adapters: route.get_lora_adapters(),
        rules: rules
            .into_iter()
            .map(|rule| RuleJson {
                name: rule.config.get_name(),
                conditions: rule
                    .config
                    .get_conditions()
                    .iter()
                    .map(|condition| described(condition, shown))
                    .collect(),
                targets: targets_json(table, rule),
            })
            .collect(),
    }
}

fn targets_json<'t>(table: &'t CompiledTable, rule: RuleView<'t>) -> Vec<TargetJson<'t>> {
    let outlook = table.outlook(rule.compiled, &rule.weights(), None);
    let targets: Vec<_> = targets(table, rule, &outlook).collect();
    let all: u64 = targets.iter().map(|target| target.requests).sum();
    targets
        .into_iter()
        .map(|target| TargetJson {
            model_server: &target.server.name,
            fallback: target.own.is_none(),
            weight: target.own.and_then(TargetModel::get_weight),
            share: target.share,
            current_share: target.current_share,
            counted_share: (all > 0).then(|| target.requests as f64 * 100.0 / all as f64),
            requests: target.requests,
        })
        .collect()
}

fn server_json<'t>(config: &ModelServer, server: &'t Server) -> ServerJson<'t> {
    let snapshot = ServerSnapshot::new(server);
    let weight = |position| {
        let endpoint = config.get_endpoints().get(position);
        endpoint.map_or(1, Endpoint::get_weight)
    };
    ServerJson {
        name: &server.name,
        model: server.model.as_ref().map(|model| &*model.name),
        balance: balance(config.get_balance()),
        policy: sentence(&server.policy),
        in_flight: snapshot.in_flight(),
        endpoints: snapshot
            .endpoints()
            .iter()
            .enumerate()
            .map(|(position, state)| EndpointJson {
                state: state.clone(),
                weight: weight(server.of_config(position)),
                max_in_flight: server.policy.get_max_in_flight(),
            })
            .collect(),
    }
}
