//! Which model a request asks for, and where it says so.

mod extraction;
mod found;
mod head;
mod json;
mod json_body;
mod multipart;
mod multipart_body;
mod scan;
mod sources;

#[cfg(fuzzing)]
pub(crate) use self::{json::fuzz_json, multipart::fuzz_multipart};

use std::fmt;

use http::request::Parts;

pub use self::{
    extraction::{ExtractedModel, Extraction},
    head::{HeaderModel, PathModel, QueryModel},
    json_body::{DuplicateModels, JsonBody},
    multipart_body::MultipartBody,
    sources::ModelSources,
};
pub(crate) use self::{
    extraction::{Place, Plan, Written},
    json::decode_text,
    scan::Scan,
};

/// Says how the model of a request is found.
///
/// It is asked with the head of each request, before anything of the body is
/// read. [`JsonBody`] is the plainest one; one of one's own goes into
/// [`ModelRouteLayer::extract_model`](crate::ModelRouteLayer::extract_model):
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
    /// How the model of a request with this head is found, if it names one.
    fn begin(&self, head: &Parts) -> Extraction;
}

/// Whether requests of this method have a body that could name a model.
pub(crate) fn has_body(head: &Parts) -> bool {
    use http::Method;
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
