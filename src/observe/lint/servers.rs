//! ModelServers that do nothing, or can't do what they promise.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    streams::unreachable_times,
    warning::{Lint, LintKind},
};
use crate::config::{
    Address, Endpoint, ModelRoute, ModelServer, Place, RouteTableBuilder, Rule, ServerPart,
};

pub(super) fn lint(config: &RouteTableBuilder) -> Vec<Lint> {
    let uses = uses(config);
    let servers = by_name(config);
    let mut owners = HashMap::new();
    let mut lints = Vec::new();
    for (position, server) in config.get_model_servers().iter().enumerate() {
        let mut add = |kind, part, message: String| {
            let place = Place::ModelServer(position, part);
            lints.push(Lint::new(config, kind, place, message));
        };
        let rules = uses.get(server.get_name());
        if rules.is_none() {
            let message = "no rule sends anything to it".to_owned();
            add(LintKind::UnusedModelServer, ServerPart::Whole, message);
        }
        if server.get_endpoints().is_empty() {
            let message = "it has no endpoints: requests that only it could serve are answered \
                           with 503"
                .to_owned();
            add(LintKind::NoEndpoints, ServerPart::Whole, message);
        }
        if let Some(endpoint) = needs_tls(server) {
            let message = "it is https: the HTTP client below the layers must support TLS, and \
                           obey AtAddress if a name is resolved";
            let part = ServerPart::Endpoint(endpoint);
            add(LintKind::NeedsTls, part, message.to_owned());
        }
        if let Some((endpoint, other)) = differing_limit(server, &mut owners) {
            let message = format!(
                "ModelServer {:?} has it with another max_in_flight: each limits the requests \
                 of both together",
                other.get_name()
            );
            let part = ServerPart::Endpoint(endpoint);
            add(LintKind::DifferingLimits, part, message);
        }
        let is_alone =
            rules.is_some_and(|rules| rules.iter().all(|rule| places(rule, &servers) < 2));
        for (kind, part, message) in without_effect(server, config.get_zone()) {
            add(kind, part, message.to_owned());
        }
        for (kind, message) in lint_policy(server, is_alone) {
            add(kind, ServerPart::TrafficPolicy(None), message);
        }
    }
    lints
}

/// The first endpoint that one of the ModelServers before, the `owners`, has with another limit.
/// It counts the requests of both.
fn differing_limit<'c>(
    server: &'c ModelServer,
    owners: &mut HashMap<Arc<str>, &'c ModelServer>,
) -> Option<(usize, &'c ModelServer)> {
    let limit = |server: &ModelServer| server.get_traffic_policy().get_max_in_flight();
    let mut found = None;
    for (position, endpoint) in server.get_endpoints().iter().enumerate() {
        let Ok(address) = Address::parse(endpoint.get_uri()) else {
            continue;
        };
        let owner = *owners.entry(address.uri).or_insert(server);
        if limit(owner) != limit(server) {
            found = found.or(Some((position, owner)));
        }
    }
    found
}

/// The first endpoint that needs a client with TLS, which may be another one than ours.
fn needs_tls(server: &ModelServer) -> Option<usize> {
    let is_https = |endpoint: &Endpoint| {
        let scheme = endpoint.get_uri().get(..6);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    };
    let found = server.get_endpoints().iter().position(is_https);
    found.filter(|_| cfg!(not(feature = "client")))
}

/// What is asked for and changes nothing.
fn without_effect(
    server: &ModelServer,
    zone: Option<&str>,
) -> impl Iterator<Item = (LintKind, ServerPart, &'static str)> {
    let policy = ServerPart::TrafficPolicy(None);
    let zone = idle_preference(server, zone);
    let zone = zone.map(|why| (LintKind::ZoneWithoutEffect, policy, why));
    let reports = idle_reports(server);
    let reports = reports.map(|why| (LintKind::ReportsWithoutEffect, ServerPart::Balance, why));
    zone.into_iter().chain(reports)
}

/// What is wrong with its preference for the `own` zone, if it has one.
fn idle_preference(server: &ModelServer, own: Option<&str>) -> Option<&'static str> {
    server.get_traffic_policy().get_prefer_zone()?;
    let mut endpoints = server.get_endpoints().iter();
    if own.is_none() {
        return Some("its prefer_zone has no effect: the gateway's zone is not known");
    }
    let is_there = endpoints.any(|endpoint| endpoint.get_zone() == own);
    (!is_there && !server.get_endpoints().is_empty())
        .then_some("its prefer_zone has no effect: none of its endpoints is in the gateway's zone")
}

/// Why nobody needs the load reports that it asks for, if it asks for any.
fn idle_reports(server: &ModelServer) -> Option<&'static str> {
    let is_idle = server.get_load_reports() && !server.get_balance().compares_load();
    is_idle.then_some("its load_reports have no effect: its balance does not compare requests")
}

/// `is_alone` if the server's requests have no other endpoint to go to.
fn lint_policy(server: &ModelServer, is_alone: bool) -> Vec<(LintKind, String)> {
    let policy = server.get_traffic_policy();
    let mut lints = Vec::new();
    if let (Some(timeout), Some(total)) = (policy.get_timeout(), policy.get_total_timeout())
        && timeout > total
    {
        let message =
            format!("its timeout of {timeout:?} is longer than its total_timeout of {total:?}");
        lints.push((LintKind::TimeoutBeyondTotal, message));
    }
    lints.extend(
        unreachable_times(policy).map(|message| (LintKind::UnreachableStreamTime, message)),
    );
    let retries = policy.get_max_retries();
    if retries > 0 && is_alone && !server.get_endpoints().is_empty() {
        let message = format!(
            "max_retries is {retries}, but there is no second endpoint to send a request to: all \
             it allows is to send a request again after a lost connection"
        );
        lints.push((LintKind::RetriesWithoutAlternative, message));
    }
    lints
}

pub(super) fn by_name(config: &RouteTableBuilder) -> HashMap<&str, &ModelServer> {
    let servers = config.get_model_servers().iter();
    servers.map(|server| (server.get_name(), server)).collect()
}

/// The rules that send requests to each ModelServer.
fn uses(config: &RouteTableBuilder) -> HashMap<&str, Vec<&Rule>> {
    let mut uses: HashMap<&str, Vec<&Rule>> = HashMap::new();
    for rule in config
        .get_model_routes()
        .iter()
        .flat_map(ModelRoute::get_rules)
    {
        for name in rule.model_servers() {
            uses.entry(name).or_default().push(rule);
        }
    }
    uses
}

/// The number of endpoints that a rule's requests can go to; a name may be several.
fn places(rule: &Rule, servers: &HashMap<&str, &ModelServer>) -> usize {
    let distinct: HashSet<&str> = rule.model_servers().collect();
    distinct
        .iter()
        .filter_map(|name| servers.get(name))
        .flat_map(|server| server.get_endpoints())
        .map(|endpoint| if endpoint.get_resolve() { 2 } else { 1 })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the feature, `engine_client()` speaks TLS.
    #[test]
    fn an_https_endpoint_needs_a_client_that_speaks_tls() {
        let config =
            RouteTableBuilder::default().model_server(ModelServer::new("small").endpoints([
                "http://a",
                "HTTPS://b",
                "https://c",
            ]));
        let lints = lint(&config);
        let needs: Vec<_> = lints
            .iter()
            .filter(|lint| lint.kind() == LintKind::NeedsTls)
            .map(Lint::position)
            .collect();
        let expected = Place::ModelServer(0, ServerPart::Endpoint(1));
        match cfg!(feature = "client") {
            true => assert!(needs.is_empty()),
            false => assert_eq!(needs, [expected]),
        }
    }
}
