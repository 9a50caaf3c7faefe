//! The choice of a rule's target for a request, and of one of the target's endpoints.

use std::sync::Arc;

use super::{
    names::index,
    rule::{CompiledRule, Targets},
    table::{CompiledTable, Selection},
};
use crate::{
    error::RouteError,
    server::{Among, Caller, Lease, Pass, Server, Take, Wanted},
};

/// A target's position among those of its rule, fallbacks last, and an endpoint of it.
pub(crate) type Chosen<T = Lease> = (u32, T);

/// A target by its position, and its ModelServer as it is in the current table.
type Place = (u32, Arc<Server>);

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

/// Which targets and endpoints a request may be sent to that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Further {
    /// All.
    Any,
    /// The endpoints that may have its model.
    Served,
    /// The targets whose context is longer.
    Longer,
}

impl CompiledTable {
    /// For a request that has not been sent yet: takes a turn of the split.
    ///
    /// If a target can't take the request, its share is split among its siblings. If no
    /// target can, the fallbacks are next. An endpoint that is not healthy is used only
    /// where no target has a healthy one, full or not: those that are full are waited for.
    ///
    /// In the same way an endpoint that is known to lack the model is used only where no target
    /// has a healthy one that may have it, full or not.
    pub(crate) fn choose<T>(
        &self,
        selection: Selection,
        caller: &Caller<'_>,
        take: impl Take<T>,
    ) -> Result<Chosen<T>, Unavailable> {
        // As it nearly always is: no rule needs to be looked at, which is a line of memory less.
        if let Some(server) = self.only_server(selection)
            && !server.tells_models_apart()
            && let Some(taken) = server.pick(Among::all(Pass::Healthy), caller, take)
        {
            return Ok((0, taken));
        }
        self.choose_by(self.rule(selection), caller, take)
    }

    fn choose_by<T>(
        &self,
        rule: &CompiledRule,
        caller: &Caller<'_>,
        take: impl Take<T>,
    ) -> Result<Chosen<T>, Unavailable> {
        let choose = |among: Among<'_>| {
            self.choose_target(rule, among, caller, take).or_else(|| {
                let fallbacks = rule.fallbacks();
                let fallbacks = fallbacks.map(|target| (index(target), self.target(rule, target)));
                first_of(fallbacks, among, caller, take)
            })
        };
        let healthy = |wanted| {
            let among = Among {
                wanted,
                ..Among::all(Pass::Healthy)
            };
            if let Some(chosen) = choose(among) {
                return Some(Ok(chosen));
            }
            let is_healthy = |target| self.target(rule, target).has_healthy(&[], wanted);
            let is_any = rule.all().any(is_healthy);
            is_any.then(|| Err(self.unavailable(rule, is_healthy)))
        };
        let served = self.tells_models_apart(rule);
        let served = served.then(|| healthy(Some(caller.model)));
        if let Some(chosen) = served.flatten().or_else(|| healthy(None)) {
            return chosen;
        }
        choose(Among::all(Pass::LastResort)).ok_or_else(|| self.unavailable(rule, |_| true))
    }

    /// Whether anything is known about the models that the endpoints of some target have.
    pub(super) fn tells_models_apart(&self, rule: &CompiledRule) -> bool {
        rule.all()
            .any(|target| self.target(rule, target).tells_models_apart())
    }

    fn choose_target<T>(
        &self,
        rule: &CompiledRule,
        among: Among<'_>,
        caller: &Caller<'_>,
        take: impl Take<T>,
    ) -> Option<Chosen<T>> {
        let Targets::Split(targets) = &rule.targets else {
            return Some((0, self.target(rule, 0).pick(among, caller, take)?));
        };
        loop {
            let can_take = |target| self.target(rule, target).can_take(among.pass, among.wanted);
            let target = targets.split.pick(can_take)?;
            // Another request may have been faster: then choose again.
            if let Some(taken) = self.target(rule, target).pick(among, caller, take) {
                return Some((index(target), taken));
            }
        }
    }

    /// For a retry, after an attempt at the `current` target: another endpoint of the same target,
    /// then the rule's other targets, then its fallbacks, as far as it may go there; `tried` are the
    /// endpoints that the request has already been sent to. As in [`choose`](Self::choose), healthy
    /// ones that are full are waited for, and those that lack the model come last.
    ///
    /// The endpoints are those that the ModelServers have by now: a retry is often due to one that
    /// ends, and is no longer in the current table.
    pub(crate) fn choose_next(
        &self,
        rule: &CompiledRule,
        after: (u32, Further),
        caller: &Caller<'_>,
        tried: &[Arc<str>],
    ) -> Result<Chosen, Unavailable> {
        let order = self.order(rule, after);
        let healthy = |wanted| {
            if let Some(chosen) = healthy_of(&order, caller, (wanted, tried)) {
                return Some(Ok(chosen));
            }
            let is_healthy = |(_, server): &&Place| server.has_healthy(tried, wanted);
            let mut healthy = order.iter().filter(is_healthy).peekable();
            healthy.peek()?;
            let queue = healthy.find(|(_, server)| server.has_room_to_wait());
            Some(Err(Unavailable::Full(queue.map(|(target, _)| *target))))
        };
        let served = self.tells_models_apart(rule);
        let served = served.then(|| healthy(Some(caller.model)));
        if let Some(chosen) = served.flatten() {
            return chosen;
        }
        if after.1 == Further::Served {
            return Err(Unavailable::NoEndpoint);
        }
        if let Some(chosen) = healthy(None) {
            return chosen;
        }
        let among = Among {
            tried,
            ..Among::all(Pass::LastResort)
        };
        first_of(borrowed(&order), among, caller, Lease::new).ok_or(Unavailable::NoEndpoint)
    }

    /// As [`choose_next`](Self::choose_next), but healthy endpoints only; those that are
    /// half-open come last.
    pub(crate) fn choose_healthy(
        &self,
        rule: &CompiledRule,
        current: u32,
        caller: &Caller<'_>,
        tried: &[Arc<str>],
    ) -> Option<Chosen> {
        let order = self.order(rule, (current, Further::Any));
        let of = |wanted| healthy_of(&order, caller, (wanted, tried));
        let served = self.tells_models_apart(rule);
        let served = served.then(|| of(Some(caller.model)));
        served.flatten().or_else(|| of(None))
    }

    /// The first ModelServer that [`choose_next`](Self::choose_next) may choose an endpoint of.
    pub(crate) fn next_server(
        &self,
        rule: &CompiledRule,
        after: (u32, Further),
        wanted: Wanted<'_>,
        tried: &[Arc<str>],
    ) -> Option<Arc<Server>> {
        let order = self.order(rule, after);
        let mut servers = order.into_iter().map(|(_, server)| server);
        if after.1 == Further::Served {
            return servers.find(|server| server.has_healthy(tried, Some(wanted)));
        }
        let healthy = servers
            .clone()
            .find(|server| server.has_healthy(tried, None));
        healthy.or_else(|| servers.find(|server| server.has_untried(tried)))
    }

    /// The targets that may be tried after the `current` one, in their order.
    fn order(&self, rule: &CompiledRule, (current, to): (u32, Further)) -> Vec<Place> {
        let length = |target: usize| {
            let servers = self.config.get_model_servers();
            let server = servers.get(rule.server(target) as usize)?;
            server.get_max_model_len()
        };
        let at = current as usize;
        let own = rule.own_targets();
        let may_follow = |&target: &usize| {
            if to != Further::Longer {
                return true;
            }
            let may = match target < own {
                true => at < own,
                false => at < target,
            };
            let is_longer = length(target).zip(length(at)).map(|(a, b)| a > b);
            may && target != at && is_longer.unwrap_or(target >= own)
        };
        let targets = rule.starting_at(current).filter(may_follow);
        targets
            .map(|target| (index(target), self.target(rule, target).current()))
            .collect()
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

/// A healthy endpoint of the first of these targets that has one with room; those that are half-open
/// come last.
fn healthy_of(
    order: &[Place],
    caller: &Caller<'_>,
    (wanted, tried): (Option<Wanted<'_>>, &[Arc<str>]),
) -> Option<Chosen> {
    [Pass::Proven, Pass::Healthy].into_iter().find_map(|pass| {
        let among = Among {
            pass,
            wanted,
            tried,
        };
        first_of(borrowed(order), among, caller, Lease::new)
    })
}

fn borrowed(order: &[Place]) -> impl Iterator<Item = (u32, &Arc<Server>)> {
    order.iter().map(|(target, server)| (*target, server))
}

/// An endpoint of the first of these targets that has one to take.
fn first_of<'a, T>(
    mut targets: impl Iterator<Item = (u32, &'a Arc<Server>)>,
    among: Among<'_>,
    caller: &Caller<'_>,
    take: impl Take<T>,
) -> Option<Chosen<T>> {
    targets.find_map(|(target, server)| Some((target, server.pick(among, caller, take)?)))
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
