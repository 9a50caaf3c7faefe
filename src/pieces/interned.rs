//! Strings that many requests share.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex},
};

use bytes::Bytes;

use super::lock::lock;

/// This many strings are kept forever, of at most this many bytes each: 1 MiB in
/// all.
const MOST: usize = 4096;
const LONGEST: usize = 256;

/// The string, as bytes whose clones count no references.
///
/// What is the same in all requests, such as an endpoint's Host, is cloned for each. A reference
/// count would be written by all cores in turn, twice a request: on one core that costs 10 ns, on
/// many the cores contend for the cache line. So the first strings of a process are kept forever;
/// those beyond the bound are shared as usual.
pub(crate) fn interned(text: &str) -> Bytes {
    static KEPT: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut kept = lock(&KEPT);
    match kept.get(text) {
        Some(kept) => Bytes::from_static(kept.as_bytes()),
        None if text.len() <= LONGEST && kept.len() < MOST => {
            let text: &'static str = Box::leak(text.into());
            kept.insert(text);
            Bytes::from_static(text.as_bytes())
        }
        None => Bytes::copy_from_slice(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_kept_once() {
        let (once, again) = (interned("http://e0:8000"), interned("http://e0:8000"));
        assert_eq!(once, "http://e0:8000");
        assert_eq!(once.as_ptr(), again.as_ptr());
    }

    #[test]
    fn a_long_text_is_not_kept() {
        let text = "a".repeat(LONGEST + 1);
        assert_eq!(interned(&text), text);
        assert_ne!(interned(&text).as_ptr(), interned(&text).as_ptr());
    }
}
