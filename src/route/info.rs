//! What the routes of a table answer to, for people.

use crate::config::ModelRoute;

/// A ModelRoute of a table, from [`RouteTable::routes`](crate::RouteTable::routes).
#[derive(Clone, Copy, Debug)]
pub struct RouteInfo<'t>(&'t ModelRoute);

impl<'t> RouteInfo<'t> {
    pub(super) fn new(route: &'t ModelRoute) -> Self {
        Self(route)
    }

    /// The route's own name.
    pub fn name(&self) -> &'t str {
        &self.0.name
    }

    /// The model that it answers to, if it has one.
    pub fn model_name(&self) -> Option<&'t str> {
        self.0.model_name.as_deref()
    }

    /// The LoRA adapters that it answers to.
    pub fn lora_adapters(&self) -> impl Iterator<Item = &'t str> {
        self.0.lora_adapters.iter().map(String::as_str)
    }

    /// The names of its rules, in their order.
    pub fn rules(&self) -> impl Iterator<Item = &'t str> {
        self.0.rules.iter().map(|rule| &*rule.name)
    }
}
