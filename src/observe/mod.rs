//! Everything that is for people: what is told of a request, its span, snapshots, explanations,
//! warnings, the admin view.

#[cfg(feature = "admin")]
mod admin;
mod attempts;
mod context;
mod explain;
mod facts;
mod lint;
mod observer;
mod report;
mod snapshot;
mod targets;
mod trace;

#[cfg(feature = "admin")]
pub use self::admin::{Admin, AdminBody, AdminFuture};
#[cfg(feature = "manifest")]
pub(crate) use self::explain::is_secret;
pub(crate) use self::{
    attempts::AttemptReport,
    observer::Observers,
    report::{Report, Settle},
    trace::{AttemptSpan, RequestSpan},
};
pub use self::{
    explain::{
        ConsideredCondition, ConsideredRoute, ConsideredRule, ExplainedEndpoint, ExplainedLimit,
        ExplainedTarget, Explanation, RuleVerdict, Verdict,
    },
    facts::{AttemptFacts, AttemptOutcome, EndFacts, EndKind, RequestFacts, Times},
    lint::{Lint, LintKind},
    observer::Observer,
    snapshot::{EndpointSnapshot, ServerSnapshot},
};
