//! The ring of consistent hashing.
//!
//! It is our own, because its contract is ours: points in proportion to weights, a bounded number of
//! them, and the same points for an endpoint in every process and after every reload.

use crate::model::hash;

/// Points of an endpoint of weight 1: shares then differ by a tenth or so.
const POINTS: u64 = 128;
/// The most points of a ring (in addition to one for each endpoint).
const MOST_POINTS: u64 = 1 << 17;

/// Points on a circle, each with its owner; a key belongs to the next one.
///
/// Point `k` of an endpoint is the hash of its URI with the seed `k`, and so
/// depends on nothing else. An endpoint has [`POINTS`] times its weight points;
/// if the total is too large, every endpoint's number is divided by the same
/// power of two. Adding or removing an endpoint therefore moves only that
/// endpoint's keys, unless the ring crosses such a limit: the first is 1,024
/// endpoints of weight 1.
#[derive(Debug)]
pub(super) struct Ring {
    /// Sorted.
    points: Box<[u64]>,
    owners: Box<[u32]>,
}

impl Ring {
    /// `endpoints` are their URIs and weights.
    pub(super) fn new(endpoints: &[(&str, u32)]) -> Self {
        let weight: u64 = endpoints.iter().map(|&(_, weight)| u64::from(weight)).sum();
        let wanted = u128::from(weight) * u128::from(POINTS);
        let excess = (0..)
            .find(|&excess| wanted >> excess <= u128::from(MOST_POINTS))
            .unwrap_or(0);
        let mut ring: Vec<(u64, u32)> = (0..)
            .zip(endpoints)
            .flat_map(|(owner, &(uri, weight))| {
                let points = ((u64::from(weight) * POINTS) >> excess).max(1);
                (0..points).map(move |point| (hash(point, uri.as_bytes()), owner))
            })
            .collect();
        ring.sort_unstable();
        Self {
            points: ring.iter().map(|&(point, _)| point).collect(),
            owners: ring.iter().map(|&(_, owner)| owner).collect(),
        }
    }

    /// The owners of the points from `key` on, once around.
    pub(super) fn from(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = self.points.partition_point(|&point| point < key);
        let (before, after) = self.owners.split_at(start);
        after.iter().chain(before).map(|&owner| owner as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: u64 = 20_000;

    fn keys() -> impl Iterator<Item = u64> {
        (0..KEYS).map(|key| hash(0, &key.to_le_bytes()))
    }

    /// To whom each key belongs.
    fn map(endpoints: &[(String, u32)]) -> Vec<String> {
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(uri, weight)| (&**uri, *weight))
            .collect();
        let ring = Ring::new(&endpoints);
        keys()
            .map(|key| endpoints[ring.from(key).next().unwrap()].0.to_owned())
            .collect()
    }

    fn endpoints() -> impl Strategy<Value = Vec<(String, u32)>> {
        prop::collection::vec(1..5_u32, 2..20).prop_map(|weights| {
            let uri = |i| format!("http://10.0.0.{i}:8000");
            (0..)
                .zip(weights)
                .map(|(i, weight)| (uri(i), weight))
                .collect()
        })
    }

    #[test]
    fn the_hash_is_xxh64() {
        // From the specification's test vectors.
        assert_eq!(hash(0, b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash(0, b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(hash(0, b"abc"), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn gateways_of_all_versions_agree() {
        let endpoints = ["http://a:8000", "http://b:8000", "http://c:8000"].map(|uri| (uri, 1));
        let ring = Ring::new(&endpoints);
        let owners: Vec<_> = (0..16_u8)
            .map(|key| ring.from(hash(0, &[key])).next().unwrap())
            .collect();
        assert_eq!(owners, PINNED);
    }

    /// If this changes, every conversation moves.
    const PINNED: [usize; 16] = [2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 0, 2, 0, 0, 2, 0];

    #[test]
    fn a_walk_meets_everyone() {
        let ring = Ring::new(&[("http://a", 1), ("http://b", 50), ("http://c", 1)]);
        for key in keys().take(100) {
            let walk: Vec<_> = ring.from(key).collect();
            assert_eq!(walk.len(), ring.points.len());
            assert!((0..3).all(|owner| walk.contains(&owner)));
        }
        assert_eq!(Ring::new(&[]).from(1).next(), None);
    }

    #[test]
    fn the_number_of_points_is_bounded() {
        let uris: Vec<String> = (0..100).map(|i| format!("http://h{i}")).collect();
        let endpoints: Vec<_> = uris.iter().map(|uri| (&**uri, u32::MAX)).collect();
        let points = Ring::new(&endpoints).points.len() as u64;
        assert!(
            points > MOST_POINTS / 2 && points <= MOST_POINTS,
            "{points}"
        );
        let one_light = Ring::new(&[("http://a", 1), ("http://b", u32::MAX)]);
        assert!(one_light.owners.contains(&0));
    }

    #[test]
    fn shares_follow_the_weights() {
        let endpoints: Vec<_> = (0..10)
            .map(|i| (format!("http://h{i}"), 1 + i % 3))
            .collect();
        let owners = map(&endpoints);
        let weights: u32 = endpoints.iter().map(|endpoint| endpoint.1).sum();
        for (uri, weight) in endpoints {
            let count = owners.iter().filter(|owner| **owner == uri).count() as f64;
            let expected = KEYS as f64 * f64::from(weight) / f64::from(weights);
            assert!(
                (count / expected - 1.0).abs() < 0.4,
                "{uri}: {count}, {expected}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn one_that_goes_moves_only_its_own_keys(endpoints in endpoints(), gone in any::<prop::sample::Index>()) {
            let before = map(&endpoints);
            let mut left = endpoints.clone();
            let (gone, weight) = left.remove(gone.index(endpoints.len()));
            let mut moved = 0;
            for (before, after) in before.iter().zip(map(&left)) {
                if *before == gone {
                    moved += 1;
                } else {
                    prop_assert_eq!(before, &after);
                }
            }
            let weights: u32 = endpoints.iter().map(|endpoint| endpoint.1).sum();
            let expected = KEYS as f64 * f64::from(weight) / f64::from(weights);
            prop_assert!((0.5..1.6).contains(&(f64::from(moved) / expected)), "{} of {}", moved, expected);
        }

        #[test]
        fn one_that_comes_takes_keys_and_moves_no_other(endpoints in endpoints(), at in any::<prop::sample::Index>()) {
            let before = map(&endpoints);
            let mut more = endpoints.clone();
            more.insert(at.index(endpoints.len()), ("http://new".to_owned(), 2));
            for (before, after) in before.iter().zip(map(&more)) {
                prop_assert!(after == *before || after == "http://new");
            }
        }

        #[test]
        fn the_order_of_the_endpoints_does_not_matter(endpoints in endpoints()) {
            let mut reversed = endpoints.clone();
            reversed.reverse();
            prop_assert_eq!(map(&endpoints), map(&reversed));
        }
    }
}
