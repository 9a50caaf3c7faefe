//! Finding the engine that keeps what a request asks for.

use std::{borrow::Cow, sync::Arc};

use http::request::Parts;

use super::{
    choose::{Chosen, Unavailable},
    decision::RouteDecision,
    names::index,
    rule::CompiledRule,
    table::CompiledTable,
};
use crate::{
    config::WithoutModel,
    server::{Caller, HealthState, Home, Lease, Server},
};

impl CompiledTable {
    /// What happens to a request that names no model, if `what` applies to others: one that names
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

    /// Where a request goes for what is kept there: to that endpoint or, if that is full, nowhere
    /// else: it waits for it, if it may. `None` if it is no endpoint of the rule's targets, or is
    /// out of service.
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
        let (position, state) = at_home(server, home)?;
        // While others wait, it waits as well.
        let lease = server
            .is_open()
            .then(|| Lease::new(server, position, state, &server.ask(&caller)))
            .flatten();
        Some(match lease {
            Some(lease) => Ok((index(target), lease)),
            None => {
                let may_wait = server.has_room_to_wait();
                Err(Unavailable::Full(may_wait.then_some(index(target))))
            }
        })
    }
}

/// The position and the state of the endpoint, if it is one of the server's and is not out.
fn at_home(server: &Server, home: &Home) -> Option<(usize, HealthState)> {
    if *server.name != *home.server {
        return None;
    }
    let mut endpoints = server.endpoints.iter();
    let position = endpoints.position(|endpoint| *endpoint.uri() == home.endpoint)?;
    let state = server.endpoints.get(position)?.health.state();
    (!state.is_out()).then_some((position, state))
}

/// The endpoints of a server that a request does not wait for, since what it asks for is kept at
/// another one.
pub(crate) fn all_but_home(server: &Server, home: &Home) -> Vec<Arc<str>> {
    let Some((position, _)) = at_home(server, home) else {
        return Vec::new();
    };
    let others = server.endpoints.iter().enumerate();
    let others = others.filter(|(other, _)| *other != position);
    others
        .map(|(_, endpoint)| Arc::clone(endpoint.uri()))
        .collect()
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
