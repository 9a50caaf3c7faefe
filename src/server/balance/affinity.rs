//! Consistent hashing with bounded loads.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
};

use http::{Extensions, HeaderMap, HeaderName};
use twox_hash::XxHash64;

use super::{ring::Ring, shares::Shares};
use crate::{
    config::HashKey,
    model::{BodyKeys, NeededKeys, hash, is_empty},
    server::wanted::Wanted,
};

/// The number of points of the ring tried before all endpoints are considered.
const WALK: usize = 256;

/// Maps a key to an endpoint: the first on the ring with room. An endpoint has room while
/// its requests in flight are below 1.25 times its share of the total, which includes the
/// new request.
///
/// After Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded
/// Loads (2016), with c = 1.25. The shares are those among the usable endpoints:
/// otherwise, with many endpoints down, the others would never have room. The
/// set of usable endpoints is not always current: it is refreshed each time a
/// key finds no room, and now and then while some endpoints are unusable.
#[derive(Debug)]
pub(super) struct Affinity {
    key: Key,
    ring: Ring,
    /// The weight of the endpoints that were usable when they were last looked at.
    usable_weight: AtomicU64,
}

/// The parts of a request that may hold its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
    pub(crate) body: &'a BodyKeys,
    /// The model, where only endpoints will do that may have it.
    pub(crate) wanted: Option<Wanted<'a>>,
}

impl Caller<'_> {
    /// The same, where any endpoint will do, whatever it has.
    pub(crate) fn of_any_model(self) -> Self {
        Self {
            wanted: None,
            ..self
        }
    }
}

/// The key by which requests belong together.
#[derive(Debug)]
pub(super) enum Key {
    Header(HeaderName),
    ClientAddr,
    User,
    SessionId,
    Prefix(usize),
}

impl Key {
    /// `None` if a header name is invalid, which is a mistake in the table.
    pub(super) fn new(key: &HashKey) -> Option<Self> {
        Some(match key {
            HashKey::Header(name) => Self::Header(name.parse().ok()?),
            HashKey::ClientAddr => Self::ClientAddr,
            HashKey::User => Self::User,
            HashKey::SessionId => Self::SessionId,
        })
    }

    fn needed_keys(&self) -> NeededKeys {
        let mut needed = NeededKeys::default();
        match *self {
            Self::User => needed.user = true,
            Self::SessionId => needed.session_id = true,
            Self::Prefix(bytes) => needed.prefix = bytes,
            Self::Header(_) | Self::ClientAddr => {}
        }
        needed
    }

    /// An empty value is not a key, because it distinguishes no callers.
    fn of(&self, caller: Caller<'_>) -> Option<u64> {
        match self {
            Self::Header(name) => header(caller.headers, name),
            Self::ClientAddr => client_addr(caller.extensions),
            Self::User => caller.body.user,
            Self::SessionId => caller.body.session_id,
            Self::Prefix(bytes) => {
                let prefix = &caller.body.conversation;
                let prefix = prefix.get(..*bytes).unwrap_or(prefix);
                (!is_empty(prefix)).then(|| hash(0, prefix))
            }
        }
    }
}

/// All values of a header, in their order.
fn header(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    use std::hash::Hasher;
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(first.as_bytes());
    let mut is_empty = first.is_empty();
    for value in values {
        // As one line: two are equal to their values joined (RFC 9110, section 5.2).
        hasher.write(b", ");
        hasher.write(value.as_bytes());
        is_empty &= value.is_empty();
    }
    (!is_empty).then(|| hasher.finish())
}

/// The client's address, if the server told it.
pub(crate) fn client_ip(extensions: &Extensions) -> Option<IpAddr> {
    let socket = extensions.get::<SocketAddr>().map(SocketAddr::ip);
    let addr = socket.or_else(|| extensions.get::<IpAddr>().copied())?;
    Some(addr.to_canonical())
}

fn client_addr(extensions: &Extensions) -> Option<u64> {
    Some(match client_ip(extensions)? {
        IpAddr::V4(addr) => hash(0, &addr.octets()),
        IpAddr::V6(addr) => hash(0, &addr.octets()),
    })
}

impl Affinity {
    /// `endpoints` are their URIs and weights, the same as in `shares`.
    pub(super) fn new(key: Key, endpoints: &[(&str, u32)], shares: &Shares) -> Self {
        Self {
            key,
            ring: Ring::new(endpoints),
            usable_weight: AtomicU64::new(shares.total()),
        }
    }

    pub(super) fn needed_keys(&self) -> NeededKeys {
        self.key.needed_keys()
    }

    pub(super) fn key(&self, caller: Caller<'_>) -> Option<u64> {
        self.key.of(caller)
    }

    /// The endpoint for a key; `load` is the requests in flight to each, `total` to all.
    pub(super) fn pick(
        &self,
        key: u64,
        shares: &Shares,
        total: usize,
        load: impl Fn(usize) -> usize,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut weight = self.usable_weight.load(Ordering::Relaxed);
        // Some were not usable: check again. This costs as much as one more look each time.
        if weight < shares.total() && fastrand::usize(..shares.len()) == 0 {
            weight = self.survey(shares, &load, &usable)?.weight;
        }
        let has_room = |endpoint: usize, weight: u64| {
            // load < 1.25 * (total + 1) * share, without a division.
            let bound = 5 * (total as u128 + 1) * u128::from(shares.weight(endpoint));
            4 * load(endpoint) as u128 * u128::from(weight) < bound
        };
        let walk = |weight: u64| {
            let mut walk = self.ring.from(key).take(WALK);
            walk.find(|&endpoint| has_room(endpoint, weight) && usable(endpoint))
        };
        walk(weight).or_else(|| {
            let all = self.survey(shares, &load, &usable)?;
            let fewer = (all.weight < weight).then(|| walk(all.weight)).flatten();
            fewer.or(Some(all.least_loaded))
        })
    }

    /// Looks at every endpoint; `None` if none is usable.
    fn survey(
        &self,
        shares: &Shares,
        load: impl Fn(usize) -> usize,
        usable: impl Fn(usize) -> bool,
    ) -> Option<Survey> {
        let mut weight = 0;
        let least_loaded = (0..shares.len())
            .filter(|&endpoint| usable(endpoint))
            .map(|endpoint| {
                let share = shares.weight(endpoint);
                weight += share;
                (endpoint, load(endpoint) as f64 / share as f64)
            })
            .min_by(|(_, a), (_, b)| a.total_cmp(b))?
            .0;
        self.usable_weight.store(weight, Ordering::Relaxed);
        Some(Survey {
            weight,
            least_loaded,
        })
    }
}

struct Survey {
    /// The total weight of all usable endpoints.
    weight: u64,
    least_loaded: usize,
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Parts};
    use proptest::prelude::*;

    use super::*;

    /// ModelServer and endpoints without sockets: what is in flight, what is down.
    struct Model {
        affinity: Affinity,
        shares: Shares,
        loads: Vec<usize>,
        is_up: Vec<bool>,
    }

    impl Model {
        fn new(weights: &[u32]) -> Self {
            let uris: Vec<String> = (0..weights.len()).map(|i| format!("http://h{i}")).collect();
            let endpoints: Vec<_> = uris
                .iter()
                .zip(weights)
                .map(|(uri, weight)| (&**uri, *weight))
                .collect();
            let shares = Shares::new(weights.iter().copied());
            Self {
                affinity: Affinity::new(Key::User, &endpoints, &shares),
                shares,
                loads: vec![0; weights.len()],
                is_up: vec![true; weights.len()],
            }
        }

        fn pick(&self, key: u64) -> Option<usize> {
            let (total, load) = (self.loads.iter().sum(), |i| self.loads[i]);
            self.affinity
                .pick(key, &self.shares, total, load, |i: usize| self.is_up[i])
        }

        /// Sends a request that stays in flight.
        fn send(&mut self, key: u64) -> Option<usize> {
            let endpoint = self.pick(key)?;
            self.loads[endpoint] += 1;
            Some(endpoint)
        }

        /// A quarter above the share among those that are up, rounded up.
        fn bound(&self, endpoint: usize) -> usize {
            let weight: u64 = (0..self.loads.len())
                .filter(|&i| self.is_up[i])
                .map(|i| self.shares.weight(i))
                .sum();
            let total: usize = self.loads.iter().sum();
            (5 * total * self.shares.weight(endpoint) as usize).div_ceil(4 * weight as usize)
        }
    }

    fn keys(n: u64) -> impl Iterator<Item = u64> {
        (0..n).map(|key| hash(7, &key.to_le_bytes()))
    }

    #[test]
    fn a_key_stays_where_it_is() {
        let model = Model::new(&[1; 20]);
        for key in keys(100) {
            assert_eq!(model.pick(key), model.pick(key));
            assert_eq!(model.pick(key), model.affinity.ring.from(key).next());
        }
    }

    #[test]
    fn a_hot_key_spills_over_to_its_next_endpoints() {
        let mut model = Model::new(&[1; 10]);
        let key = keys(1).next().unwrap();
        let sent: Vec<_> = (0..1000).filter_map(|_| model.send(key)).collect();
        let mut order = Vec::new();
        for endpoint in model.affinity.ring.from(key) {
            if !order.contains(&endpoint) {
                order.push(endpoint);
            }
        }
        assert_eq!(sent[0], order[0]);
        // 1000 requests of one key fill eight of ten, in the ring's order.
        assert!(
            order[..8].iter().all(|&i| model.loads[i] == 125),
            "{:?}",
            model.loads
        );
    }

    #[test]
    fn those_that_are_down_leave_the_affinity_of_the_others() {
        let mut model = Model::new(&[1; 10]);
        (0..5).for_each(|i| model.is_up[i] = false);
        let all: Vec<u64> = keys(200).collect();
        // Each key twice: at this load none is full, if those that are down are not counted.
        let mut moved = 0;
        for key in &all {
            let first = model.send(*key);
            let second = model.send(*key);
            moved += usize::from(first != second);
        }
        assert!(moved < all.len() / 4, "{moved}");
        model.is_up.fill(true);
        // They are noticed to be back after a while.
        let back = keys(10_000)
            .filter_map(|key| model.pick(key))
            .filter(|&i| i < 5);
        assert!(back.count() > 1000);
        assert_eq!(model.affinity.usable_weight.load(Ordering::Relaxed), 10);
    }

    proptest! {
        #[test]
        fn none_gets_more_than_a_quarter_above_its_share(
            weights in prop::collection::vec(1..10_u32, 2..30),
            requests in prop::collection::vec(0..5_u64, 1..300),
        ) {
            let mut model = Model::new(&weights);
            for request in requests {
                let endpoint = model.send(hash(1, &request.to_le_bytes())).unwrap();
                prop_assert!(model.loads[endpoint] <= model.bound(endpoint));
            }
        }

        #[test]
        fn the_same_holds_among_those_that_are_up(
            weights in prop::collection::vec(1..10_u32, 2..30),
            up in prop::collection::vec(any::<bool>(), 30),
            requests in prop::collection::vec(0..5_u64, 1..300),
        ) {
            let mut model = Model::new(&weights);
            model.is_up = up[..weights.len()].to_vec();
            let is_any = model.is_up.contains(&true);
            for request in requests {
                let endpoint = model.send(hash(1, &request.to_le_bytes()));
                prop_assert_eq!(endpoint.is_some(), is_any);
                if let Some(endpoint) = endpoint {
                    prop_assert!(model.is_up[endpoint]);
                    prop_assert!(model.loads[endpoint] <= model.bound(endpoint));
                }
            }
        }
    }

    fn of_body(key: Key, head: &Parts, body: &BodyKeys) -> Option<u64> {
        key.of(Caller {
            headers: &head.headers,
            extensions: &head.extensions,
            body,
            wanted: None,
        })
    }

    fn of(key: Key, head: http::request::Builder) -> Option<u64> {
        let (head, ()) = head.body(()).unwrap().into_parts();
        of_body(key, &head, &BodyKeys::default())
    }

    fn by_header(values: &[&str]) -> Option<u64> {
        let key = Key::new(&HashKey::Header("X-Session".into())).unwrap();
        let head = values.iter().fold(Request::builder(), |head, value| {
            head.header("x-session", *value)
        });
        of(key, head.header("x-other", "o"))
    }

    #[test]
    fn a_headers_values_are_a_key() {
        assert_eq!(by_header(&["a"]), Some(hash(0, b"a")));
        assert_ne!(by_header(&["a"]), by_header(&["b"]));
        assert_ne!(by_header(&["a", "b"]), by_header(&["b", "a"]));
        assert_ne!(by_header(&["a", "b"]), by_header(&["a"]));
        assert_eq!(by_header(&["a", "b"]), by_header(&["a, b"]));
        assert_eq!(by_header(&[]), None);
        assert_eq!(by_header(&[""]), None);
        assert!(Key::new(&HashKey::Header("no name".into())).is_none());
    }

    #[test]
    fn a_clients_address_is_a_key_without_its_port() {
        let socket = |text: &str| {
            let addr: SocketAddr = text.parse().unwrap();
            of(Key::ClientAddr, Request::builder().extension(addr))
        };
        let ip = |text: &str| {
            let addr: IpAddr = text.parse().unwrap();
            of(Key::ClientAddr, Request::builder().extension(addr))
        };
        assert!(socket("10.0.0.1:80").is_some());
        assert_eq!(socket("10.0.0.1:80"), socket("10.0.0.1:81"));
        assert_eq!(socket("10.0.0.1:80"), ip("10.0.0.1"));
        assert_eq!(socket("[::ffff:10.0.0.1]:80"), ip("10.0.0.1"));
        assert_ne!(ip("10.0.0.1"), ip("10.0.0.2"));
        assert_eq!(socket("[2001:db8::1]:80"), ip("2001:db8::1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8::2"));
        assert_eq!(of(Key::ClientAddr, Request::builder()), None);
    }

    #[test]
    fn keys_of_a_body_are_those_that_were_read() {
        let (head, ()) = Request::new(()).into_parts();
        let body = BodyKeys {
            user: Some(1),
            session_id: Some(2),
            stream: false,
            tokens: None,
            conversation: b"conversation".to_vec(),
        };
        assert_eq!(of_body(Key::User, &head, &body), Some(1));
        assert_eq!(of_body(Key::SessionId, &head, &body), Some(2));
        assert_eq!(
            of_body(Key::Prefix(4), &head, &body),
            Some(hash(0, b"conv"))
        );
        assert_eq!(
            of_body(Key::Prefix(99), &head, &body),
            Some(hash(0, b"conversation"))
        );
        for key in [Key::User, Key::SessionId, Key::Prefix(4)] {
            assert!(!key.needed_keys().is_none());
            assert_eq!(of_body(key, &head, &BodyKeys::default()), None);
        }
    }
}
