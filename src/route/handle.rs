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
    /// How the last reload went. Held while the table is replaced, so that
    /// none carries over what another replaces.
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

    /// Puts `table` in the place of the one before it, for every request from now on.
    ///
    /// A request that has begun goes on by the table that it began with. What
    /// stays, goes on as it is: of a ModelServer of the same name its queue,
    /// and the counts and the health of the endpoints with the same URI; of a
    /// rule of the same name in a route of the same name, whose targets and
    /// weights are the same, the position of the split. An endpoint that is
    /// not there any more gets no new requests and finishes those that it has.
    ///
    /// It takes time in proportion to the size of the table, in which requests
    /// are not held up.
    pub fn replace(&self, table: RouteTable) {
        let mut status = self.status();
        let mut compiled = Arc::unwrap_or_clone(table.into_compiled());
        compiled.carry_over(&self.load());
        self.0.table.store(Arc::new(compiled));
        *status = Status {
            reloaded: Some(SystemTime::now()),
            error: None,
        };
    }

    /// Records a failed reload and its reason. The current table stays in use.
    ///
    /// [`last_error`](Self::last_error) shows it until a table was replaced.
    pub fn failed(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        self.status().error = Some(error.into().into());
    }

    /// Why the last reload failed; `None` if it did not, or there was none.
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

    /// The table as it is now.
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
