//! Which model a request asks for, and where it says so.

mod json;

use std::{borrow::Cow, fmt, ops::Range};

use http::{Method, request::Parts};

pub use self::json::JsonBody;
use crate::error::RouteError;

/// Reads the model's name out of a request.
///
/// The default is [`JsonBody`]: the top-level `model` of a JSON body. An
/// implementation of one's own goes into
/// [`ModelRouteLayer::extract_model`](crate::ModelRouteLayer::extract_model):
///
/// ```
/// use http::request::Parts;
/// use tower_model_route::{ExtractModel, ExtractedModel, RouteError, RouteErrorKind};
///
/// /// The model stands in a header that a gateway in front has set.
/// #[derive(Debug)]
/// struct FromHeader;
///
/// impl ExtractModel for FromHeader {
///     fn extract<'a>(&self, head: &'a Parts, _body: &'a [u8]) -> Result<ExtractedModel<'a>, RouteError> {
///         head.headers
///             .get("x-model")
///             .and_then(|value| value.to_str().ok())
///             .map(ExtractedModel::new)
///             .ok_or_else(|| RouteError::new(RouteErrorKind::MissingModel, "the header x-model is missing"))
///     }
/// }
/// ```
pub trait ExtractModel: fmt::Debug + Send + Sync + 'static {
    /// Whether a request with this head names a model at all.
    ///
    /// Asked before the body is read. Where it says no, the body is not read,
    /// and the request is rejected or forwarded as
    /// [`ModelRouteLayer::without_model`](crate::ModelRouteLayer::without_model) says.
    /// By default every method but those without a request body (GET, HEAD,
    /// OPTIONS, DELETE, TRACE, CONNECT) does.
    fn names_model(&self, head: &Parts) -> bool {
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

    /// The model, from the request's head and its whole body.
    ///
    /// # Errors
    ///
    /// What is wrong with the request; the client gets it as the answer.
    fn extract<'a>(
        &self,
        head: &'a Parts,
        body: &'a [u8],
    ) -> Result<ExtractedModel<'a>, RouteError>;
}

/// The model that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtractedModel<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) span: Option<Range<usize>>,
}

impl<'a> ExtractedModel<'a> {
    /// A model whose name does not stand in the body: it is never rewritten.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Self {
        Self {
            name: name.into(),
            span: None,
        }
    }

    /// The bytes of the body, quotes included, in which the name stands as a JSON string.
    ///
    /// They are what is replaced where the ModelServer's real model is another.
    #[must_use]
    pub fn json_span(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }
}
