//! The layer's options.

use std::{sync::Arc, time::Duration};

use super::{original_path::OriginalPath, visible_models::VisibleModels};
use crate::{
    coding,
    config::ApiPaths,
    model::ExtractModel,
    route::RouteTableHandle,
    upload::{Buffering, Limits},
    wire::{ForwardedFields, Via},
};

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) table: RouteTableHandle,
    pub(super) extract: Arc<dyn ExtractModel>,
    pub(super) max_body_bytes: u64,
    pub(super) max_buffer_bytes: u64,
    pub(super) replay_bytes: u64,
    pub(super) body_timeout: Duration,
    pub(super) recompress: bool,
    pub(super) models_endpoint: bool,
    pub(super) visible_models: VisibleModels,
    pub(super) without_model: WithoutModel,
    pub(super) paths: ApiPaths,
    pub(super) original_path: OriginalPath,
    pub(super) via: Via,
    pub(super) forwarded: ForwardedFields,
}

impl Options {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            bytes: self.max_body_bytes,
            time: self.body_timeout,
        }
    }

    /// A body is decompressed up to the limit on buffered bytes.
    pub(super) fn inflated(&self) -> coding::InflateLimits {
        coding::InflateLimits {
            max_bytes: self.max_buffer_bytes,
            max_ratio: 100,
        }
    }

    pub(super) fn buffering(&self) -> Buffering {
        Buffering {
            max_bytes: self.max_buffer_bytes,
            enough: self.replay_bytes,
            waits: false,
        }
    }
}

/// The treatment of requests that name no model, such as `GET /health`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WithoutModel {
    /// Answers them with 404 and the code `route_not_found`.
    #[default]
    Reject,
    /// Forwards them to the inner service unchanged: the URI, the headers (but
    /// for `x-request-id`) and the body, which is streamed.
    Forward,
}
