//! All warnings about a table, in order.

use super::{limits, names, reach, regex, servers, times, warning::Lint};
use crate::{config::Place, route::RouteTable};

impl RouteTable {
    /// Warnings that a human would want before this table goes live.
    ///
    /// They are about things that are valid but look like a mistake: see
    /// [`LintKind`](crate::LintKind). Those about ModelRoutes come first, then those about
    /// ModelServers, each in order. This is meant for startup and for manual checks: it
    /// compares pairs of rules of the same model.
    pub fn lint(&self) -> Vec<Lint> {
        let config = self.config();
        let mut lints = names::lint(config);
        lints.extend(reach::lint(config));
        lints.extend(limits::lint(config));
        lints.extend(regex::lint(config));
        lints.extend(times::lint_fallbacks(config));
        lints.sort_by_key(|lint| match lint.position() {
            Place::ModelRoute(route, part) => (route, part.rule()),
            Place::ModelServer(server, _) => (server, None),
            Place::WithoutModel | Place::EngineState | Place::Other(_) => (usize::MAX, None),
        });
        lints.extend(servers::lint(config));
        lints
    }
}
