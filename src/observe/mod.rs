//! Everything that is for people: the span of a request, snapshots, explanations, warnings, the admin view.

#[cfg(feature = "admin")]
mod admin;
mod context;
mod explain;
mod lint;
mod snapshot;
mod targets;
mod trace;

#[cfg(feature = "admin")]
pub use self::admin::{Admin, AdminBody, AdminFuture};
#[cfg(feature = "manifest")]
pub(crate) use self::explain::is_secret;
pub(crate) use self::{
    explain::{AsLayer, Shown},
    trace::{AttemptSpan, RequestSpan},
};
pub use self::{
    explain::{
        ConsideredCondition, ConsideredRoute, ConsideredRule, ExplainedEndpoint, ExplainedTarget,
        Explanation, RuleVerdict, Verdict,
    },
    lint::{Lint, LintKind},
    snapshot::{EndpointSnapshot, ServerSnapshot},
};
