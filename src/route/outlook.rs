//! Which target would get a rule's next request, without sending it.

use super::{choose::Unavailable, rule::CompiledRule, table::CompiledTable};
use crate::server::{Pass, Wanted};

/// What [`CompiledTable::choose`] would do, as far as it does not depend on whose turn it is.
#[derive(Debug)]
pub(crate) struct Outlook<'a> {
    pub(crate) prospect: Prospect,
    /// For each target, fallbacks last, its percentage of the next requests.
    pub(crate) shares: Vec<f64>,
    /// The model, where only endpoints that may have it are asked.
    pub(crate) wanted: Option<Wanted<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// The request is sent to an endpoint of this kind.
    Sent(Pass),
    /// The request has to wait for an endpoint to become free.
    Waits,
    Overloaded,
    Draining,
    NoEndpoint,
}

impl Prospect {
    pub(crate) fn unavailable(self) -> Option<Unavailable> {
        match self {
            Self::Sent(_) | Self::Waits => None,
            Self::Overloaded => Some(Unavailable::Full(None)),
            Self::Draining => Some(Unavailable::Draining),
            Self::NoEndpoint => Some(Unavailable::NoEndpoint),
        }
    }
}

impl CompiledTable {
    /// `weights` are those of the rule's targets.
    pub(crate) fn outlook<'a>(
        &self,
        rule: &CompiledRule,
        weights: &[u32],
        wanted: Option<Wanted<'a>>,
    ) -> Outlook<'a> {
        let is_served = |wanted| {
            let has_healthy = |target| self.target(rule, target).has_healthy(&[], Some(wanted));
            self.tells_models_apart(rule) && rule.all().any(has_healthy)
        };
        let wanted = wanted.filter(|wanted| is_served(*wanted));
        let taken_by = |usable: &dyn Fn(usize) -> bool| {
            let own = rule.own_targets();
            let mut shares = shares(weights, usable).unwrap_or_else(|| vec![0.0; own]);
            shares.resize(rule.all().len(), 0.0);
            if shares.iter().all(|&share| share == 0.0) {
                let fallback = rule.fallbacks().find(|&target| usable(target))?;
                *shares.get_mut(fallback)? = 100.0;
            }
            Some(shares)
        };
        let is_healthy = |target| self.target(rule, target).has_healthy(&[], wanted);
        let is_any_healthy = rule.all().any(is_healthy);
        let pass = match is_any_healthy {
            true => Pass::Healthy,
            false => Pass::LastResort,
        };
        let can_take = |target| self.target(rule, target).can_take(pass, wanted);
        if let Some(shares) = taken_by(&can_take) {
            return Outlook {
                prospect: Prospect::Sent(pass),
                shares,
                wanted,
            };
        }
        let has_room = |target| {
            let may_wait = !is_any_healthy || is_healthy(target);
            may_wait && self.target(rule, target).has_room_to_wait()
        };
        if let Some(shares) = taken_by(&has_room) {
            return Outlook {
                prospect: Prospect::Waits,
                shares,
                wanted,
            };
        }
        Outlook {
            wanted,
            prospect: match self.none_in_service(rule) {
                None | Some(Unavailable::Full(_)) => Prospect::Overloaded,
                Some(Unavailable::Draining) => Prospect::Draining,
                Some(Unavailable::NoEndpoint) => Prospect::NoEndpoint,
            },
            shares: vec![0.0; rule.all().len()],
        }
    }
}

/// The percentages of targets with these weights; the share of unusable targets is
/// split among their siblings. `None` if no target is usable.
pub(crate) fn shares(weights: &[u32], usable: impl Fn(usize) -> bool) -> Option<Vec<f64>> {
    let weight_of = |target: usize, weight: u32| if usable(target) { weight } else { 0 };
    let left: Vec<u32> = (0..)
        .zip(weights)
        .map(|(target, &weight)| weight_of(target, weight))
        .collect();
    let sum: u32 = left.iter().sum();
    if sum > 0 {
        let percent = |&weight: &u32| f64::from(weight) * 100.0 / f64::from(sum);
        return Some(left.iter().map(percent).collect());
    }
    // A target of weight 0 is a last resort.
    let last_resort = (0..weights.len()).find(|&target| usable(target))?;
    let percent = |target| if target == last_resort { 100.0 } else { 0.0 };
    Some((0..weights.len()).map(percent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_take_what_an_unusable_target_leaves() {
        let of =
            |weights: &[u32], down: &[usize]| shares(weights, |target| !down.contains(&target));
        assert_eq!(of(&[70, 30], &[]), Some(vec![70.0, 30.0]));
        assert_eq!(of(&[1, 1, 2], &[2]), Some(vec![50.0, 50.0, 0.0]));
        assert_eq!(of(&[100, 0], &[]), Some(vec![100.0, 0.0]));
        assert_eq!(of(&[100, 0, 0], &[0]), Some(vec![0.0, 100.0, 0.0]));
        assert_eq!(of(&[70, 30], &[0, 1]), None);
    }
}
