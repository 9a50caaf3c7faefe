//! The introduction of a gateway that runs by its user's manifests.

use std::collections::HashSet;

use tower_model_route::{EndpointSnapshot, RouteInfo, RouteTable, ServerSnapshot};

use super::{closing_words, curl};
use crate::{
    config::Config,
    print::{columns, say},
};

/// More rows than this are left out.
const ROWS: usize = 20;

/// Prints what is in the table, and a curl line for each model.
pub(crate) fn own(url: &str, config: &Config, table: &RouteTable) {
    let paths: Vec<_> = config
        .paths()
        .map(|path| path.display().to_string())
        .collect();
    say(format_args!(
        "Gateway on {url}, by the manifests of {} (stop it with Ctrl-C):\n",
        paths.join(", ")
    ));
    let servers = table.servers();
    list(["MODEL SERVER", "ENDPOINTS"], servers.iter().map(server));
    list(["ROUTE", "MODELS", "RULES"], table.routes().map(route));

    let mut seen = HashSet::new();
    let models = table.routes().flat_map(|route| models(&route));
    let models: Vec<_> = models.filter(|model| seen.insert(*model)).collect();
    say("Try:\n");
    for model in models.iter().take(ROWS) {
        say(format_args!("  {}", curl(url, model, None)));
    }
    say(more(models.len()));
    closing_words(url);
}

fn server(server: &ServerSnapshot) -> [String; 2] {
    let uris: Vec<_> = server
        .endpoints()
        .iter()
        .map(EndpointSnapshot::uri)
        .collect();
    [server.name().to_owned(), or_none(&uris)]
}

fn route(route: RouteInfo<'_>) -> [String; 3] {
    let rules: Vec<_> = route.rules().collect();
    [
        route.name().to_owned(),
        or_none(&models(&route)),
        or_none(&rules),
    ]
}

fn models<'t>(route: &RouteInfo<'t>) -> Vec<&'t str> {
    route
        .model_name()
        .into_iter()
        .chain(route.lora_adapters())
        .collect()
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
