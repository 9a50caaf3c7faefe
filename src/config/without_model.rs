//! What happens to requests that name no model.

use super::mistake::MistakeKind;

/// What happens to requests that name no model.
///
/// It is set on the table
/// ([`RouteTableBuilder::without_model`](crate::RouteTableBuilder::without_model)); a layer's own
/// setting ([`ModelRouteLayer::without_model`](crate::ModelRouteLayer::without_model)) overrides
/// it. There are two kinds of such requests:
///
/// - Those whose body is not read, because of their method or their extractor, and whose head
///   names no model: `GET /health`, `GET /v1/realtime`.
/// - Those whose body is read to its end and names no model: an empty body, a JSON object
///   without the key `model`, a form without the field.
///
/// | | the body is not read | the body names none |
/// |---|---|---|
/// | `Reject` | 404 `route_not_found` (400 `missing_model` where the query should have it) | 400 `missing_model` |
/// | `Forward` | forwarded | 400 `missing_model` |
/// | `Model`, `Insert`, `Route` | routed | routed |
///
/// A body that can't be read, or a model that is empty or not a string, is always an error. A
/// request that is routed must have a path that may reach an engine
/// ([`ModelRouteLayer::paths`](crate::ModelRouteLayer::paths)); one that is forwarded need not.
/// An extractor's own default ([`Extraction::or_model`](crate::Extraction::or_model)) takes
/// precedence.
///
/// With `Model` and `Route`, no model is written into the request: the engine sees a request
/// without a model, and answers with its own. [`Insert`](Self::Insert) writes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub enum WithoutModel {
    /// Answers them with an error.
    #[default]
    Reject,
    /// Forwards those whose body is not read to the inner service: the URI, the headers and the body,
    /// which is streamed. Only the fields of the client's connection stay behind, and those of the
    /// inner service's do on the way back, as with requests that are routed; `Via`, `x-request-id`
    /// and [`forwarded_fields`](crate::ModelRouteLayer::forwarded_fields) are set as for those, and
    /// a WebSocket is tunnelled.
    ///
    /// Which server it is sent to is the inner service's choice: the URI and `Host` are the client's.
    Forward,
    /// Routes them as if they named this model or LoRA adapter.
    Model(String),
    /// Like `Model`, and the engine gets a name: `"model"` is written into a body that is a
    /// JSON object, as its first member, with the name that the chosen
    /// [`ModelServer`](crate::ModelServer::model) has for the model.
    ///
    /// Nothing is written into a form, an empty body, or a request of which only the head is read,
    /// nor if the extractor looks for a field other than `model`. The body is read to its end
    /// before it is sent, so an engine never sees half of the change.
    Insert(String),
    /// Routes them by the rules of the ModelRoute of this name. Rules with a condition on the
    /// model don't match.
    Route(String),
}

impl WithoutModel {
    /// What is wrong with it in a table that has these.
    pub(crate) fn mistake(
        &self,
        has_model: impl Fn(&str) -> bool,
        has_route: impl FnOnce(&str) -> bool,
    ) -> Option<MistakeKind> {
        match self {
            Self::Model(name) | Self::Insert(name) | Self::Route(name) if name.is_empty() => {
                Some(MistakeKind::EmptyName)
            }
            Self::Model(name) | Self::Insert(name) if !has_model(name) => {
                Some(MistakeKind::UnknownModel(name.clone()))
            }
            Self::Route(name) if !has_route(name) => {
                Some(MistakeKind::UnknownModelRoute(name.clone()))
            }
            Self::Reject | Self::Forward | Self::Model(_) | Self::Insert(_) | Self::Route(_) => {
                None
            }
        }
    }

    /// Whether such requests are routed.
    pub(crate) fn is_routed(&self) -> bool {
        matches!(self, Self::Model(_) | Self::Insert(_) | Self::Route(_))
    }
}
