//! Time limits that contradict each other.

use super::{
    servers::by_name,
    warning::{Lint, LintKind},
};
use crate::config::{Place, RoutePart, RouteTableBuilder};

/// Fallbacks whose timeout does not fit into the total of the targets before them.
///
/// The total is that of the ModelServer to which a request is sent first.
pub(super) fn lint_fallbacks(config: &RouteTableBuilder) -> Vec<Lint> {
    let servers = by_name(config);
    let mut lints = Vec::new();
    for (route, of_route) in config.get_model_routes().iter().enumerate() {
        for (rule, of_rule) in of_route.get_rules().iter().enumerate() {
            let shortest = of_rule
                .get_targets()
                .iter()
                .filter_map(|target| servers.get(target.get_model_server()))
                .filter_map(|server| {
                    Some((
                        server.get_traffic_policy().get_total_timeout()?,
                        server.get_name(),
                    ))
                })
                .min();
            let Some((total, target)) = shortest else {
                continue;
            };
            for (position, name) in of_rule.get_fallbacks().iter().enumerate() {
                let timeout = servers
                    .get(name.as_str())
                    .and_then(|server| server.get_traffic_policy().get_timeout());
                if let Some(timeout) = timeout.filter(|timeout| *timeout > total) {
                    let place = Place::ModelRoute(route, RoutePart::Fallback(rule, position));
                    let message = format!(
                        "its timeout of {timeout:?} is longer than the total_timeout of {total:?} \
                         of the target {target:?}: no time is left to try it"
                    );
                    let kind = LintKind::FallbackTimeoutBeyondTotal;
                    lints.push(Lint::new(config, kind, place, message));
                }
            }
        }
    }
    lints
}
