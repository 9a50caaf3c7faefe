//! Which endpoints suit the model that a request asks for.

use std::sync::atomic::Ordering;

use super::{
    adapters::Suit,
    endpoint::Endpoint,
    lease::Lease,
    model_server::Server,
    wanted::{Sought, Wanted},
};

/// How much more load than the balance's own choice a better-suited endpoint may have: this
/// much, plus a quarter.
const SLACK: usize = 4;

impl Server {
    /// What is wanted, as the engines of this ModelServer are asked for it.
    pub(super) fn sought<'a>(&'a self, wanted: Option<Wanted<'a>>) -> Option<Sought<'a>> {
        let own = self.model.as_ref().map(|model| &*model.name);
        wanted.map(|wanted| wanted.of_server(own))
    }

    /// Whether anything is known about the models that its endpoints have.
    pub(crate) fn tells_models_apart(&self) -> bool {
        self.live.knows_models.load(Ordering::Relaxed)
    }

    /// Whether some endpoint is known to lack what is wanted.
    pub(super) fn some_lack(&self, wanted: Wanted<'_>) -> bool {
        let sought = self.sought(Some(wanted));
        self.tells_models_apart()
            && self
                .endpoints
                .iter()
                .any(|endpoint| !Self::may_have(endpoint, sought))
    }

    /// Whether an endpoint is not known to lack what is sought.
    pub(super) fn may_have(endpoint: &Endpoint, sought: Option<Sought<'_>>) -> bool {
        sought.is_none_or(|sought| endpoint.adapters.may_have(sought.name))
    }

    /// In place of the endpoint that the balance has chosen: one that suits better, if its load is
    /// no more than a quarter and 4 requests higher. Of those the best, and of them the least loaded.
    pub(super) fn better_suited(
        &self,
        chosen: usize,
        sought: Sought<'_>,
        usable: impl Fn(usize) -> bool,
    ) -> usize {
        let suit = |endpoint: &Endpoint| endpoint.adapters.suit(sought.name, sought.is_adapter);
        let Some(own) = self.endpoints.get(chosen) else {
            return chosen;
        };
        let is_best = match suit(own) {
            Suit::IsActive => true,
            Suit::Has | Suit::HasRoom => !sought.is_adapter,
            Suit::Lacks | Suit::Unknown => false,
        };
        if is_best {
            return chosen;
        }
        let load = own.load();
        let bound = load.saturating_add(load / 4).saturating_add(SLACK);
        let rank = |position: usize, endpoint: &Endpoint| {
            let load = endpoint.load();
            let may = usable(position) && (position == chosen || load <= bound);
            // Of equal ones the balance's own choice stays.
            may.then(|| (suit(endpoint), position == chosen, std::cmp::Reverse(load)))
        };
        let ranks = self.endpoints.iter().enumerate();
        let ranks =
            ranks.filter_map(|(position, endpoint)| Some((rank(position, endpoint)?, position)));
        // Of all that are equal the first, as `max` would take the last.
        let best = ranks.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.map_or(chosen, |(_, position)| position)
    }
}

impl Lease {
    /// The engine has said that it does not have this model.
    pub(crate) fn lacks_model(&self, name: &str) {
        if !name.is_empty() {
            self.endpoint().adapters.lacks(name);
        }
    }

    /// The engine has answered a request for this model.
    pub(crate) fn serves_model(&self, name: &str) {
        if self.server().tells_models_apart() {
            self.endpoint().adapters.serves(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{
        super::{
            ask::Ask,
            lease::Lease,
            model_server::{Among, Pass, Server},
            wanted::Wanted,
        },
        *,
    };
    use crate::config::{Address, ModelServer};

    /// What is known about an endpoint.
    #[derive(Clone, Copy, Debug)]
    enum Knows {
        Nothing,
        Lacks,
        Has,
        IsFull,
        HasRoom,
        IsActive,
    }

    fn server(known: &[Knows], loads: &[usize]) -> Arc<Server> {
        let endpoint = |n: usize| Endpoint::new(Address::parse(&format!("http://e{n}")).unwrap());
        let endpoints: Vec<_> = (0..known.len()).map(|n| Arc::new(endpoint(n))).collect();
        let weighted = endpoints.iter().map(|endpoint| (Arc::clone(endpoint), 1));
        let server = Server::new(&ModelServer::new("server"), weighted.collect());
        for ((endpoint, knows), load) in endpoints.iter().zip(known).zip(loads) {
            let adapters = &endpoint.adapters;
            match knows {
                Knows::Nothing => {}
                Knows::Lacks => adapters.lacks("a"),
                Knows::Has => adapters.has("a"),
                Knows::IsFull => adapters.reported(["b"].into_iter(), 1),
                Knows::HasRoom => adapters.reported(["b"].into_iter(), 2),
                Knows::IsActive => adapters.reported(["a"].into_iter(), 1),
            }
            (0..*load).for_each(|_| assert!(endpoint.begin(None)));
        }
        Arc::new(server)
    }

    fn picked(server: &Arc<Server>) -> Option<usize> {
        let among = Among {
            wanted: Some(Wanted::named("a", true)),
            ..Among::all(Pass::Healthy)
        };
        let lease = server.pick_now(among, &Ask::default(), Lease::new);
        lease.map(|lease| lease.position())
    }

    fn knows() -> impl Strategy<Value = Knows> {
        prop::sample::select(vec![
            Knows::Nothing,
            Knows::Lacks,
            Knows::Has,
            Knows::IsFull,
            Knows::HasRoom,
            Knows::IsActive,
        ])
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    proptest! {
        #[test]
        fn one_that_lacks_it_is_never_chosen_and_any_other_is(
            known in prop::collection::vec(knows(), 0..12),
            loads in prop::collection::vec(0..20_usize, 12),
        ) {
            let runtime = runtime();
            let _entered = runtime.enter();
            let server = server(&known, &loads);
            let may = known.iter().any(|knows| !matches!(knows, Knows::Lacks));
            for _ in 0..4 {
                let picked = picked(&server);
                prop_assert_eq!(picked.is_some(), may);
                prop_assert!(picked.is_none_or(|i| !matches!(known[i], Knows::Lacks)));
            }
            prop_assert_eq!(server.can_take(Pass::Healthy, Some(Wanted::named("a", true))), may);
        }

        #[test]
        fn the_best_is_chosen_unless_it_has_much_more_to_do(
            known in prop::collection::vec(knows(), 2..8),
            loads in prop::collection::vec(0..20_usize, 8),
        ) {
            let runtime = runtime();
            let _entered = runtime.enter();
            let server = server(&known, &loads);
            let Some(picked) = picked(&server) else { return Ok(()) };
            let suit = |i: usize| server.endpoints[i].adapters.suit("a", true);
            let least = (0..known.len()).filter(|&i| suit(i) > Suit::Lacks).map(|i| loads[i]).min();
            let least = least.unwrap();
            // No affinity piles requests up: at most a quarter and 4 above the least loaded.
            prop_assert!(loads[picked] <= least + least / 4 + SLACK);
            for (other, load) in loads.iter().enumerate().take(known.len()) {
                let is_near = *load <= least + least / 4 + SLACK;
                prop_assert!(!is_near || suit(other) <= suit(picked), "{other} {picked}");
            }
        }
    }

    #[test]
    fn those_that_are_equal_take_turns() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let server = server(&[Knows::Has; 3], &[0; 3]);
        let mut counts = [0; 3];
        (0..30).for_each(|_| counts[picked(&server).unwrap()] += 1);
        assert_eq!(counts, [10; 3]);
    }
}
