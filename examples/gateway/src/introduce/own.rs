//! The introduction of a gateway that runs by its user's own resources.

use std::collections::HashSet;

use tower_model_route::{EndpointSnapshot, ModelRoute, RouteTable, Rule, ServerSnapshot};

use super::{closing_words, curl};
use crate::{
    Args,
    print::{columns, say},
};

/// More rows than this are left out.
const ROWS: usize = 20;

/// Prints what is in the table, which is by `source`, and a curl line for each model.
pub(crate) fn own(url: &str, source: &str, table: &RouteTable, args: &Args) {
    say(format_args!(
        "Gateway on {url}, by {source} (stop it with Ctrl-C):\n"
    ));
    let servers = table.servers();
    list(["MODEL SERVER", "ENDPOINTS"], servers.iter().map(server));
    let routes = table.config().get_model_routes();
    list(["ROUTE", "MODELS", "RULES"], routes.iter().map(route));

    let mut seen = HashSet::new();
    let models = routes.iter().flat_map(models);
    let models: Vec<_> = models.filter(|model| seen.insert(*model)).collect();
    say("Try:\n");
    for model in models.iter().take(ROWS) {
        say(format_args!("  {}", curl(url, model, None)));
    }
    say(more(models.len()));
    closing_words(url, args);
}

fn server(server: &ServerSnapshot) -> [String; 2] {
    let uris: Vec<_> = server
        .endpoints()
        .iter()
        .map(EndpointSnapshot::uri)
        .collect();
    [server.name().to_owned(), or_none(&uris)]
}

fn route(route: &ModelRoute) -> [String; 3] {
    let rules: Vec<_> = route.get_rules().iter().map(Rule::get_name).collect();
    [
        route.get_name().to_owned(),
        or_none(&models(route)),
        or_none(&rules),
    ]
}

fn models(route: &ModelRoute) -> Vec<&str> {
    let adapters = route.get_lora_adapters().iter().map(String::as_str);
    route.get_model_name().into_iter().chain(adapters).collect()
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn list<const N: usize>(heads: [&str; N], all: impl Iterator<Item = [String; N]>) {
    let mut rows: Vec<_> = [heads.map(str::to_owned)].into_iter().chain(all).collect();
    let count = rows.len() - 1;
    rows.truncate(1 + ROWS);
    for line in columns(&rows) {
        say(format_args!("  {line}"));
    }
    say(more(count));
}

/// An empty line, after one that says how many of `count` were left out.
fn more(count: usize) -> String {
    match count.saturating_sub(ROWS) {
        0 => String::new(),
        left_out => format!("  and {left_out} more\n"),
    }
}
