//! Several places to look for the model, in order.

use std::sync::Arc;

use http::{HeaderName, Method, header::CONTENT_TYPE, request::Parts};

use super::{
    duplicates::DuplicateModels,
    extract::ExtractModel,
    extraction::{ExtractedModel, Extraction, Location, Plan},
    head::{HeaderModel, StandardQuery},
    json_body::JsonBody,
    media_type::is_plain_json,
    multipart_body::MultipartBody,
    paths::StandardPaths,
    relation::Relation,
};
use crate::{config::is_usual, error::RouteErrorKind, pieces::members};

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

    /// The places where the known APIs name the model:
    ///
    /// - the path (versions are `v1`, `v1alpha`, `v1beta` and the like):
    ///   - Azure: `/openai/deployments/{model}/...`;
    ///   - Google: `/v1beta/models/{model}:...`, `/v1beta/tunedModels/{model}:...`, and
    ///     Vertex's `/v1/projects/*/locations/*/publishers/*/models/{model}:...`;
    ///   - KServe, Triton, TensorFlow Serving: `/v1/models/{model}:...`,
    ///     `/v1/models/{model}/...` and `/v2/models/{model}/...`;
    ///   - Bedrock: `/model/{model}/invoke` and its siblings;
    /// - the query of `/v1/realtime?model=`, and of Azure's `/openai/realtime?deployment=`;
    /// - the field `model` of a multipart/form-data body (audio, image edits);
    /// - the top-level `model` of any other body, as JSON.
    ///
    /// Each may be mounted under any prefix.
    ///
    /// Slashes in a name may be escaped in the path or not: the name ends where a known
    /// operation of the API, such as `/chat/completions` or `:generateContent`, ends the path.
    /// Otherwise it is one segment.
    ///
    /// A body is also read if the path or query names the model, because some engines read
    /// the name there; see [`or`](Self::or).
    pub fn standard() -> Self {
        let sources = Self::new()
            .or(StandardPaths)
            .or(StandardQuery)
            .or(MultipartBody::new())
            .or(JsonBody::new());
        Self {
            standard: sources.sources.len(),
            ..sources
        }
    }

    /// Adds a place to look in if none of the earlier ones applies.
    ///
    /// If an earlier one finds the model in the path or query, a form or JSON body that a
    /// later one would read is read as well. It must name the same model (else 400
    /// `ambiguous_model`), which is rewritten there too, or none. Two APIs differ:
    ///
    /// - if the path is `.../models/{model}:...` (Google), the body may have `models/` before
    ///   the name, or `tunedModels/` as in the path, which is kept;
    /// - if it is `.../openai/deployments/{model}/...` (Azure), the path wins, and the body's
    ///   `model` is overwritten, because Azure's SDKs put any name there.
    ///
    /// The types `application/json` and `+json` (even one among several) and bodies without a type
    /// count as JSON, except KServe's binary form (`Inference-Header-Content-Length` on a path that
    /// ends in `/infer`); other types are not read. Such a body is read up to
    /// [`replay_bytes`](crate::ModelRouteLayer::replay_bytes) before the request is sent, and a
    /// compressed one to its end. What comes later can't be rewritten: the request is aborted with
    /// 400 `ambiguous_model` if the rest has another model, or one that would have to be rewritten.
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
        let plan = if self.standard > 0 && is_usual_json(head) {
            Plan::Json(None, DuplicateModels::default())
        } else {
            let mut plans = self.sources.iter().map(|source| source.begin(head).0);
            let plan = plans.find(|plan| !matches!(plan, Plan::NoModel));
            with_body(plan.unwrap_or(Plan::NoModel), head, plans)
        };
        let claim = self.header.as_ref().map(|header| header.begin(head).0);
        Extraction(match (claim, plan) {
            (Some(Plan::Found(claim)), Plan::NoModel) => Plan::Found(claim),
            (Some(Plan::Found(claim)), Plan::Refused(error))
                if error.kind() == RouteErrorKind::MissingModel =>
            {
                Plan::Found(claim)
            }
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

/// Whether this is what nearly all requests are, of which it is known what the standard places say: that
/// the body is JSON. To ask them takes 1,900 instructions, of 10,000 of a request.
fn is_usual_json(head: &Parts) -> bool {
    is_usual(head.uri.path())
        && head.method == Method::POST
        && head.headers.get(CONTENT_TYPE).is_some_and(is_plain_json)
}

/// `plan`, which also reads the body if it finds the model in the head.
fn with_body(plan: Plan, head: &Parts, plans: impl Iterator<Item = Plan>) -> Plan {
    match plan {
        Plan::Found(model) => beside(model, head, plans),
        Plan::Mapped(map, plan) => {
            let plans: Box<dyn Iterator<Item = Plan>> = Box::new(plans);
            Plan::Mapped(map, Box::new(with_body(*plan, head, plans)))
        }
        plan => plan,
    }
}

/// The plan for a request whose head names `model`: if that is in the path or query, the body
/// is read too, as the first of the later `plans` for this body says.
fn beside(model: ExtractedModel, head: &Parts, mut plans: impl Iterator<Item = Plan>) -> Plan {
    let path = head.uri.path();
    let relation = match &model.location {
        Location::Path(span) => match (path.get(..span.start), path.get(span.end..)) {
            (Some(before), Some(after)) => Relation::of_path(before, after),
            _ => return Plan::Found(model),
        },
        Location::Query(_) => Relation::Equal,
        Location::Nowhere | Location::Body { .. } => return Plan::Found(model),
    };
    match plans.find_map(|plan| of_body(plan, head)) {
        Some(body) => Plan::Beside(model, relation, Box::new(body)),
        None => Plan::Found(model),
    }
}

/// `plan`, if it looks for a field of this body.
fn of_body(plan: Plan, head: &Parts) -> Option<Plan> {
    match plan {
        // The head has a model, so the default does not apply, and the name in the head is mapped.
        Plan::Default(_, plan) | Plan::Mapped(_, plan) => of_body(*plan, head),
        Plan::Multipart(..) => Some(plan),
        Plan::Json(..) => may_be_json(head).then_some(plan),
        // A form without a boundary: parsers may read it nevertheless.
        Plan::Refused(ref error) => {
            (error.kind() == RouteErrorKind::InvalidMultipart).then_some(plan)
        }
        Plan::NoModel | Plan::Found(_) | Plan::Claimed(..) | Plan::Beside(..) | Plan::Whole(_) => {
            None
        }
    }
}

/// Whether an engine may read the body as JSON, by its Content-Type: of several by any.
fn may_be_json(head: &Parts) -> bool {
    match head.headers.contains_key(CONTENT_TYPE) {
        true => members(&head.headers, &CONTENT_TYPE).any(is_json),
        false => !is_binary(head),
    }
}

/// Whether the body is in the binary form of KServe and Triton, which has JSON only at its start. No
/// other path has that form: elsewhere an engine reads the body as JSON, whatever the field says.
fn is_binary(head: &Parts) -> bool {
    let path = head.uri.path().trim_end_matches('/');
    path.ends_with("/infer") && head.headers.contains_key("inference-header-content-length")
}

fn is_json(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|&byte| byte == b';').next();
    let media_type = media_type
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    media_type == b"application/json" || media_type.ends_with(b"+json")
}
