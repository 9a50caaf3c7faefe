//! The layer's options.

use std::{sync::Arc, time::Duration};

use crate::{
    coding,
    model::ExtractModel,
    route::RouteTableHandle,
    upload::{Buffering, Limits},
};

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) table: RouteTableHandle,
    pub(crate) extract: Arc<dyn ExtractModel>,
    pub(crate) max_body_bytes: u64,
    pub(crate) max_buffer_bytes: u64,
    pub(crate) replay_bytes: u64,
    pub(crate) body_timeout: Duration,
    pub(crate) recompress: bool,
    pub(crate) models_endpoint: bool,
    pub(crate) without_model: WithoutModel,
}

impl Config {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            bytes: self.max_body_bytes,
            time: self.body_timeout,
        }
    }

    /// A body is inflated only within what may be held of it anyway.
    pub(crate) fn inflated(&self) -> coding::Limits {
        coding::Limits {
            max_bytes: self.max_buffer_bytes,
            max_ratio: 100,
        }
    }

    pub(crate) fn buffering(&self) -> Buffering {
        Buffering {
            max_bytes: self.max_buffer_bytes,
            enough: self.replay_bytes,
            waits: false,
        }
    }
}

/// What happens to requests that name no model, such as `GET /health`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WithoutModel {
    /// They are answered with 404 and the code `route_not_found`.
    #[default]
    Reject,
    /// They go to the inner service as they are: the URI, the headers and the
    /// body, which is streamed.
    Forward,
}
