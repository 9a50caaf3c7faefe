//! Several places to look for the model, in order.

use std::sync::Arc;

use http::{HeaderName, request::Parts};

use super::{
    extract::ExtractModel,
    extraction::{Beside, Extraction, HeadModel, Plan},
    head::{HeaderModel, QueryModel},
    json_body::JsonBody,
    late::ambiguous,
    multipart_body::MultipartBody,
    paths::StandardPaths,
};
use crate::error::{RouteError, RouteErrorKind};

/// Looks for the model in several places.
///
/// Every place that names a model is read: one in the path, one in the query, a
/// header, and one in the body; of several sources for one of these the first that
/// applies counts. Equal names are all rewritten, and a request that names different
/// models is refused with 400 `ambiguous_model`, so that no engine reads another
/// model than the gateway. A [`PathModel`](crate::PathModel) can be set to
/// [overwrite](crate::PathModel::overwrites_body) the body's model instead.
///
/// If the path or the query names the model, the body is buffered only up to
/// [`replay_bytes`](crate::ModelRouteLayer::replay_bytes), and then forwarded as it
/// arrives. Should it name a model after that, the same name passes unless it had to
/// be rewritten; any other fails the request with 400 `ambiguous_model`, and breaks
/// off what is sent to the engine. The body need not be JSON then: it may be empty,
/// an array, anything under a Content-Type other than JSON, or JSON with the binary
/// data of KServe behind it.
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
}

impl ModelSources {
    /// An empty list of places.
    pub fn new() -> Self {
        Self::default()
    }

    /// The places where the known APIs name the model:
    ///
    /// - the path (versions are `v1`, `v1alpha`, `v1beta` and the like):
    ///   - Azure: `/openai/deployments/{model}/...`. Here the path counts, and the
    ///     body's `model` is overwritten, because Azure's SDKs put any name there;
    ///   - Google: `/v1beta/models/{model}:...`, `/v1beta/tunedModels/{model}:...`, and
    ///     Vertex's `/v1/projects/*/locations/*/publishers/*/models/{model}:...`;
    ///   - KServe, Triton, TensorFlow Serving: `/v1/models/{model}:...`,
    ///     `/v1/models/{model}/...` and `/v2/models/{model}/...`;
    ///   - Bedrock: `/model/{model}/invoke` and its siblings;
    /// - the query of `/v1/realtime?model=`;
    /// - the field `model` of a multipart/form-data body (audio, image edits);
    /// - the top-level `model` of any other body, as JSON.
    ///
    /// A name with slashes may stand in a path as it is: it ends where a known
    /// operation of the API, such as `/chat/completions` or `:generateContent`, ends
    /// the path. Otherwise it is one segment.
    pub fn standard() -> Self {
        Self::new()
            .or(StandardPaths)
            .or(QueryModel::of("/v1/realtime", "model"))
            .or(MultipartBody::new())
            .or(JsonBody::new())
    }

    /// Adds a place; of several for the path, the query or the body the first that
    /// applies to a request counts.
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
        let mut places = Places::default();
        let sources = self.sources.iter().map(|source| source.begin(head));
        let header = self.header.as_ref().map(|header| header.begin(head));
        for extraction in sources.chain(header) {
            if let Err(error) = places.add(extraction.0) {
                return Extraction::refused(error);
            }
        }
        Extraction(places.into_plan())
    }
}

/// Whether the head of a request names its model in one of the standard places, or tries to.
pub(crate) fn is_named_by_head(head: &Parts) -> bool {
    matches!(
        ModelSources::standard().begin(head).0,
        Plan::Found(_) | Plan::Beside(..) | Plan::Refused(_)
    )
}

/// The places that have been found to apply to a request.
#[derive(Default)]
struct Places {
    head: Option<HeadModel>,
    body: Option<Plan>,
    /// A place that should have named the model, in the words of its source.
    missing: Option<RouteError>,
}

impl Places {
    fn add(&mut self, plan: Plan) -> Result<(), RouteError> {
        match plan {
            Plan::NoModel => {}
            Plan::Refused(error) if error.kind() == RouteErrorKind::MissingModel => {
                self.missing.get_or_insert(error);
            }
            Plan::Refused(error) => return Err(error),
            Plan::Found(found) => self.add_head(found)?,
            Plan::Beside(found, body) => {
                self.add_head(found)?;
                self.add(*body)?;
            }
            body => _ = self.body.get_or_insert(body),
        }
        Ok(())
    }

    fn add_head(&mut self, found: HeadModel) -> Result<(), RouteError> {
        let Some(first) = &mut self.head else {
            self.head = Some(found);
            return Ok(());
        };
        if first.is_in_path() && found.is_in_path() {
            return Ok(());
        }
        if first.model.name != found.model.name {
            return Err(ambiguous());
        }
        if found.beside == Beside::Any {
            first.beside = Beside::Any;
        }
        first.add(found.model.head);
        Ok(())
    }

    fn into_plan(self) -> Plan {
        match (self.head, self.body, self.missing) {
            (Some(head), Some(body), _) => Plan::Beside(head, Box::new(body)),
            (Some(head), None, _) => Plan::Found(head),
            (None, Some(body), _) => body,
            (None, None, Some(missing)) => Plan::Refused(missing),
            (None, None, None) => Plan::NoModel,
        }
    }
}
