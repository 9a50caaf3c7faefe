//! The choice of a rule's target for a request, and of one of the target's endpoints.

use std::sync::Arc;

use super::table::{CompiledRule, CompiledTable, Targets, index};
use crate::{
    error::RouteError,
    server::{Caller, Lease, Pass, Server, Take},
};

/// A target's position among those of its rule, fallbacks last, and an endpoint of it.
pub(crate) type Chosen<T = Lease> = (u32, T);

/// Why no target can take a request.
#[derive(Debug)]
pub(crate) enum Unavailable {
    /// The targets have no endpoints.
    NoEndpoint,
    /// All endpoints of the targets are taken out of service.
    Draining,
    /// All endpoints are full. If the request may wait for one: the target whose turn it is.
    Full(Option<u32>),
}

impl CompiledTable {
    /// For a request that has not been sent yet: takes a turn of the split.
    ///
    /// If a target can't take the request, its share is split among its siblings. If no
    /// target can, the fallbacks are next. An endpoint that is not healthy is used only
    /// where no target has a healthy one, full or not: those that are full are waited for.
    pub(crate) fn choose<T>(
        &self,
        rule: &CompiledRule,
        caller: Caller<'_>,
        take: Take<T>,
    ) -> Result<Chosen<T>, Unavailable> {
        let choose = |pass| {
            self.choose_target(rule, pass, caller, take)
                .or_else(|| self.first_of(rule.fallbacks(), rule, pass, caller, &[], take))
        };
        if let Some(chosen) = choose(Pass::Healthy) {
            return Ok(chosen);
        }
        let is_healthy = |target| self.target(rule, target).has_healthy(&[]);
        if rule.all().any(is_healthy) {
            return Err(self.unavailable(rule, is_healthy));
        }
        choose(Pass::LastResort).ok_or_else(|| self.unavailable(rule, |_| true))
    }

    fn choose_target<T>(
        &self,
        rule: &CompiledRule,
        pass: Pass,
        caller: Caller<'_>,
        take: Take<T>,
    ) -> Option<Chosen<T>> {
        let Targets::Split(targets) = &rule.targets else {
            return Some((0, self.target(rule, 0).pick(pass, caller, &[], take)?));
        };
        loop {
            let can_take = |target| self.target(rule, target).can_take(pass);
            let target = targets.split.pick(can_take)?;
            // Another request may have been faster: then choose again.
            if let Some(taken) = self.target(rule, target).pick(pass, caller, &[], take) {
                return Some((index(target), taken));
            }
        }
    }

    /// For a retry: another endpoint of the same target, then the rule's other targets,
    /// then its fallbacks; `tried` are the endpoints that the request has already been
    /// sent to. As in [`choose`](Self::choose), healthy ones that are full are waited for.
    pub(crate) fn choose_next(
        &self,
        rule: &CompiledRule,
        current: u32,
        caller: Caller<'_>,
        tried: &[Arc<str>],
    ) -> Result<Chosen, Unavailable> {
        if let Some(chosen) = self.choose_healthy(rule, current, caller, tried) {
            return Ok(chosen);
        }
        let order = || rule.starting_at(current);
        let mut healthy = order().filter(|&target| self.target(rule, target).has_healthy(tried));
        if let Some(first) = healthy.next() {
            let mut healthy = std::iter::once(first).chain(healthy);
            let queue = healthy.find(|&target| self.target(rule, target).has_room_to_wait());
            return Err(Unavailable::Full(queue.map(index)));
        }
        self.first_of(order(), rule, Pass::LastResort, caller, tried, Lease::new)
            .ok_or(Unavailable::NoEndpoint)
    }

    /// As [`choose_next`](Self::choose_next), but healthy endpoints only; those that are
    /// half-open come last.
    pub(crate) fn choose_healthy(
        &self,
        rule: &CompiledRule,
        current: u32,
        caller: Caller<'_>,
        tried: &[Arc<str>],
    ) -> Option<Chosen> {
        [Pass::Proven, Pass::Healthy].into_iter().find_map(|pass| {
            let order = rule.starting_at(current);
            self.first_of(order, rule, pass, caller, tried, Lease::new)
        })
    }

    /// The first ModelServer that [`choose_next`](Self::choose_next) may choose an endpoint of.
    pub(crate) fn next_server(
        &self,
        rule: &CompiledRule,
        current: u32,
        tried: &[Arc<str>],
    ) -> Option<&Server> {
        let servers = || {
            let order = rule.starting_at(current);
            order.map(|target| &**self.target(rule, target))
        };
        let healthy = servers().find(|server| server.has_healthy(tried));
        healthy.or_else(|| servers().find(|server| server.has_untried(tried)))
    }

    fn first_of<T>(
        &self,
        mut targets: impl Iterator<Item = usize>,
        rule: &CompiledRule,
        pass: Pass,
        caller: Caller<'_>,
        tried: &[Arc<str>],
        take: Take<T>,
    ) -> Option<Chosen<T>> {
        targets.find_map(|target| {
            let taken = self.target(rule, target).pick(pass, caller, tried, take)?;
            Some((index(target), taken))
        })
    }

    /// Why none of the targets that `may_wait` can take a request.
    fn unavailable(&self, rule: &CompiledRule, may_wait: impl Fn(usize) -> bool) -> Unavailable {
        if let Some(none) = self.none_in_service(rule) {
            return none;
        }
        let has_room =
            |target: usize| may_wait(target) && self.target(rule, target).has_room_to_wait();
        let queue = match &rule.targets {
            Targets::One(_) => has_room(0).then_some(0),
            Targets::Split(targets) => targets
                .split
                .pick(has_room)
                .or_else(|| rule.fallbacks().find(|&target| has_room(target))),
        };
        Unavailable::Full(queue.map(index))
    }

    /// Why no target can take a request now or later; `None` if one can.
    pub(super) fn none_in_service(&self, rule: &CompiledRule) -> Option<Unavailable> {
        let any = |is: fn(&Server) -> bool| rule.all().any(|target| is(self.target(rule, target)));
        match () {
            () if any(Server::is_in_service) => None,
            () if any(Server::has_endpoints) => Some(Unavailable::Draining),
            () => Some(Unavailable::NoEndpoint),
        }
    }

    pub(super) fn target(&self, rule: &CompiledRule, target: usize) -> &Arc<Server> {
        &self.servers[rule.server(target) as usize]
    }
}

impl RouteError {
    pub(crate) fn unavailable(model: &str, why: &Unavailable) -> Self {
        match why {
            Unavailable::NoEndpoint => Self::no_endpoint(model),
            Unavailable::Draining => Self::draining(model),
            Unavailable::Full(_) => Self::overloaded(model),
        }
    }
}
