//! Which target of a rule takes a request, and which endpoint of it.

use std::sync::Arc;

use super::table::{CompiledRule, CompiledTable, Targets, index};
use crate::{
    error::RouteError,
    server::{Caller, Choice, Lease, Server, Take},
};

/// A target's position among those of its rule, fallbacks last, and an endpoint of it.
pub(crate) type Chosen<T = Lease> = (u32, T);

/// Why no target can take a request.
#[derive(Debug)]
pub(crate) enum Unavailable {
    /// They have no endpoints.
    NoEndpoint,
    /// All endpoints have as many requests as they may. Where the request may
    /// wait for one: the target, whose turn it is.
    Full(Option<u32>),
}

impl CompiledTable {
    /// For a request that has not been sent yet: takes a turn of the split.
    ///
    /// Targets that can't take it give their share to their siblings. Where
    /// none can, the fallbacks are next; where these can't either, an endpoint
    /// in bad standing is better than nothing.
    pub(crate) fn choose<T>(
        &self,
        rule: &CompiledRule,
        caller: Caller<'_>,
        take: Take<T>,
    ) -> Result<Chosen<T>, Unavailable> {
        [Choice::Sound, Choice::LeastBad]
            .into_iter()
            .find_map(|choice| {
                self.choose_target(rule, choice, caller, take)
                    .or_else(|| self.first_of(rule.fallbacks(), rule, choice, caller, &[], take))
            })
            .ok_or_else(|| self.unavailable(rule))
    }

    fn choose_target<T>(
        &self,
        rule: &CompiledRule,
        choice: Choice,
        caller: Caller<'_>,
        take: Take<T>,
    ) -> Option<Chosen<T>> {
        let Targets::Split(targets) = &rule.targets else {
            return Some((0, self.target(rule, 0).pick(choice, caller, &[], take)?));
        };
        loop {
            let can_take = |target| self.target(rule, target).can_take(choice);
            let target = targets.split.pick(can_take)?;
            // Another request may have been faster: then it is one endpoint fewer.
            if let Some(taken) = self.target(rule, target).pick(choice, caller, &[], take) {
                return Some((index(target), taken));
            }
        }
    }

    /// For a request that is to be sent again: another endpoint of the same
    /// target, then the rule's other targets, then its fallbacks; `tried` are
    /// the endpoints that it has been sent to.
    pub(crate) fn choose_next(
        &self,
        rule: &CompiledRule,
        current: u32,
        caller: Caller<'_>,
        tried: &[Arc<str>],
    ) -> Option<Chosen> {
        let current = current as usize;
        let others = || rule.by_weight().filter(move |&target| target != current);
        [Choice::Sound, Choice::LeastBad]
            .into_iter()
            .find_map(|choice| {
                let order = [current].into_iter().chain(others());
                self.first_of(order, rule, choice, caller, tried, Lease::new)
            })
    }

    fn first_of<T>(
        &self,
        mut targets: impl Iterator<Item = usize>,
        rule: &CompiledRule,
        choice: Choice,
        caller: Caller<'_>,
        tried: &[Arc<str>],
        take: Take<T>,
    ) -> Option<Chosen<T>> {
        targets.find_map(|target| {
            let taken = self
                .target(rule, target)
                .pick(choice, caller, tried, take)?;
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
