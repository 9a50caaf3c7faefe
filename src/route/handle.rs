//! A table that can be replaced while requests are under way.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::SystemTime,
};

use arc_swap::ArcSwap;

use super::table::{CompiledTable, RouteTable};
use crate::pieces::lock;

/// A [`RouteTable`] that can be replaced under load.
///
/// It goes into [`ModelRouteLayer::new`](crate::ModelRouteLayer::new) in place
/// of a table. Clones share one table: keep one to
/// [`replace`](Self::replace) it.
#[derive(Clone)]
pub struct RouteTableHandle(Arc<Current>);

struct Current {
    table: ArcSwap<CompiledTable>,
    /// The result of the last reload. Its lock is held while the table is replaced, so
    /// that concurrent reloads can't carry over state from a table already replaced.
    status: Mutex<Status>,
}

#[derive(Default)]
struct Status {
    reloaded: Option<SystemTime>,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

impl RouteTableHandle {
    /// A handle whose first table is `table`.
    pub fn new(table: RouteTable) -> Self {
        Self(Arc::new(Current {
            table: ArcSwap::new(table.into_compiled()),
            status: Mutex::default(),
        }))
    }

    /// Replaces the current table with `table`, for every request from now on.
    ///
    /// Requests already sent continue with their old table. Those that wait in a
    /// ModelServer's queue get its endpoints in the new one. The live state of
    /// unchanged parts is preserved: endpoints with the same URI keep their counts and
    /// health, and a ModelServer of the same name its queue; a rule of the same name in a
    /// route of the same name, with the same targets, keeps its picks and, with the same
    /// weights, the position of its split. So does the retry budget, unless either table
    /// configured its own. A removed endpoint gets no new requests and finishes those in
    /// flight.
    ///
    /// Takes time linear in the size of the table; requests are not blocked
    /// meanwhile.
    pub fn replace(&self, table: RouteTable) {
        let mut status = self.status();
        let mut compiled = Arc::unwrap_or_clone(table.into_compiled());
        compiled.carry_over(&self.load());
        let compiled = Arc::new(compiled);
        self.0.table.store(Arc::clone(&compiled));
        compiled.wake_waiting();
        *status = Status {
            reloaded: Some(SystemTime::now()),
            error: None,
        };
    }

    /// Records a failed reload and its reason. The current table stays in use.
    ///
    /// [`last_error`](Self::last_error) returns the reason until a table is replaced.
    pub fn failed(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        self.status().error = Some(error.into().into());
    }

    /// Records that there is nothing to reload: what failed before is over.
    #[cfg(feature = "watch")]
    pub(crate) fn unchanged(&self) {
        self.status().error = None;
    }

    /// Why the last reload failed; `None` if it succeeded or no reload has happened yet.
    pub fn last_error(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        self.status().error.clone()
    }

    /// When the table was last replaced, if it ever was.
    pub fn last_reload(&self) -> Option<SystemTime> {
        self.status().reloaded
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.0.status)
    }

    /// The current table.
    pub fn table(&self) -> RouteTable {
        RouteTable::from_compiled(self.load())
    }

    pub(crate) fn load(&self) -> Arc<CompiledTable> {
        self.0.table.load_full()
    }
}

impl From<RouteTable> for RouteTableHandle {
    fn from(table: RouteTable) -> Self {
        Self::new(table)
    }
}

impl fmt::Debug for RouteTableHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteTableHandle")
            .field(&self.table())
            .finish()
    }
}
