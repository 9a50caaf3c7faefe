//! The warnings about a table, made once for each: all who look at the page ask for them again and
//! again.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use serde::Serialize;

use crate::{
    config::{Condition, Place, RoutePart, RouteTableBuilder},
    observe::{explain::Shown, lint::Lint},
    route::{CompiledTable, RouteTable},
};

/// Those of the last table that was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Lints(Arc<ArcSwapOption<OfTable>>);

#[derive(Debug)]
struct OfTable {
    table: Weak<CompiledTable>,
    lints: Arc<[Lint]>,
}

#[derive(Serialize)]
pub(super) struct LintJson<'l> {
    code: &'static str,
    place: &'l str,
    message: &'l str,
}

/// In place of a message that may quote what is masked.
const MASKED: &str = "the pattern *** may match more than it looks like";

impl Lints {
    pub(super) fn of(&self, table: &RouteTable) -> Arc<[Lint]> {
        if let Some(known) = &*self.0.load()
            && known.table.as_ptr() == Arc::as_ptr(table.compiled())
        {
            return Arc::clone(&known.lints);
        }
        let lints: Arc<[Lint]> = table.lint().into();
        self.0.store(Some(Arc::new(OfTable {
            table: Arc::downgrade(table.compiled()),
            lints: Arc::clone(&lints),
        })));
        lints
    }
}

impl<'l> LintJson<'l> {
    pub(super) fn new(lint: &'l Lint, config: &RouteTableBuilder, shown: Shown<'_>) -> Self {
        let condition = condition(config, lint.position());
        let is_shown = condition.is_none_or(|condition| shown.has_value_of(condition));
        Self {
            code: lint.kind().code(),
            place: lint.place(),
            message: if is_shown { lint.message() } else { MASKED },
        }
    }
}

/// The condition that is at this place.
fn condition(config: &RouteTableBuilder, place: Place) -> Option<&Condition> {
    let Place::ModelRoute(route, RoutePart::Condition(rule, condition)) = place else {
        return None;
    };
    let rule = config
        .get_model_routes()
        .get(route)?
        .get_rules()
        .get(rule)?;
    rule.get_conditions().get(condition)
}
