//! What the linter finds in a table of manifests, at its places in the files.

use super::{
    assembly::Assembly,
    diagnostic::{Diagnostic, Severity},
    origin::ServerOrigin,
};
use crate::{
    observe::{Lint, LintKind},
    route::RouteTable,
};

/// The warnings of [`RouteTable::lint`]. That Pods are missing is one, however many
/// ModelServers select some; of retries only those are a mistake that a manifest asks for.
pub(super) fn lints(
    table: &RouteTable,
    assembly: &Assembly,
    known: &[Diagnostic],
) -> Vec<Diagnostic> {
    let mut lints = table.lint();
    let server = |lint: &Lint| assembly.server(lint.position());
    lints.retain(|lint| {
        lint.kind() != LintKind::RetriesWithoutAlternative
            || server(lint).is_none_or(|server| server.has_retry)
    });
    // Gateways in several zones may share manifests, and not each has to say its own.
    let has_zone = table.config().get_zone().is_some();
    lints.retain(|lint| lint.kind() != LintKind::ZoneWithoutEffect || has_zone);
    lints.retain(|lint| {
        lint.kind() != LintKind::NoEndpoints
            || !server(lint).is_some_and(|server| is_wrong(server, known))
    });
    let (podless, others): (Vec<&Lint>, Vec<&Lint>) = lints.iter().partition(|lint| {
        lint.kind() == LintKind::NoEndpoints
            && server(lint).is_some_and(|server| server.selects_pods)
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

/// Whether the fields that say where its engines are have errors, of which it follows that it has
/// none.
fn is_wrong(server: &ServerOrigin, known: &[Diagnostic]) -> bool {
    const FIELDS: [&str; 3] = [
        "spec.endpoints",
        "spec.workload",
        "metadata.annotations[\"tower-model-route/endpoints\"]",
    ];
    let is_in = |field: &&str| known.iter().any(|it| it.is_error_in(&server.whole, field));
    FIELDS.iter().any(is_in)
}
