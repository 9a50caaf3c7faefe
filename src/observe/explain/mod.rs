//! Why a request goes where it goes.
//!
//! It is worked out from the table beside the way that requests take, and
//! leaves no trace there: no turn of a split or a rotation is taken, nothing
//! is counted.

mod asked;
mod considered;
mod explanation;
mod limits;
mod mask;
mod policy;
#[cfg(feature = "serde")]
mod serial;
mod target;
mod text;

#[cfg(feature = "manifest")]
pub(crate) use self::mask::is_secret;
pub use self::{
    considered::{ConsideredCondition, ConsideredRoute, ConsideredRule, RuleVerdict},
    explanation::{Explanation, Verdict},
    limits::ExplainedLimit,
    target::{ExplainedEndpoint, ExplainedFigure, ExplainedTarget},
};
pub(crate) use self::{explanation::AsLayer, mask::Shown};
#[cfg(feature = "admin")]
pub(crate) use self::{
    mask::described,
    policy::{balance, sentence},
};
