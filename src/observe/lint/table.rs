//! All warnings about a table, in order.

use super::{limits, names, reach, regex, servers, times, warning::Lint};
use crate::{config::Place, route::RouteTable};

impl RouteTable {
    /// Warnings that a human would want before this table goes live.
    ///
    /// They are about what is valid and still looks like a mistake: see
    /// [`LintKind`](crate::LintKind). First come those about ModelRoutes, then those about
    /// ModelServers, each in their order. This is meant for start-up and for
    /// checks by hand: it looks at pairs of rules of the same model.
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
