//! Why a request goes where it goes.
//!
//! It is computed from the table apart from the path that requests take, and
//! leaves no trace: it takes no turn in a split or a rotation, and nothing is
//! counted.

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
