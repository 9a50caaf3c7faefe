//! A table that can be replaced while requests are under way.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use super::{RouteTable, table::Inner};

/// A [`RouteTable`] that can be replaced under load.
///
/// It goes into [`ModelRouteLayer::new`](crate::ModelRouteLayer::new) in place
/// of a table. Clones share one table: keep one to
/// [`replace`](Self::replace) it.
#[derive(Clone)]
pub struct RouteTableHandle(Arc<Live>);

struct Live {
    table: ArcSwap<Inner>,
    /// Held while the table is replaced, so that none carries over what another replaces.
    replacing: Mutex<()>,
}

impl RouteTableHandle {
    /// A handle whose first table is `table`.
    pub fn new(table: RouteTable) -> Self {
        Self(Arc::new(Live {
            table: ArcSwap::new(table.into_inner()),
            replacing: Mutex::new(()),
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
        let _replacing = self
            .0
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut inner = Arc::unwrap_or_clone(table.into_inner());
        inner.carry_over(&self.load());
        self.0.table.store(Arc::new(inner));
    }

    /// The table as it is now.
    pub fn table(&self) -> RouteTable {
        RouteTable::from_inner(self.load())
    }

    pub(crate) fn load(&self) -> Arc<Inner> {
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
