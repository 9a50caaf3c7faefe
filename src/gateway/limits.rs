//! What a request takes from the limits of its route.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{StatusCode, request::Parts};
use tracing::warn;

use super::authorize::RuleMatch;
use crate::{
    config::LimitKey,
    events::Made,
    limit::{
        Asked, BYTES_PER_TOKEN, Estimate, LimitStore, LiveLimit, Pending, Refusal, Reservation,
        SharedStore, Spent, Used,
    },
    observe::{EndFacts, EndKind, Settle},
    server::Server,
};

/// The layer's options of limits.
#[derive(Clone, Debug)]
pub(super) struct LimitOptions {
    keys: Vec<NamedKey>,
    /// Takes the place of memory and of what limits say themselves.
    store: Option<Arc<SharedStore>>,
    /// Whether answers say what is left.
    pub(super) says_what_is_left: bool,
    has_warned: Arc<AtomicBool>,
}

#[derive(Clone)]
struct NamedKey {
    name: Arc<str>,
    of: Arc<KeyFn>,
}

type KeyFn = dyn Fn(&Parts, &RuleMatch<'_>) -> Option<String> + Send + Sync;

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            store: None,
            says_what_is_left: true,
            has_warned: Arc::default(),
        }
    }
}

impl LimitOptions {
    pub(super) fn add_key(
        &mut self,
        name: String,
        of: impl Fn(&Parts, &RuleMatch<'_>) -> Option<String> + Send + Sync + 'static,
    ) {
        self.keys.retain(|key| *key.name != *name);
        self.keys.push(NamedKey {
            name: name.into(),
            of: Arc::new(of),
        });
    }

    pub(super) fn set_store(&mut self, store: Arc<dyn LimitStore>) {
        self.store = Some(SharedStore::new(store));
    }

    /// Reserves what a request asks of the `limits` of its route.
    pub(super) fn reserve(
        &self,
        limits: &[Arc<LiveLimit>],
        head: &Parts,
        to: &RuleMatch<'_>,
        server: &Server,
        estimate: &Estimate,
    ) -> Result<Result<Reservation, Box<Refusal>>, Pending> {
        let keyed = limits.iter().filter_map(|limit| {
            let key = self.key(limit.config.get_key(), head, to)?;
            Some((limit, key))
        });
        Asked::new(keyed, self.store.as_ref(), server.estimates(), estimate).reserve()
    }

    /// The request's key; `None` if the limit is not for it.
    fn key<'a>(&self, key: &LimitKey, head: &'a Parts, to: &RuleMatch<'_>) -> Option<Cow<'a, str>> {
        match key {
            LimitKey::Route => Some(Cow::default()),
            LimitKey::Header(name) => {
                let value = head.headers.get(name);
                Some(value.map_or_else(Cow::default, |value| {
                    String::from_utf8_lossy(value.as_bytes())
                }))
            }
            LimitKey::Named(name) => match self.keys.iter().find(|key| *key.name == **name) {
                Some(key) => (key.of)(head, to).map(Cow::Owned),
                None => {
                    self.warn_unknown(name);
                    Some(Cow::default())
                }
            },
        }
    }

    fn warn_unknown(&self, name: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(
                target: "tower_model_route::config",
                key = name,
                "the ModelRouteLayer has no `limit_key` of this name: all requests share the limit",
            );
        }
    }
}

impl fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedKey").field(&self.name).finish()
    }
}

/// Settles what a request has taken when it ends.
pub(super) struct Settling {
    reservation: Reservation,
    estimate: Estimate,
    made: Made,
    /// Whether the balance of its ModelServer learns from it.
    learns: bool,
}

impl Settling {
    pub(super) fn new(
        reservation: Reservation,
        estimate: Estimate,
        made: Made,
        learns: bool,
    ) -> Self {
        Self {
            reservation,
            estimate,
            made,
            learns,
        }
    }

    fn used(&self, end: &EndFacts<'_>) -> Used {
        let (input, output) = end.totals();
        let is_final = is_final(end);
        // A number that is not reported never counts as zero, even if the other
        // is reported.
        Used {
            input: match input {
                Some(input) if is_final => Spent::Known(input),
                _ => Spent::AtLeast(input.unwrap_or(0)),
            },
            output: match output {
                Some(output) if is_final => Spent::Known(output),
                _ => self.counted(end, output.unwrap_or(0)),
            },
        }
    }

    /// The output, of which `known` was seen. A stream has counted events; of an answer in one
    /// piece only its length is known; of one that could not be read, nothing.
    fn counted(&self, end: &EndFacts<'_>, known: u64) -> Spent {
        let has_output = end
            .status()
            .is_some_and(|status| status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS);
        match self.made {
            _ if !has_output => Spent::Known(known),
            Made::Numbers => Spent::Known(known),
            Made::Media => Spent::AtLeast(known),
            Made::Text if !end.is_read() => Spent::AtLeast(known),
            Made::Text if end.is_stream() => Spent::Known(known.max(end.contents())),
            Made::Text => Spent::Known(known.max(end.bytes() / u64::from(BYTES_PER_TOKEN))),
        }
    }
}

/// Whether the engine's report of the usage is final, as it is in an answer in one piece.
fn is_final(end: &EndFacts<'_>) -> bool {
    end.is_final() || (!end.is_stream() && end.kind() == EndKind::Ok)
}

impl Settle for Settling {
    fn reads_answer(&self) -> bool {
        self.learns || self.reservation.holds_tokens()
    }

    fn settle(mut self: Box<Self>, end: &EndFacts<'_>) {
        let is_unused = !end.is_answered() && end.kind() != EndKind::ClientGone;
        let Some(decision) = end.decision().filter(|_| !is_unused) else {
            return self.reservation.refund();
        };
        if is_final(end) {
            let (input, output) = end.totals();
            let estimates = decision.server().estimates();
            estimates.learn(&self.estimate, input, output);
        }
        self.reservation.settle(self.used(end));
    }
}
