//! The names of a request's model, where they are not just that of its route and its server.

use std::sync::Arc;

use crate::{
    model::ExtractedModel,
    server::{RealModel, Wanted},
};

/// What the client asks for, and what engines are asked for.
#[derive(Debug)]
pub(crate) struct Naming {
    /// Empty if the client names no model.
    pub(super) asked: Box<str>,
    /// What engines are asked for if their ModelServer says nothing.
    engine: RealModel,
    /// Whether that applies even if it does say something.
    is_forced: bool,
    /// Whether the request names the model where it can be rewritten.
    has_place: bool,
}

impl Naming {
    /// `None` for a model that is routed by the client's name, as most are.
    pub(crate) fn of(model: &ExtractedModel) -> Option<Arc<Self>> {
        let has_place = model.has_place();
        if has_place && model.aliases.is_none() {
            return None;
        }
        let aliases = model.aliases.as_deref();
        let forced = aliases.and_then(|aliases| aliases.engine.as_deref());
        let engine = forced.unwrap_or(&model.name);
        Some(Arc::new(Self {
            asked: model.asked().into(),
            engine: RealModel {
                name: engine.into(),
                json: serde_json::Value::from(engine).to_string().into(),
            },
            is_forced: forced.is_some(),
            has_place,
        }))
    }

    /// What engines are asked for, as the choice of one sees it.
    pub(super) fn wanted(&self, is_adapter: bool) -> Wanted<'_> {
        match (self.has_place, self.is_forced) {
            (false, _) => Wanted::fixed(&self.asked, is_adapter),
            (true, true) => Wanted::fixed(&self.engine.name, is_adapter),
            (true, false) => Wanted::named(&self.engine.name, is_adapter),
        }
    }

    /// The name that replaces the client's, given that of the ModelServer.
    pub(crate) fn rewrite<'a>(&'a self, server: Option<&'a RealModel>) -> Option<&'a RealModel> {
        let name = server.filter(|_| !self.is_forced).unwrap_or(&self.engine);
        Some(name).filter(|name| self.has_place && *name.name != *self.asked)
    }
}
