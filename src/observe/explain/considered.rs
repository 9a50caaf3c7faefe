//! The routes and rules that were tried.

use http::request::Parts;

use super::mask::{self, Shown};
use crate::route::{Examined, Found, RuleView};

/// A route with the name of the requested model.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ConsideredRoute {
    name: String,
    by_adapter: bool,
    rules: Vec<ConsideredRule>,
}

/// A rule of such a route.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ConsideredRule {
    name: String,
    verdict: RuleVerdict,
    conditions: Vec<ConsideredCondition>,
}

/// The outcome of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum RuleVerdict {
    /// It is the first that matches, and takes the request.
    Taken,
    /// One of its conditions does not hold.
    Failed,
    /// An earlier rule has taken the request.
    NotReached,
}

/// A condition of a rule that was tried.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ConsideredCondition {
    condition: String,
    holds: bool,
    seen: Vec<String>,
}

/// The first rule that matches.
type Matched<'f, 't> = Option<(&'f Found<'t>, RuleView<'t>)>;

/// The rules tried, in order, up to the first that matches.
pub(super) fn routes<'f, 't>(
    found: &'f [Found<'t>],
    (head, tokens): (&Parts, Option<u64>),
    model: &str,
    shown: Shown<'_>,
) -> (Vec<ConsideredRoute>, Matched<'f, 't>) {
    let mut matched = None;
    let routes = found
        .iter()
        .map(|found| ConsideredRoute {
            name: found.route.get_name().to_owned(),
            by_adapter: found.by_adapter,
            rules: found
                .rules
                .iter()
                .map(|rule| {
                    let is_reached = matched.is_none();
                    let considered =
                        ConsideredRule::new(rule, is_reached, (head, tokens), model, shown);
                    if considered.verdict == RuleVerdict::Taken {
                        matched = Some((found, *rule));
                    }
                    considered
                })
                .collect(),
        })
        .collect();
    (routes, matched)
}

impl ConsideredRoute {
    /// The route's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the model is one of its LoRA adapters, and not its `model_name`.
    pub fn is_by_adapter(&self) -> bool {
        self.by_adapter
    }

    /// Its rules, in order.
    pub fn rules(&self) -> &[ConsideredRule] {
        &self.rules
    }
}

impl ConsideredRule {
    fn new(
        rule: &RuleView<'_>,
        is_reached: bool,
        (head, tokens): (&Parts, Option<u64>),
        model: &str,
        shown: Shown<'_>,
    ) -> Self {
        let conditions: Vec<_> = match is_reached {
            true => rule
                .examine(head, model, tokens)
                .iter()
                .map(|examined| ConsideredCondition::new(examined, shown))
                .collect(),
            false => Vec::new(),
        };
        let verdict = match is_reached {
            false => RuleVerdict::NotReached,
            true if conditions.iter().all(ConsideredCondition::holds) => RuleVerdict::Taken,
            true => RuleVerdict::Failed,
        };
        Self {
            name: rule.config.get_name().to_owned(),
            verdict,
            conditions,
        }
    }

    /// The rule's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its outcome.
    pub fn verdict(&self) -> RuleVerdict {
        self.verdict
    }

    /// Its conditions, all of which must hold; empty if it was not reached.
    pub fn conditions(&self) -> &[ConsideredCondition] {
        &self.conditions
    }
}

impl ConsideredCondition {
    fn new(examined: &Examined<'_>, shown: Shown<'_>) -> Self {
        Self {
            condition: mask::described(examined.condition, shown),
            holds: examined.holds,
            seen: mask::seen(examined, shown),
        }
    }

    /// The condition as text, such as `header user-type is "premium"`.
    pub fn condition(&self) -> &str {
        &self.condition
    }

    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// The values that it was compared with, cut to 256 characters, credentials as
    /// `***`.
    ///
    /// Several if a header is repeated, none if it is missing.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }
}
