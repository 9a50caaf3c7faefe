//! What the linter finds in a table of manifests, at its places in the files.

use super::{
    assembly::Assembly,
    diagnostic::{Diagnostic, Severity},
};
use crate::{
    observe::{Lint, LintKind},
    route::RouteTable,
};

/// The warnings of [`RouteTable::lint`]. That Pods are missing is one, however many
/// ModelServers select some.
pub(super) fn lints(table: &RouteTable, assembly: &Assembly) -> Vec<Diagnostic> {
    let lints = table.lint();
    let (podless, others): (Vec<&Lint>, Vec<&Lint>) = lints.iter().partition(|lint| {
        lint.kind() == LintKind::NoEndpoints && assembly.selects_pods(lint.position())
    });
    let warning = |lint: &Lint, message: String| {
        let code = lint.kind().code();
        match assembly.spot(lint.position()) {
            Some(spot) => Diagnostic::new(Severity::Warning, code, spot, message),
            None => Diagnostic::placeless(Severity::Warning, code, message),
        }
    };
    let mut found: Vec<_> = others
        .into_iter()
        .map(|lint| warning(lint, lint.to_string()))
        .collect();
    found.extend(match podless[..] {
        [] => None,
        [only] => Some(warning(only, only.to_string())),
        [first, ..] => {
            let message = format!(
                "this and {} more ModelServers have no endpoints, since no Pod or other workload \
                 that they select is given: requests that only they could serve are answered \
                 with 503",
                podless.len() - 1
            );
            Some(warning(first, message))
        }
    });
    found
}
