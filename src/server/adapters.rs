//! What is known about the models and adapters that an endpoint serves.
//!
//! It is learned from answers, polled, read from metrics, or recorded when an adapter is loaded.
//! Nothing is known about most endpoints: then a request reads at most one pointer.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use crate::pieces::{later, lock};

/// How long an endpoint is passed over for a model that it says it does not have.
const MARKED: Duration = Duration::from_secs(60);
/// A mark that is younger is not written anew.
const YOUNG: Duration = Duration::from_secs(1);
/// How long a report of the adapters that are active holds.
const REPORTED: Duration = Duration::from_secs(2);
/// The most names that are kept of each kind.
const MAX_NAMES: usize = 1024;

/// What an endpoint serves, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Adapters {
    known: ArcSwapOption<ServedNames>,
    /// Held while `known` is replaced; the flags of the ModelServers that have the endpoint.
    servers: Mutex<Vec<Weak<AtomicBool>>>,
}

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServedNames {
    /// What was learned from answers and load calls.
    learned: HashMap<Arc<str>, Learned>,
    list: Option<Arc<List>>,
    active: Option<Arc<Active>>,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    has: bool,
    at: Instant,
}

/// What the endpoint has listed.
#[derive(Debug)]
struct List {
    names: HashSet<Box<str>>,
    /// Whether these are all.
    is_whole: bool,
    until: Instant,
}

/// The adapters that are active.
#[derive(Debug)]
struct Active {
    names: HashSet<Box<str>>,
    max: usize,
    until: Instant,
}

/// How well an endpoint suits an adapter, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suit {
    Lacks,
    Unknown,
    Has,
    /// It has room for one more active adapter.
    HasRoom,
    /// The adapter is active there.
    IsActive,
}

impl Adapters {
    /// The ModelServer with this flag has the endpoint: it is set as soon as anything is known.
    pub(super) fn tell(&self, flag: &Arc<AtomicBool>) {
        let mut servers = lock(&self.servers);
        servers.retain(|known| known.strong_count() > 0);
        if !servers
            .iter()
            .any(|known| known.as_ptr() == Arc::as_ptr(flag))
        {
            servers.push(Arc::downgrade(flag));
        }
        if self.known.load().is_some() {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// What is known now, if anything is.
    pub(crate) fn known(&self) -> Option<Arc<ServedNames>> {
        self.known.load_full()
    }

    /// Whether it may serve this model: it is not known to lack it.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let known = self.known.load();
        known
            .as_deref()
            .is_none_or(|known| known.has(name, Instant::now()) != Some(false))
    }

    /// How well it suits this model.
    pub(super) fn suit(&self, name: &str, is_adapter: bool) -> Suit {
        let known = self.known.load();
        known.as_deref().map_or(Suit::Unknown, |known| {
            known.suit(name, is_adapter, Instant::now())
        })
    }

    /// It has said that it does not have this model.
    pub(crate) fn lacks(&self, name: &str) {
        self.learn(name, false);
    }

    /// It has loaded this adapter.
    pub(crate) fn has(&self, name: &str) {
        self.learn(name, true);
    }

    /// It has served this model, so that no mark of it holds.
    pub(crate) fn serves(&self, name: &str) {
        let known = self.known.load();
        let learned = known.as_deref().and_then(|known| known.learned.get(name));
        if learned.is_some_and(|learned| !learned.has) {
            self.learn(name, true);
        }
    }

    fn learn(&self, name: &str, has: bool) {
        let now = Instant::now();
        let is_learned = |known: &ServedNames| {
            known.learned.get(name).is_some_and(|learned| {
                learned.has == has && now.saturating_duration_since(learned.at) < YOUNG
            })
        };
        if self.known.load().as_deref().is_some_and(is_learned) {
            return;
        }
        self.change(|known| {
            known.learned.insert(name.into(), Learned { has, at: now });
            if known.learned.len() > MAX_NAMES {
                let oldest = known.learned.iter().min_by_key(|(_, learned)| learned.at);
                if let Some(oldest) = oldest.map(|(name, _)| Arc::clone(name)) {
                    known.learned.remove(&oldest);
                }
            }
        });
    }

    /// It was asked for its models at `asked`, and has these; that holds for `fresh`.
    pub(crate) fn listed<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        asked: Instant,
        fresh: Duration,
    ) {
        let mut names = names;
        let kept: HashSet<Box<str>> = names.by_ref().take(MAX_NAMES).map(Box::from).collect();
        let list = List {
            names: kept,
            is_whole: names.next().is_none(),
            until: later(Instant::now(), fresh),
        };
        self.change(|known| {
            known.learned.retain(|_, learned| learned.at > asked);
            known.list = Some(Arc::new(list));
        });
    }

    /// These adapters are active, of `max` that may be.
    pub(crate) fn reported<'n>(&self, active: impl Iterator<Item = &'n str>, max: usize) {
        let active = Active {
            names: active.take(MAX_NAMES).map(Box::from).collect(),
            max,
            until: later(Instant::now(), REPORTED),
        };
        self.change(|known| known.active = Some(Arc::new(active)));
    }

    fn change(&self, change: impl FnOnce(&mut ServedNames)) {
        let servers = lock(&self.servers);
        let mut known = self.known.load().as_deref().cloned().unwrap_or_default();
        change(&mut known);
        self.known.store(Some(Arc::new(known)));
        for flag in servers.iter().filter_map(Weak::upgrade) {
            flag.store(true, Ordering::Relaxed);
        }
    }
}

impl ServedNames {
    /// Whether the endpoint has this model, if that is known.
    fn has(&self, name: &str, now: Instant) -> Option<bool> {
        if let Some(learned) = self.learned.get(name)
            && (learned.has || learned.holds(now))
        {
            return Some(learned.has);
        }
        let list = self.list.as_deref().filter(|list| now < list.until)?;
        match list.names.contains(name) {
            true => Some(true),
            false => list.is_whole.then_some(false),
        }
    }

    fn suit(&self, name: &str, is_adapter: bool, now: Instant) -> Suit {
        let has = self.has(name, now);
        if has == Some(false) {
            return Suit::Lacks;
        }
        let active = self.active.as_deref().filter(|active| now < active.until);
        match active {
            Some(active) if active.names.contains(name) => Suit::IsActive,
            Some(active) if is_adapter && active.names.len() < active.max => Suit::HasRoom,
            _ if has == Some(true) => Suit::Has,
            _ => Suit::Unknown,
        }
    }

    /// Whether the endpoint has this model now, if that is known.
    pub(crate) fn has_now(&self, name: &str) -> Option<bool> {
        self.has(name, Instant::now())
    }

    /// For how long the endpoint is still passed over because it has said that it does not have this
    /// model.
    pub(crate) fn marked_for(&self, name: &str) -> Option<Duration> {
        let learned = self.learned.get(name).filter(|learned| !learned.has)?;
        let now = Instant::now();
        let left = MARKED.checked_sub(now.saturating_duration_since(learned.at))?;
        (!left.is_zero()).then_some(left)
    }
}

impl Learned {
    fn holds(self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < MARKED
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn names<'n>(names: &'n [&'n str]) -> impl Iterator<Item = &'n str> {
        names.iter().copied()
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_holds_for_a_minute_or_until_the_model_is_served() {
        let endpoint = Adapters::default();
        assert!(endpoint.may_have("a") && endpoint.known().is_none());
        endpoint.lacks("a");
        assert!(!endpoint.may_have("a") && endpoint.may_have("b"));
        advance(MARKED - Duration::from_millis(1)).await;
        assert!(!endpoint.may_have("a"));
        advance(Duration::from_millis(1)).await;
        assert!(endpoint.may_have("a"));
        endpoint.lacks("a");
        endpoint.serves("a");
        endpoint.serves("b");
        assert_eq!(endpoint.suit("a", true), Suit::Has);
        assert_eq!(endpoint.suit("b", true), Suit::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_listed_lacks_while_the_list_is_fresh() {
        let endpoint = Adapters::default();
        let fresh = Duration::from_secs(10);
        endpoint.lacks("a");
        advance(Duration::from_secs(1)).await;
        let asked = Instant::now();
        advance(Duration::from_secs(1)).await;
        endpoint.has("new");
        endpoint.listed(names(&["a", "base"]), asked, fresh);
        assert_eq!(endpoint.suit("a", true), Suit::Has);
        assert_eq!(endpoint.suit("new", true), Suit::Has);
        assert_eq!(endpoint.suit("b", true), Suit::Lacks);
        // What it says later is newer.
        endpoint.lacks("a");
        assert_eq!(endpoint.suit("a", true), Suit::Lacks);
        advance(fresh).await;
        assert_eq!(endpoint.suit("b", true), Suit::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn active_then_room_then_loadable() {
        let endpoint = Adapters::default();
        endpoint.reported(names(&["a"]), 2);
        assert_eq!(endpoint.suit("a", true), Suit::IsActive);
        assert_eq!(endpoint.suit("b", true), Suit::HasRoom);
        // A base model needs no room.
        assert_eq!(endpoint.suit("base", false), Suit::Unknown);
        endpoint.lacks("b");
        assert_eq!(endpoint.suit("b", true), Suit::Lacks);
        endpoint.reported(names(&["a", "c"]), 2);
        assert_eq!(endpoint.suit("d", true), Suit::Unknown);
        advance(REPORTED).await;
        assert_eq!(endpoint.suit("a", true), Suit::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_bounded_and_the_oldest_goes() {
        let endpoint = Adapters::default();
        for i in 0..MAX_NAMES + 10 {
            endpoint.lacks(&i.to_string());
            advance(Duration::from_millis(1)).await;
        }
        assert!(endpoint.may_have("0") && endpoint.may_have("9"));
        assert!(!endpoint.may_have("10"));
        let many: Vec<String> = (0..5000).map(|i| format!("n{i}")).collect();
        let fresh = Duration::from_secs(10);
        endpoint.listed(many.iter().map(|name| &**name), Instant::now(), fresh);
        let known = endpoint.known().unwrap();
        assert!(known.list.as_ref().unwrap().names.len() == MAX_NAMES);
        // A list that was cut says nothing about what is not in it.
        assert_eq!(endpoint.suit("n4999", true), Suit::Unknown);
        assert_eq!(endpoint.suit("n1", true), Suit::Has);
    }

    #[test]
    fn a_server_is_told_whichever_comes_first() {
        let endpoint = Adapters::default();
        let flags: [Arc<AtomicBool>; 2] = Default::default();
        endpoint.tell(&flags[0]);
        endpoint.tell(&flags[0]);
        assert!(!flags[0].load(Ordering::Relaxed));
        endpoint.lacks("a");
        endpoint.tell(&flags[1]);
        assert!(flags.iter().all(|flag| flag.load(Ordering::Relaxed)));
        assert_eq!(lock(&endpoint.servers).len(), 2);
    }
}
