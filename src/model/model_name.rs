//! A name for the model other than the one that the client wrote.

use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::error::RouteError;

/// The names of a request's model, returned by the function of
/// [`ExtractModel::map_name`](crate::ExtractModel::map_name).
///
/// A plain string is one: the name to route by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ModelName {
    pub(super) routed: String,
    pub(super) engine: Option<String>,
}

impl ModelName {
    /// The request is routed as if the client had written `name`. Engines are asked for the
    /// [`ModelServer::model`](crate::ModelServer::model), or, if there is none, for `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            routed: name.into(),
            engine: None,
        }
    }

    /// The name that engines are asked for, whatever their ModelServer says: an adapter, or what
    /// the client wrote before a prefix was added to it.
    pub fn for_engine(mut self, name: impl Into<String>) -> Self {
        self.engine = Some(name.into());
        self
    }
}

impl From<String> for ModelName {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<&str> for ModelName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// From the client's name to another, for the request with this head.
#[derive(Clone)]
pub(crate) struct NameMap(Arc<MapFn>);

type MapFn = dyn Fn(&Parts, &str) -> Result<ModelName, RouteError> + Send + Sync;

impl NameMap {
    pub(super) fn new<N: Into<ModelName>>(
        map: impl Fn(&Parts, &str) -> Result<N, RouteError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |head, name| map(head, name).map(Into::into)))
    }

    pub(super) fn names(&self, head: &Parts, name: &str) -> Result<ModelName, RouteError> {
        (self.0)(head, name)
    }
}

impl fmt::Debug for NameMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameMap")
    }
}
