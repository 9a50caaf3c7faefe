//! Limits that are too small, or that apply to no request.

use super::{
    reach,
    warning::{Lint, LintKind},
};
use crate::{
    config::{LimitUnit, Place, RateLimit, RoutePart, RouteTableBuilder},
    limit::TYPICAL_OUTPUT,
};

pub(super) fn lint(config: &RouteTableBuilder) -> Vec<Lint> {
    let unreached = reach::unreached_routes(config);
    let mut lints = Vec::new();
    for (position, route) in config.get_model_routes().iter().enumerate() {
        for (limit, of_route) in route.get_rate_limits().iter().enumerate() {
            let place = Place::ModelRoute(position, RoutePart::Limit(limit));
            if unreached.contains(&position) {
                let message = "it applies to no request: all that the ModelRoute matches goes \
                               to other ModelRoutes of the same name";
                let kind = LintKind::UnreachableLimit;
                lints.push(Lint::new(config, kind, place, message.to_owned()));
            }
            if let Some(message) = too_small(of_route) {
                lints.push(Lint::new(config, LintKind::SmallLimit, place, message));
            }
        }
    }
    lints
}

/// The least that a request reserves if it sets no maximum of output; used here for prompts too, as
/// the size of a chat of a few turns.
fn too_small(limit: &RateLimit) -> Option<String> {
    let amount = limit.get_amount();
    let is_small = limit.get_unit().is_tokens() && amount < TYPICAL_OUTPUT;
    is_small.then(|| match limit.get_unit() {
        LimitUnit::InputTokens => format!(
            "a prompt of a few turns has more than {amount} tokens: each takes all of the limit"
        ),
        _ => format!(
            "a request that sets no maximum reserves {TYPICAL_OUTPUT} output tokens: each takes all \
             of the limit"
        ),
    })
}
