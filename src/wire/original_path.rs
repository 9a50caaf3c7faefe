//! The original path of a request, if a router above has stripped a prefix.

use std::{fmt, sync::Arc};

use http::{Uri, request::Parts};

/// Says with which URI a request came before a router above stripped a prefix.
#[derive(Clone)]
pub(crate) struct OriginalPath(Arc<Of>);

type Of = dyn Fn(&Parts) -> Option<Uri> + Send + Sync;

impl OriginalPath {
    pub(crate) fn new(of: impl Fn(&Parts) -> Option<Uri> + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }

    pub(super) fn of(&self, head: &Parts) -> Option<Uri> {
        (self.0)(head)
    }
}

impl Default for OriginalPath {
    /// axum's, if the feature `axum` is on.
    fn default() -> Self {
        #[cfg(feature = "axum")]
        let of = |head: &Parts| {
            let uri = head.extensions.get::<axum::extract::OriginalUri>()?;
            Some(uri.0.clone())
        };
        #[cfg(not(feature = "axum"))]
        let of = |_: &Parts| None;
        Self::new(of)
    }
}

impl fmt::Debug for OriginalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginalPath")
    }
}
