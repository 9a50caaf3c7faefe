//! The way to the engine that keeps what a request asks for.

use std::{borrow::Cow, sync::Arc};

use http::request::Parts;

use super::{
    choose::{Chosen, Unavailable},
    decision::RouteDecision,
    table::{CompiledRule, CompiledTable, index},
};
use crate::{
    config::WithoutModel,
    server::{Caller, Home, Lease},
};

impl CompiledTable {
    /// What happens to a request that names no model, if `what` is said of others: one that names
    /// something that an engine keeps is routed as the request was that made it.
    pub(crate) fn unnamed<'w>(
        &self,
        head: &Parts,
        what: &'w WithoutModel,
    ) -> Cow<'w, WithoutModel> {
        match self.homes.peek(head) {
            Some(home) if !(home.is_unnamed && what.is_routed()) => {
                Cow::Owned(WithoutModel::Model((*home.model).to_owned()))
            }
            _ => Cow::Borrowed(what),
        }
    }

    /// Where a request goes for what is kept there: to that endpoint or, if that is full, nowhere.
    /// `None` if it is no endpoint of the rule's targets, or is out of service.
    pub(crate) fn choose_home(
        &self,
        rule: &CompiledRule,
        home: &Home,
        caller: Caller<'_>,
    ) -> Option<Result<Chosen, Unavailable>> {
        let target = rule
            .all()
            .find(|&target| *self.target(rule, target).name == *home.server)?;
        let server = self.target(rule, target);
        let mut endpoints = server.endpoints.iter();
        let position = endpoints.position(|endpoint| *endpoint.uri() == home.endpoint)?;
        let state = server.endpoints.get(position)?.health.state();
        if state.is_out() {
            return None;
        }
        let lease =
            Lease::new(server, position, state, &server.ask(caller)).ok_or(Unavailable::Full(None));
        Some(lease.map(|lease| (index(target), lease)))
    }
}

impl RouteDecision {
    /// Where that is kept which the engine has made.
    pub(crate) fn home(&self) -> Arc<Home> {
        Arc::new(Home {
            model: self.shared_model(),
            is_unnamed: self.requested_model().is_empty(),
            server: Arc::clone(&self.server().name),
            endpoint: self.shared_endpoint(),
        })
    }
}
