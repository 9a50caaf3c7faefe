//! The trait of extractors, which find the model of a request.

use std::fmt;

use http::{Method, request::Parts};

use super::{
    extraction::{Extraction, Plan},
    model_name::{ModelName, NameMap},
};
use crate::error::RouteError;

/// Decides how the model of a request is found.
///
/// An extractor is called with the head of each request, before any of the body
/// is read. [`JsonBody`](crate::JsonBody) is the simplest; pass your own to
/// [`ModelRouteLayer::extract_model`](crate::ModelRouteLayer::extract_model).
/// The [guide](crate::guide::extractors) has more examples. An extractor for an
/// API that is not on the list of [`ApiPaths`](crate::ApiPaths) must also
/// implement [`reads_path`](Self::reads_path).
///
/// ```
/// use http::request::Parts;
/// use tower_model_route::{ExtractModel, ExtractedModel, Extraction, RouteError, RouteErrorKind};
///
/// /// The first line of a plain text is the model.
/// #[derive(Debug)]
/// struct FirstLine;
///
/// impl ExtractModel for FirstLine {
///     fn begin(&self, _head: &Parts) -> Extraction {
///         Extraction::whole_body(|_head, body| {
///             let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
///             match std::str::from_utf8(line) {
///                 // With the span the name is rewritten there.
///                 Ok(model) if !model.is_empty() => {
///                     Ok(ExtractedModel::new(model).text_span(0..line.len()))
///                 }
///                 _ => Err(RouteError::new(
///                     RouteErrorKind::MissingModel,
///                     "the first line names no model",
///                 )),
///             }
///         })
///     }
/// }
/// ```
pub trait ExtractModel: fmt::Debug + Send + Sync + 'static {
    /// Returns how to find the model of a request with this head.
    fn begin(&self, head: &Parts) -> Extraction;

    /// Whether requests for this path (without the query) are let through
    /// although it is not on the list of [`ApiPaths`](crate::ApiPaths); by
    /// default none are.
    ///
    /// The answer depends on the path alone, and does not promise that a
    /// request for it names a model.
    fn reads_path(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Maps the name that this extractor finds: requests are routed by what
    /// `map` returns.
    ///
    /// `map` gets the request's head, with the extensions of layers above, and the name that the
    /// client wrote. It returns the name to route by, or a [`ModelName`] that also says what
    /// engines are asked for. If it returns an error, that is the answer. It may be called twice
    /// for a request. It is not called for requests without a model, but it is for an
    /// [`Extraction::or_model`].
    ///
    /// If the path or a header and the body both name the model, they must agree as the client
    /// wrote them; then the name is mapped, and all places are rewritten.
    ///
    /// ```
    /// use tower_model_route::{ExtractModel, ModelName, ModelSources, RouteError, RouteErrorKind};
    ///
    /// /// What a layer above has found out about the caller.
    /// #[derive(Clone)]
    /// struct Tenant(String);
    ///
    /// // A client says `m`; its tenant's route is `acme/m`, and engines know it as `m`.
    /// let by_tenant = ModelSources::standard().map_name(|head, name| {
    ///     let tenant = head.extensions.get::<Tenant>().ok_or_else(|| {
    ///         RouteError::new(RouteErrorKind::Unauthorized, "who are you?")
    ///     })?;
    ///     Ok(ModelName::new(format!("{}/{name}", tenant.0)).for_engine(name))
    /// });
    /// # let _ = by_tenant;
    /// ```
    fn map_name<F, N>(self, map: F) -> MapName<Self>
    where
        Self: Sized,
        F: Fn(&Parts, &str) -> Result<N, RouteError> + Send + Sync + 'static,
        N: Into<ModelName>,
    {
        MapName::new(self, map)
    }
}

/// An extractor whose names are mapped; made by [`ExtractModel::map_name`].
#[derive(Clone)]
#[must_use]
pub struct MapName<E> {
    extract: E,
    map: NameMap,
}

impl<E> MapName<E> {
    fn new<F, N>(extract: E, map: F) -> Self
    where
        F: Fn(&Parts, &str) -> Result<N, RouteError> + Send + Sync + 'static,
        N: Into<ModelName>,
    {
        let map = NameMap::new(map);
        Self { extract, map }
    }
}

impl<E: ExtractModel> ExtractModel for MapName<E> {
    fn begin(&self, head: &Parts) -> Extraction {
        Extraction(match self.extract.begin(head).0 {
            plan @ (Plan::NoModel | Plan::Refused(_)) => plan,
            plan => Plan::Mapped(self.map.clone(), Box::new(plan)),
        })
    }

    fn reads_path(&self, path: &str) -> bool {
        self.extract.reads_path(path)
    }
}

impl<E: fmt::Debug> fmt::Debug for MapName<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MapName").field(&self.extract).finish()
    }
}

/// Whether requests of this method have a body that could name a model.
pub(crate) fn has_body(head: &Parts) -> bool {
    !matches!(
        head.method,
        Method::GET
            | Method::HEAD
            | Method::OPTIONS
            | Method::DELETE
            | Method::TRACE
            | Method::CONNECT
    )
}
