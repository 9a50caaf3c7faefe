//! Preferring endpoints in the gateway's own zone as long as they have room.

use std::sync::Arc;

use super::endpoint::Endpoint;

/// Which endpoints are in the gateway's own zone, where it makes a difference.
#[derive(Clone, Debug)]
pub(crate) struct Zones {
    /// Up to how many requests for each unit of weight the gateway's own zone is preferred.
    below: usize,
    is_own: Box<[bool]>,
    weights: Box<[u32]>,
}

impl Zones {
    /// `endpoints` are told by whether they are in the gateway's own zone, and their weights. `None` if
    /// all are, or none is, or none is preferred.
    pub(crate) fn new(
        below: Option<usize>,
        endpoints: impl Iterator<Item = (bool, u32)>,
    ) -> Option<Box<Self>> {
        let below = below?;
        let (is_own, weights): (Vec<_>, Vec<_>) = endpoints.unzip();
        let is_mixed = is_own.contains(&true) && is_own.contains(&false);
        is_mixed.then(|| {
            Box::new(Self {
                below,
                is_own: is_own.into(),
                weights: weights.into(),
            })
        })
    }

    pub(super) fn is_own(&self, position: usize) -> bool {
        self.is_own.get(position).is_some_and(|is_own| *is_own)
    }

    /// These zones, if the own one comes first for now.
    pub(super) fn own_first(
        &self,
        endpoints: &[Arc<Endpoint>],
        usable: impl Fn(usize) -> bool,
    ) -> Option<&Self> {
        let load = |position: usize| endpoints.get(position).map_or(0, |of| of.load());
        self.keep(load, usable).then_some(self)
    }

    /// Whether a request stays in the gateway's own zone: there is a usable endpoint that has room, or no
    /// usable one elsewhere has less to do.
    fn keep(&self, load: impl Fn(usize) -> usize, usable: impl Fn(usize) -> bool) -> bool {
        let relative = |position: usize, weight: &u32| load(position) as f64 / f64::from(*weight);
        let all = |own: bool| {
            let weights = self.weights.iter().enumerate();
            weights.filter(move |(position, _)| self.is_own(*position) == own)
        };
        let mut least = f64::INFINITY;
        for (position, weight) in all(true).filter(|(position, _)| usable(*position)) {
            let load = relative(position, weight);
            if load < self.below as f64 {
                return true;
            }
            least = least.min(load);
        }
        let mut others = all(false).filter(|(position, _)| usable(*position));
        least.is_finite() && !others.any(|(position, weight)| relative(position, weight) < least)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_two_kinds_there_is_no_choice() {
        let zones = |below, own: &[bool]| Zones::new(below, own.iter().map(|own| (*own, 1)));
        assert!(zones(Some(16), &[true, true]).is_none());
        assert!(zones(Some(16), &[false, false]).is_none());
        assert!(zones(Some(16), &[]).is_none());
        assert!(zones(None, &[true, false]).is_none());
        assert!(zones(Some(16), &[true, false]).is_some());
    }

    proptest! {
        #[test]
        fn it_is_left_only_for_less_load_elsewhere(
            endpoints in prop::collection::vec((any::<bool>(), 1..4_u32, 0..40_usize, any::<bool>()), 1..12),
            below in 1..20_usize,
        ) {
            let told = endpoints.iter().map(|of| (of.0, of.1));
            let Some(zones) = Zones::new(Some(below), told) else {
                return Ok(());
            };
            let keeps = zones.keep(|i| endpoints[i].2, |i| endpoints[i].3);
            let least = |own: bool| {
                let all = endpoints.iter().filter(|of| of.0 == own && of.3);
                let loads = all.map(|of| of.2 as f64 / f64::from(of.1));
                loads.fold(f64::INFINITY, f64::min)
            };
            let (near, far) = (least(true), least(false));
            match near {
                _ if near == f64::INFINITY => prop_assert!(!keeps, "nothing usable is left for"),
                _ if near < below as f64 => prop_assert!(keeps),
                _ => prop_assert_eq!(keeps, far >= near),
            }
        }
    }
}
