//! The observer that keeps the last minute.

use std::{
    fmt,
    sync::{Arc, Mutex, TryLockError},
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::time::Instant;

use super::{
    figures::Figures,
    ring::{Ring, Slot},
    rows::Rows,
};
use crate::{
    observe::{
        facts::{EndFacts, LimitFacts, RequestFacts},
        observer::Observer,
    },
    route::RouteTableHandle,
};

/// An observer that keeps what the gateway has done in the last minute, for the page of
/// [`Admin`](crate::Admin): give it to the layer and to the view.
///
/// ```
/// use tower_model_route::{ModelRouteLayer, Recent, RouteTable, RouteTableHandle};
///
/// # fn main() -> Result<(), tower_model_route::BuildError> {
/// # let table = RouteTable::builder().build()?;
/// let table = RouteTableHandle::new(table);
/// let recent = Recent::new(&table);
/// let layer = ModelRouteLayer::new(table).observer(recent.clone());
/// let admin = layer.admin().recent(recent);
/// # let _ = admin;
/// # Ok(())
/// # }
/// ```
///
/// For all requests, and for each route and ModelServer that had any, it has: requests a second,
/// the 50th, 90th and 99th percentile of the time to the head of the engine's answer and to the
/// first token of its stream, input and output tokens a second, errors by code
/// ([`EndFacts::error_code`]), and the decisions of each limit. A request counts when it has
/// ended.
///
/// *How exact.* The last minute is kept in slots of 10 s: it covers the last 60 to 70 s, and rates
/// use the time really covered. Durations are counted in buckets: a percentile is off by at most a
/// sixteenth (6.25 %), or by 32 µs if that is more; anything longer than 71 minutes is shown as 71
/// minutes. Tokens are exact if the engine reported them at the end of its answer, and otherwise
/// estimated, as [`EndFacts::output_tokens`] says.
///
/// *What it costs.* Memory depends on the table and not on what clients send: the names of unknown
/// models are not kept. A route or ModelServer takes up to about 20 KiB, but only a few words while
/// it has no requests. What a reload removes is dropped. The cost of a request does not depend on
/// the table's size, except for the first one after a reload, and it waits for no lock.
///
/// Clones share what is kept.
#[derive(Clone)]
pub struct Recent(Arc<Kept>);

struct Kept {
    table: RouteTableHandle,
    begun: Instant,
    all: Ring<Figures>,
    /// Of requests that no route has been found for.
    unrouted: Ring<Figures>,
    rows: ArcSwap<Rows>,
    making: Mutex<()>,
}

impl Recent {
    /// Records the requests that are routed by `table`, from now on.
    pub fn new(table: &RouteTableHandle) -> Self {
        Self(Arc::new(Kept {
            table: table.clone(),
            begun: Instant::now(),
            all: Ring::default(),
            unrouted: Ring::default(),
            rows: ArcSwap::default(),
            making: Mutex::default(),
        }))
    }

    pub(super) fn all(&self) -> &Ring<Figures> {
        &self.0.all
    }

    pub(super) fn unrouted(&self) -> &Ring<Figures> {
        &self.0.unrouted
    }

    /// The rows of the current table.
    pub(super) fn rows(&self) -> Guard<Arc<Rows>> {
        let Kept {
            table,
            rows,
            making,
            ..
        } = &*self.0;
        let known = rows.load();
        if table.is(&known.table) {
            return known;
        }
        let _making = match making.try_lock() {
            Ok(making) => making,
            Err(TryLockError::Poisoned(making)) => making.into_inner(),
            // Requests that end while they are built use the previous ones.
            Err(TryLockError::WouldBlock) => return known,
        };
        let known = rows.load();
        if !table.is(&known.table) {
            rows.store(Arc::new(Rows::new(&table.load(), &known)));
        }
        rows.load()
    }

    /// How long it has been kept at this moment.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0.begun)
    }

    fn slot(&self, now: Instant) -> Slot {
        Slot::at(self.age(now))
    }
}

impl Observer for Recent {
    fn limited(&self, _: &RequestFacts, limit: &LimitFacts<'_>) {
        let rows = self.rows();
        let row = rows.routes.get(limit.route());
        if let Some(known) = row.and_then(|row| row.limit(limit.name())) {
            let verdict = limit.verdict();
            known.count(self.slot(Instant::now()), |known| known.count(verdict));
        }
    }

    fn ended(&self, end: &EndFacts<'_>) {
        let slot = self.slot(end.request().begun + end.times().total);
        let count = |row: &Ring<Figures>| row.count(slot, |figures| figures.count(end));
        count(self.all());
        let rows = self.rows();
        match end.route().map(|route| rows.routes.get(route)) {
            None => count(self.unrouted()),
            Some(Some(row)) => count(&row.figures),
            // A reload has taken it away.
            Some(None) => {}
        }
        let server = end.decision().map(|decision| decision.model_server());
        if let Some(row) = server.and_then(|server| rows.servers.get(server)) {
            count(row);
        }
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}
