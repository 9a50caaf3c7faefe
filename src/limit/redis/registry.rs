//! One store for each address, whatever names it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, Weak},
};

use super::store::RedisStore;
use crate::{limit::shared::SharedStore, pieces::lock};

/// The stores in use: a table that is reloaded finds that of the table before.
static STORES: OnceLock<Mutex<HashMap<String, Weak<SharedStore>>>> = OnceLock::new();

/// The store at this `host:port`; `None` if that is none.
pub(crate) fn store_at(address: &str) -> Option<Arc<SharedStore>> {
    let mut stores = lock(STORES.get_or_init(Mutex::default));
    if let Some(store) = stores.get(address).and_then(Weak::upgrade) {
        return Some(store);
    }
    let store = RedisStore::new(address).ok()?;
    let store = SharedStore::new(Arc::new(store));
    stores.retain(|_, store| store.strong_count() > 0);
    stores.insert(address.to_owned(), Arc::downgrade(&store));
    Some(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_store_as_long_as_it_is_used() {
        let address = "registry.test:6379";
        let first = store_at(address).unwrap();
        assert!(Arc::ptr_eq(&first, &store_at(address).unwrap()));
        assert!(!Arc::ptr_eq(&first, &store_at("other.test:6379").unwrap()));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none());
        assert!(store_at(address).is_some());
    }
}
