//! The trait of extractors, which find the model of a request.

use std::fmt;

use http::{Method, request::Parts};

use super::extraction::Extraction;

/// Decides how the model of a request is found.
///
/// An extractor is called with the head of each request, before any of the body
/// is read. [`JsonBody`](crate::JsonBody) is the simplest; pass your own to
/// [`ModelRouteLayer::extract_model`](crate::ModelRouteLayer::extract_model).
/// The [guide](crate::guide::extractors) has more examples. An extractor for an
/// API that is not on the list of [`ApiPaths`](crate::ApiPaths) also has
/// [`reads_path`](Self::reads_path).
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
///             std::str::from_utf8(body)
///                 .ok()
///                 .and_then(|text| text.lines().next())
///                 .map(ExtractedModel::new)
///                 .ok_or_else(|| RouteError::new(RouteErrorKind::MissingModel, "there is no first line"))
///         })
///     }
/// }
/// ```
pub trait ExtractModel: fmt::Debug + Send + Sync + 'static {
    /// Returns how to find the model of a request with this head.
    fn begin(&self, head: &Parts) -> Extraction;

    /// Whether requests for this path (without the query) are let through
    /// although it is not on the list of [`ApiPaths`](crate::ApiPaths); no path
    /// is by default.
    ///
    /// The answer is that of the path alone, and does not promise that a
    /// request for it names a model.
    fn reads_path(&self, path: &str) -> bool {
        let _ = path;
        false
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
