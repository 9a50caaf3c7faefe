//! Why a watch can't start.

use std::{error::Error, fmt};

/// Why a [`Watch`](super::Watch) can't start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchError(String);

impl WatchError {
    pub(super) fn no_runtime() -> Self {
        Self("there is no Tokio runtime here to watch in".to_owned())
    }

    pub(super) fn no_namespace(name: &str) -> Self {
        Self(format!("{name:?} is not the name of a namespace"))
    }

    pub(super) fn no_gateway(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl Error for WatchError {}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cluster can't be watched: {}", self.0)
    }
}
