//! Who may use which model: decided after the rule is known and before an endpoint is
//! chosen.

use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::{
    error::RouteError,
    model::ExtractedModel,
    route::{CompiledTable, Selection},
};

/// What a request asks for, for [`ModelRouteLayer::authorize`](crate::ModelRouteLayer::authorize).
#[derive(Clone, Copy, Debug)]
pub struct RuleMatch<'a> {
    requested_model: &'a str,
    model: &'a str,
    route: &'a str,
    rule: &'a str,
    lora: bool,
}

impl<'a> RuleMatch<'a> {
    pub(super) fn new(
        table: &'a CompiledTable,
        selection: Selection,
        model: &'a ExtractedModel,
    ) -> Self {
        Self {
            requested_model: model.asked(),
            model: table.requested(selection),
            route: table.route_name(selection),
            rule: &table.rule(selection).name,
            lora: selection.lora,
        }
    }

    /// The model name that the client asked for, unescaped; empty if it named none.
    pub fn requested_model(&self) -> &'a str {
        self.requested_model
    }

    /// The model name by which the request is routed, as in
    /// [`RouteDecision::model`](crate::RouteDecision::model).
    pub fn model(&self) -> &'a str {
        self.model
    }

    /// The name of the [`ModelRoute`](crate::ModelRoute).
    pub fn route(&self) -> &'a str {
        self.route
    }

    /// The name of the [`Rule`](crate::Rule) that matches.
    pub fn rule(&self) -> &'a str {
        self.rule
    }

    /// Whether the route was found by a LoRA adapter's name.
    pub fn is_lora(&self) -> bool {
        self.lora
    }
}

/// Says whether a request may go on; without it, all may.
#[derive(Clone, Default)]
pub(super) struct Authorize(Option<Arc<MayGoOn>>);

type MayGoOn = dyn Fn(&Parts, &RuleMatch<'_>) -> Result<(), RouteError> + Send + Sync;

impl Authorize {
    pub(super) fn new(
        may_go_on: impl Fn(&Parts, &RuleMatch<'_>) -> Result<(), RouteError> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(may_go_on)))
    }

    pub(super) fn check(&self, head: &Parts, to: &RuleMatch<'_>) -> Result<(), RouteError> {
        match &self.0 {
            None => Ok(()),
            Some(may_go_on) => may_go_on(head, to),
        }
    }
}

impl fmt::Debug for Authorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "All",
            Some(_) => "Asked",
        })
    }
}
