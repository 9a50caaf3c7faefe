//! Which buckets fit into one call.

use std::iter;

use crate::limit::store::StoreTake;

/// What Redis Cluster hashes for its slots: the part of a key in its first braces, or all of it
/// (Redis Cluster specification, "Hash tags").
pub(super) fn slot(key: &str) -> &str {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    match tag {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => key,
    }
}

/// A call whose keys are in several slots would be refused with `CROSSSLOT`.
pub(super) fn in_one_slot(one: &StoreTake, other: &StoreTake) -> bool {
    slot(&one.key) == slot(&other.key)
}

/// A part for each slot.
pub(super) fn by_slot<T>(
    mut items: Vec<T>,
    key: impl Fn(&T) -> &str,
) -> impl Iterator<Item = Vec<T>> {
    items.sort_by(|one, other| slot(key(one)).cmp(slot(key(other))));
    iter::from_fn(move || {
        let last = slot(key(items.last()?));
        let start = items.partition_point(|item| slot(key(item)) < last);
        Some(items.split_off(start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_route_are_in_one_slot_and_kthenas_are_not() {
        for (key, expected) in [
            ("tower-model-route:limit:{a/b}:requests:day", "a/b"),
            ("tower-model-route:limit:{a/b}:requests:day:key:{c}", "a/b"),
            ("kthena:ratelimit:m:input", "kthena:ratelimit:m:input"),
            (
                "kthena:ratelimit:{}{m}:input",
                "kthena:ratelimit:{}{m}:input",
            ),
            ("{a", "{a"),
            ("a}b{c}", "c"),
        ] {
            assert_eq!(slot(key), expected);
        }
    }
}
