//! Everything for people: observers of requests, spans, snapshots, explanations, warnings, the
//! admin view.

mod access_log;
#[cfg(feature = "admin")]
mod admin;
mod attempts;
mod context;
mod explain;
mod facts;
mod lint;
mod listening;
#[cfg(feature = "metrics")]
mod metrics;
mod observer;
mod operation;
#[cfg(feature = "admin")]
mod recent;
mod report;
mod snapshot;
mod targets;
mod trace;

#[cfg(feature = "admin")]
pub use self::admin::{Admin, AdminBody, AdminFuture};
#[cfg(feature = "manifest")]
pub(crate) use self::explain::is_secret;
#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
#[cfg(feature = "admin")]
pub use self::recent::Recent;
pub use self::{
    access_log::{AccessLog, AccessStyle},
    explain::{
        ConsideredCondition, ConsideredRoute, ConsideredRule, ExplainedEndpoint, ExplainedFigure,
        ExplainedLimit, ExplainedTarget, Explanation, RuleVerdict, Verdict,
    },
    facts::{
        AttemptFacts, AttemptOutcome, EndFacts, EndKind, LimitFacts, LimitVerdict, RequestFacts,
        Times,
    },
    lint::{Lint, LintKind},
    observer::Observer,
    snapshot::{EndpointSnapshot, ServerSnapshot},
    trace::SpanLevel,
};
pub(crate) use self::{
    attempts::AttemptReport, observer::Observers, report::Report, trace::AttemptSpan,
};
pub(crate) use self::{
    explain::{AsLayer, Shown},
    report::Settle,
};
