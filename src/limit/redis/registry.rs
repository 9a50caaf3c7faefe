//! One store for each address and password, whatever names them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, Weak},
};

use super::store::RedisStore;
use crate::{
    config::{RateLimit, Secret},
    limit::{shared::SharedStore, store::LimitStore},
    pieces::lock,
};

type Named = (String, Option<Secret>);

/// The stores in use: a table that is reloaded finds that of the table before.
static STORES: OnceLock<Mutex<HashMap<Named, Known>>> = OnceLock::new();

/// The two ways to one store, which live as long as either.
type Known = (Weak<SharedStore>, Weak<RedisStore>);

/// The store that this limit names, if it names one.
pub(crate) fn store_of(limit: &RateLimit) -> Option<Arc<SharedStore>> {
    let named = (limit.get_redis()?.to_owned(), limit.secret().cloned());
    opened(named).map(|(store, _)| store)
}

/// The store with this address; `None` if it is not valid.
pub(super) fn opened(named: Named) -> Option<(Arc<SharedStore>, Arc<RedisStore>)> {
    let mut stores = lock(STORES.get_or_init(Mutex::default));
    if let Some((shared, redis)) = stores.get(&named)
        && let (Some(shared), Some(redis)) = (shared.upgrade(), redis.upgrade())
    {
        return Some((shared, redis));
    }
    let (address, password) = &named;
    let redis = match password {
        Some(password) => RedisStore::with_password(address, password.reveal()),
        None => RedisStore::new(address),
    };
    let redis = Arc::new(redis.ok()?);
    let shared = SharedStore::new(Arc::clone(&redis) as Arc<dyn LimitStore>);
    stores.retain(|_, (store, _)| store.strong_count() > 0);
    stores.insert(named, (Arc::downgrade(&shared), Arc::downgrade(&redis)));
    Some((shared, redis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Per;

    #[test]
    fn an_address_has_one_store_as_long_as_it_is_used() {
        let at = |address: &str| RateLimit::requests(1, Per::Day).redis(address);
        let limit = at("registry.test:6379");
        let first = store_of(&limit).unwrap();
        assert!(Arc::ptr_eq(&first, &store_of(&limit).unwrap()));
        let others = [
            at("other.test:6379"),
            limit.clone().redis_password("one"),
            limit.clone().redis_password("another"),
        ]
        .map(|limit| store_of(&limit).unwrap());
        for (position, other) in others.iter().enumerate() {
            let before = others.iter().take(position).chain([&first]);
            assert!(before.into_iter().all(|store| !Arc::ptr_eq(store, other)));
        }
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none());
        assert!(store_of(&limit).is_some());
        assert!(store_of(&RateLimit::requests(1, Per::Day)).is_none());
    }
}
