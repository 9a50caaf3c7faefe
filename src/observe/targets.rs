//! The targets of a rule, with their shares.

use crate::{
    config::{ModelServer, TargetModel},
    route::{CompiledTable, Outlook, RuleView, shares},
    server::Server,
};

/// A target of a rule, or a fallback.
pub(super) struct TargetView<'t> {
    pub(super) config: &'t ModelServer,
    pub(super) server: &'t Server,
    /// None for a fallback.
    pub(super) own: Option<&'t TargetModel>,
    /// In percent, as configured.
    pub(super) share: f64,
    /// In percent, as it is now.
    pub(super) current_share: f64,
    /// The requests sent to it so far.
    pub(super) requests: u64,
}

/// All targets of a rule, its fallbacks last.
pub(super) fn targets<'t>(
    table: &'t CompiledTable,
    rule: RuleView<'t>,
    outlook: &Outlook<'t>,
) -> impl Iterator<Item = TargetView<'t>> {
    let configured = shares(&rule.weights(), |_| true).unwrap_or_default();
    (0..)
        .zip(&outlook.shares)
        .filter_map(move |(target, &current_share)| {
            let (config, server) = table.target_of(rule, target)?;
            Some(TargetView {
                config,
                server,
                own: rule.config.get_targets().get(target),
                share: configured.get(target).copied().unwrap_or(0.0),
                current_share,
                requests: rule.compiled.picks.count(target),
            })
        })
}
