//! The layer's options.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderName, HeaderValue, Version, header::EXPECT, request::Parts};

use super::{authorize::Authorize, limits::LimitOptions, visible_models::VisibleModels};
use crate::{
    attempt::Tunnels,
    coding,
    config::WithoutModel,
    model::ExtractModel,
    observe::{Observers, SpanLevel},
    route::{CompiledTable, RouteTableHandle},
    upload::{Buffering, DrainLimits, Limits, Memory, Pace},
    wire::{Admission, Fields, ForwardedFields},
};

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) table: RouteTableHandle,
    pub(super) extract: Arc<dyn ExtractModel>,
    pub(super) max_body_bytes: u64,
    pub(super) max_buffer_bytes: u64,
    pub(super) replay_bytes: u64,
    pub(super) pace: Pace,
    pub(super) drain: DrainLimits,
    pub(super) memory: Arc<Memory>,
    pub(super) tunnels: Tunnels,
    pub(super) admission: Admission,
    pub(super) visible_models: VisibleModels,
    pub(super) without_model: Option<WithoutModel>,
    pub(super) authorize: Authorize,
    pub(super) forwarded: ForwardedFields,
    pub(super) deadline_header: Option<HeaderName>,
    pub(super) limits: LimitOptions,
    pub(super) observers: Observers,
    pub(super) span_level: SpanLevel,
}

impl Options {
    /// What happens to a request with this head if it names no model.
    pub(super) fn without_model<'o>(
        &'o self,
        table: &'o CompiledTable,
        head: &Parts,
    ) -> Cow<'o, WithoutModel> {
        let own = self.without_model.as_ref();
        let what = own.or(table.without_model());
        table.unnamed(head, what.unwrap_or(&WithoutModel::Reject))
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            bytes: self.max_body_bytes,
            pace: self.pace,
        }
    }

    /// How the rest of this request's body is drained if it is answered early; its head came with
    /// these `fields`.
    ///
    /// A client that sees an early error may end its stream at once (curl does). In
    /// HTTP/2 that breaks the announced length, and resets the stream before the answer
    /// has ended (RFC 9113 section 8.1.1).
    pub(super) fn drain(&self, head: &Parts, fields: Fields) -> DrainLimits {
        DrainLimits {
            expects: fields.has(Fields::EXPECT) && awaits_continue(head),
            is_http2: head.version >= Version::HTTP_2,
            ..self.drain
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

/// Whether its client sends the body only when it is asked to, which HTTP/1.0 knows nothing about
/// (RFC 9110 section 10.1.1).
fn awaits_continue(head: &Parts) -> bool {
    let awaits = |expected: &HeaderValue| expected.as_bytes().eq_ignore_ascii_case(b"100-continue");
    // (It is gone where the head has been made the engine's.)
    head.version > Version::HTTP_10 && head.headers.get(EXPECT).is_none_or(awaits)
}
