//! A table that can be replaced while requests are under way.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;

use super::{RouteTable, table::Inner};

/// A [`RouteTable`] that can be replaced under load.
///
/// It goes into [`ModelRouteLayer::new`](crate::ModelRouteLayer::new) in place
/// of a table. Clones share one table: keep one to
/// [`replace`](Self::replace) it.
#[derive(Clone)]
pub struct RouteTableHandle(Arc<ArcSwap<Inner>>);

impl RouteTableHandle {
    /// A handle whose first table is `table`.
    pub fn new(table: RouteTable) -> Self {
        Self(Arc::new(ArcSwap::new(table.into_inner())))
    }

    /// The table as it is now.
    pub fn table(&self) -> RouteTable {
        RouteTable::from_inner(self.load())
    }

    pub(crate) fn load(&self) -> Arc<Inner> {
        self.0.load_full()
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
