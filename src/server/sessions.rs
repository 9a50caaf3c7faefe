//! The sessions of a ModelServer, and the endpoint that each is bound to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::key::{Caller, Keys};
use crate::{
    config::SessionSticky,
    limit::{Bound, SessionStore},
    model::{NeededKeys, hash},
    pieces::{Recent, later, lock},
};

/// How sessions are bound, ready for use.
#[derive(Debug)]
pub(super) struct Sticky {
    keys: Keys,
    pub(super) idle: Duration,
    max: usize,
    /// In the order of the ModelServer's.
    pub(super) endpoints: Box<[Seat]>,
    /// What the names of its sessions begin with where several gateways see them.
    prefix: String,
    pub(super) store: Option<Arc<SessionStore>>,
}

/// An endpoint that sessions can be bound to.
#[derive(Debug)]
pub(super) struct Seat {
    /// Its id in bindings.
    pub(super) id: u64,
    pub(super) uri: Box<str>,
    weight: f64,
}

/// The bindings. They outlive the table, and so refer to endpoints by the hashes of
/// their URIs.
#[derive(Debug)]
pub(super) struct Sessions(Mutex<Recent<Binding>>);

#[derive(Clone, Copy, Debug)]
struct Binding {
    endpoint: u64,
    /// When the store was last told.
    told: Instant,
}

/// The endpoint for a request of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) position: usize,
    pub(super) session: u64,
    pub(super) then: Then,
}

/// What happens to the binding if the request goes there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// It is there already.
    Stays,
    /// It is there from now on, instead of this other endpoint if it was bound.
    Moves(Option<u64>),
    /// Its endpoint has no room for this request.
    IsElsewhere,
}

impl Sticky {
    /// `endpoints` are their URIs and weights.
    pub(super) fn new(config: &SessionSticky, server: &str, endpoints: &[(&str, u32)]) -> Self {
        let seat = |&(uri, weight): &(&str, u32)| Seat {
            id: hash(0, uri.as_bytes()),
            uri: uri.into(),
            weight: f64::from(weight),
        };
        Self {
            keys: Keys::new(config.get_sources()),
            idle: config.get_idle(),
            max: config.get_max_sessions(),
            endpoints: endpoints.iter().map(seat).collect(),
            prefix: format!("tower-model-route:session:{{{server}}}:"),
            store: SessionStore::of(config),
        }
    }

    pub(super) fn needed_keys(&self) -> NeededKeys {
        self.keys.needed()
    }

    /// The session of a request, if it has one.
    pub(super) fn session(&self, caller: Caller<'_>) -> Option<u64> {
        self.keys.find(caller)
    }

    /// The name of a session in the store, which contains nothing that the
    /// client sent.
    pub(super) fn name(&self, session: u64) -> Arc<str> {
        format!("{}{session:016x}", self.prefix).into()
    }

    /// Where a session goes that is bound nowhere: the same for everybody who has these endpoints.
    ///
    /// Weighted rendezvous hashing: of the endpoints that are usable, the one with the highest
    /// `-weight / ln(h)`, where `h` is the hash of the session and the endpoint as a number from 0 to
    /// 1. If one goes or comes, only its own sessions move.
    pub(super) fn home(&self, session: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let endpoints = self.endpoints.iter().enumerate();
        let usable = endpoints.filter(|&(position, _)| usable(position));
        let score = |seat: &Seat| {
            let drawn = hash(session, &seat.id.to_le_bytes());
            let drawn = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
            -seat.weight / drawn.ln()
        };
        let scores = usable.map(|(position, seat)| (position, score(seat)));
        let best = scores.max_by(|(_, one), (_, other)| one.total_cmp(other));
        best.map(|(position, _)| position)
    }

    pub(super) fn position(&self, endpoint: u64) -> Option<usize> {
        self.endpoints.iter().position(|seat| seat.id == endpoint)
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(1)))
    }
}

impl Sessions {
    /// The endpoint that a session is bound to, if it was not idle for too long.
    pub(super) fn of(&self, session: u64) -> Option<u64> {
        let sessions = lock(&self.0);
        let binding = sessions.get(session, Instant::now())?;
        Some(binding.endpoint)
    }

    /// A request of the session goes to the endpoint that it is bound to. Returns whether the store
    /// must be told, so that the binding does not end there.
    pub(super) fn used(&self, session: u64, idle: Duration) -> bool {
        let now = Instant::now();
        let mut sessions = lock(&self.0);
        let Some(binding) = sessions.get_mut(session, now) else {
            return false;
        };
        let is_due = now.saturating_duration_since(binding.told) >= idle / 4;
        if is_due {
            binding.told = now;
        }
        sessions.touch(session, later(now, idle));
        is_due
    }

    pub(super) fn bind(&self, session: u64, endpoint: u64, sticky: &Sticky) {
        let told = Instant::now();
        let mut sessions = lock(&self.0);
        sessions.limit(sticky.max);
        let until = later(told, sticky.idle);
        sessions.put(session, Binding { endpoint, told }, until);
    }
}

/// The endpoint in what a store says.
pub(super) fn endpoint_in(text: &str) -> Option<u64> {
    u64::from_str_radix(text.get(..16)?, 16).ok()
}

impl Bound for Sessions {
    /// Another gateway was faster.
    fn bound(&self, session: u64, to: &str) {
        let mut sessions = lock(&self.0);
        if let (Some(binding), Some(endpoint)) =
            (sessions.get_mut(session, Instant::now()), endpoint_in(to))
        {
            binding.endpoint = endpoint;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HashKey;

    fn sticky(endpoints: &[(&str, u32)]) -> Sticky {
        let config = SessionSticky::new([HashKey::User]);
        Sticky::new(&config, "s", endpoints)
    }

    #[test]
    fn a_home_is_drawn_by_weight_and_moves_with_its_endpoint_alone() {
        let three = sticky(&[("http://a", 1), ("http://b", 2), ("http://c", 1)]);
        let two = sticky(&[("http://b", 2), ("http://a", 1)]);
        let sessions = || (0..4000_u64).map(|session| hash(9, &session.to_le_bytes()));
        let mut counts = [0; 3];
        for session in sessions() {
            let home = three.home(session, |_| true).unwrap();
            counts[home] += 1;
            let without = three.home(session, |position| position != 2).unwrap();
            assert!(home == 2 || home == without);
            // Whatever the order is.
            let other = two.home(session, |_| true).unwrap();
            assert_eq!(three.endpoints[without].uri, two.endpoints[other].uri);
        }
        assert!(
            (850..1150).contains(&counts[0]) && (1850..2150).contains(&counts[1]),
            "{counts:?}"
        );
        assert_eq!(three.home(1, |_| false), None);
    }

    #[test]
    fn what_a_store_says_is_not_trusted() {
        for (text, expected) in [
            ("00000000000000ff http://a", Some(255)),
            ("00000000000000ff", Some(255)),
            ("ff http://a", None),
            ("éééééééééééé", None),
            ("", None),
        ] {
            assert_eq!(endpoint_in(text), expected, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_store_is_told_again_before_it_forgets() {
        let sticky = sticky(&[("http://a", 1)]);
        let sessions = Sessions::default();
        sessions.bind(7, 1, &sticky);
        assert!(!sessions.used(7, sticky.idle));
        tokio::time::advance(sticky.idle / 4).await;
        assert!(sessions.used(7, sticky.idle) && !sessions.used(7, sticky.idle));
        sessions.bound(7, "0000000000000002 http://b");
        assert_eq!(sessions.of(7), Some(2));
        tokio::time::advance(sticky.idle).await;
        assert_eq!(sessions.of(7), None);
        assert!(!sessions.used(7, sticky.idle));
    }
}
