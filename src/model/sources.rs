//! Several places to look for the model, in order.

use std::sync::Arc;

use http::{HeaderName, request::Parts};

use super::{
    extract::ExtractModel,
    extraction::{Extraction, Plan},
    head::{HeaderModel, PathModel, QueryModel},
    json_body::JsonBody,
    multipart_body::MultipartBody,
};

/// Looks for the model in several places, in order: the first that applies to
/// a request is used.
///
/// [`ModelSources::standard`] is what a
/// [`ModelRouteLayer`](crate::ModelRouteLayer) uses by default.
///
/// ```
/// use http::HeaderName;
/// use tower_model_route::{HeaderModel, ModelSources};
///
/// let sources = ModelSources::standard()
///     .and_header(HeaderName::from_static("x-model"));
/// # let _ = sources;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ModelSources {
    header: Option<HeaderModel>,
    sources: Vec<Arc<dyn ExtractModel>>,
    /// How many of the sources are the standard ones, whose paths have a list of their own.
    standard: usize,
}

impl ModelSources {
    /// An empty list of places.
    pub fn new() -> Self {
        Self::default()
    }

    /// The places where OpenAI, Anthropic, Azure, Gemini, KServe and vLLM APIs name the model:
    ///
    /// - the path of `/openai/deployments/{model}/...` (Azure),
    ///   `/v1beta/models/{model}:...`, `/v1/models/{model}:...` (Gemini, KServe),
    ///   `/v1/models/{model}/...` and `/v2/models/{model}/...`;
    /// - the query of `/v1/realtime?model=`;
    /// - the field `model` of a multipart/form-data body (audio, image edits);
    /// - the top-level `model` of any other body, as JSON.
    pub fn standard() -> Self {
        let sources = Self::new()
            .or(PathModel::of("/openai/deployments/", "/*"))
            .or(PathModel::of("/v1beta/models/", ":*"))
            .or(PathModel::of("/v1/models/", ":*"))
            .or(PathModel::of("/v1/models/", "/*"))
            .or(PathModel::of("/v2/models/", "/*"))
            .or(QueryModel::of("/v1/realtime", "model"))
            .or(MultipartBody::new())
            .or(JsonBody::new());
        Self {
            standard: sources.sources.len(),
            ..sources
        }
    }

    /// Adds a place to look in if none of the earlier ones applies.
    pub fn or(mut self, source: impl ExtractModel) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Adds a header that may also name the model; see [`HeaderModel`].
    pub fn and_header(mut self, header: HeaderName) -> Self {
        self.header = Some(HeaderModel::new(header));
        self
    }
}

impl ExtractModel for ModelSources {
    fn begin(&self, head: &Parts) -> Extraction {
        let plan = self
            .sources
            .iter()
            .map(|source| source.begin(head).0)
            .find(|plan| !matches!(plan, Plan::NoModel))
            .unwrap_or(Plan::NoModel);
        let claim = self.header.as_ref().map(|header| header.begin(head).0);
        Extraction(match (claim, plan) {
            (Some(Plan::Found(claim)), Plan::NoModel) => Plan::Found(claim),
            (Some(Plan::Found(claim)), plan) => Plan::Claimed(claim, Box::new(plan)),
            (Some(Plan::Refused(error)), _) => Plan::Refused(error),
            (_, plan) => plan,
        })
    }

    fn reads_path(&self, path: &str) -> bool {
        let own = self.sources.iter().skip(self.standard);
        own.into_iter().any(|source| source.reads_path(path))
    }
}
