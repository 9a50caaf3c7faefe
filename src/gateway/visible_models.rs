//! Which models a client may see.

use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::route::IsVisible;

/// Says which models the sender of a request may see; without it, all.
#[derive(Clone, Default)]
pub(super) struct VisibleModels(Option<Arc<IsVisible>>);

impl VisibleModels {
    pub(super) fn new(is_visible: impl Fn(&Parts, &str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_visible)))
    }

    pub(super) fn get(&self) -> Option<&IsVisible> {
        self.0.as_deref()
    }
}

impl fmt::Debug for VisibleModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "All",
            Some(_) => "Filtered",
        })
    }
}
