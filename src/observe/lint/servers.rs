//! ModelServers that do nothing, or can't do what they promise.

use std::collections::{HashMap, HashSet};

use super::warning::{Lint, LintKind};
use crate::config::{ModelServer, Place, RouteTableBuilder, Rule, ServerPart};

pub(super) fn lint(config: &RouteTableBuilder) -> Vec<Lint> {
    let uses = uses(config);
    let endpoints: HashMap<&str, &ModelServer> = config
        .servers
        .iter()
        .map(|server| (server.name.as_str(), server))
        .collect();
    let mut lints = Vec::new();
    for (position, server) in config.servers.iter().enumerate() {
        let mut add = |kind, part, message: String| {
            let place = Place::ModelServer(position, part);
            lints.push(Lint::new(config, kind, place, message));
        };
        let rules = uses.get(server.name.as_str());
        if rules.is_none() {
            let message = "no rule sends anything to it".to_owned();
            add(LintKind::UnusedModelServer, ServerPart::Whole, message);
        }
        if server.endpoints.is_empty() {
            let message = "it has no endpoints: requests that only it could serve are answered \
                           with 503"
                .to_owned();
            add(LintKind::NoEndpoints, ServerPart::Whole, message);
        }
        let policy = &server.policy;
        if let (Some(timeout), Some(total)) = (policy.timeout, policy.total_timeout)
            && timeout > total
        {
            let message =
                format!("its timeout of {timeout:?} is longer than its total_timeout of {total:?}");
            add(LintKind::TimeoutBeyondTotal, ServerPart::Policy, message);
        }
        let alone =
            rules.is_some_and(|rules| rules.iter().all(|rule| places(rule, &endpoints) < 2));
        if policy.max_retries > 0 && alone && !server.endpoints.is_empty() {
            let message = format!(
                "max_retries is {}, but there is no second endpoint to send a request to: a retry \
                 never goes where the request has been",
                policy.max_retries
            );
            add(
                LintKind::RetriesWithoutAlternative,
                ServerPart::Policy,
                message,
            );
        }
    }
    lints
}

/// The rules that send requests to each ModelServer.
fn uses(config: &RouteTableBuilder) -> HashMap<&str, Vec<&Rule>> {
    let mut uses: HashMap<&str, Vec<&Rule>> = HashMap::new();
    for rule in config.routes.iter().flat_map(|route| &route.rules) {
        for name in names(rule) {
            uses.entry(name).or_default().push(rule);
        }
    }
    uses
}

fn names(rule: &Rule) -> impl Iterator<Item = &str> {
    let targets = rule.targets.iter().map(|target| &*target.model_server);
    targets.chain(rule.fallbacks.iter().map(|name| &**name))
}

/// How many endpoints a rule's requests can go to.
fn places(rule: &Rule, servers: &HashMap<&str, &ModelServer>) -> usize {
    let distinct: HashSet<&str> = names(rule).collect();
    distinct
        .iter()
        .filter_map(|name| servers.get(name))
        .map(|server| server.endpoints.len())
        .sum()
}
