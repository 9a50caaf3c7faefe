//! The choice of a rule's target for a request, and of one of the target's endpoints.

use std::sync::Arc;

use super::table::{CompiledRule, CompiledTable, Targets, index};
use crate::{
    error::RouteError,
    server::{Caller, Lease, Pass, Server, Take},
};

/// A healthy endpoint is better than any last resort, wherever it is.
pub(super) const PASSES: [Pass; 2] = [Pass::Healthy, Pass::LastResort];

/// A target's position among those of its rule, fallbacks last, and an endpoint of it.
pub(crate) type Chosen<T = Lease> = (u32, T);

/// Why no target can take a request.
#[derive(Debug)]
pub(crate) enum Unavailable {
    /// The targets have no endpoints.
    NoEndpoint,
    /// All endpoints are full. If the request may wait for one: the target whose turn it is.
    Full(Option<u32>),
}

impl CompiledTable {
    /// For a request that has not been sent yet: takes a turn of the split.
    ///
    /// If a target can't take the request, its share is split among its siblings. If no
    /// target can, the fallbacks are next; if they can't either, an endpoint that is
    /// not healthy is used as a last resort.
    pub(crate) fn choose<T>(
        &self,
        rule: &CompiledRule,
        caller: Caller<'_>,
        take: Take<T>,
    ) -> Result<Chosen<T>, Unavailable> {
        PASSES
            .into_iter()
            .find_map(|pass| {
                self.choose_target(rule, pass, caller, take)
                    .or_else(|| self.first_of(rule.fallbacks(), rule, pass, caller, &[], take))
            })
            .ok_or_else(|| self.unavailable(rule))
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

    /// For a retry: another endpoint of the same
    /// target, then the rule's other targets, then its fallbacks; `tried` are
    /// the endpoints that the request has already been sent to.
    pub(crate) fn choose_next(
        &self,
        rule: &CompiledRule,
        current: u32,
        caller: Caller<'_>,
        tried: &[Arc<str>],
    ) -> Option<Chosen> {
        PASSES.into_iter().find_map(|pass| {
            let order = rule.starting_at(current);
            self.first_of(order, rule, pass, caller, tried, Lease::new)
        })
    }

    /// The ModelServer that [`choose_next`](Self::choose_next) would pick an endpoint of.
    pub(crate) fn next_server(
        &self,
        rule: &CompiledRule,
        current: u32,
        tried: &[Arc<str>],
    ) -> Option<&Arc<Server>> {
        PASSES.into_iter().find_map(|pass| {
            let mut servers = rule
                .starting_at(current)
                .map(|target| self.target(rule, target));
            servers.find(|server| server.has_untried(pass, tried))
        })
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

    fn unavailable(&self, rule: &CompiledRule) -> Unavailable {
        if !rule
            .all()
            .any(|target| self.target(rule, target).has_endpoints())
        {
            return Unavailable::NoEndpoint;
        }
        let has_room = |target: usize| self.target(rule, target).has_room_to_wait();
        let queue = match &rule.targets {
            Targets::One(_) => has_room(0).then_some(0),
            Targets::Split(targets) => targets
                .split
                .pick(has_room)
                .or_else(|| rule.fallbacks().find(|&target| has_room(target))),
        };
        Unavailable::Full(queue.map(index))
    }

    pub(super) fn target(&self, rule: &CompiledRule, target: usize) -> &Arc<Server> {
        &self.servers[rule.server(target) as usize]
    }
}

impl RouteError {
    pub(crate) fn unavailable(model: &str, why: &Unavailable) -> Self {
        match why {
            Unavailable::NoEndpoint => Self::no_endpoint(model),
            Unavailable::Full(_) => Self::overloaded(model),
        }
    }
}
