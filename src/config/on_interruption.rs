//! What is watched in streamed answers, and what happens to one that breaks off.

use std::time::Duration;

#[cfg(feature = "serde")]
use super::serial;

/// The part of a traffic policy that is about the events of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
pub(super) struct Streaming {
    pub(super) first_event_gate: bool,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::optional"))]
    pub(super) first_event_slow: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::optional"))]
    pub(super) first_event_timeout: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::optional"))]
    pub(super) stream_idle_timeout: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "serial::optional"))]
    pub(super) sse_keepalive: Option<Duration>,
    pub(super) force_usage: bool,
    pub(super) on_interruption: OnInterruption,
}

impl Default for Streaming {
    fn default() -> Self {
        Self {
            first_event_gate: false,
            first_event_slow: None,
            first_event_timeout: None,
            stream_idle_timeout: Some(Duration::from_secs(300)),
            sse_keepalive: None,
            force_usage: false,
            on_interruption: OnInterruption::default(),
        }
    }
}

/// What the client sees of a stream that breaks off, or ends without its terminal event; see
/// [`TrafficPolicy::on_interruption`](crate::TrafficPolicy::on_interruption).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum OnInterruption {
    /// An error event in the dialect of the path with the code `stream_interrupted`, and then
    /// the end of the message.
    #[default]
    Event,
    /// The message is cut off, which SDKs see as a failed connection.
    Abort,
    /// Exactly what the engine sent: a stream that ended too early looks complete.
    Pass,
}

#[cfg(feature = "manifest")]
impl OnInterruption {
    pub(crate) const NAMES: [&'static str; 3] = ["event", "abort", "pass"];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Abort => "abort",
            Self::Pass => "pass",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Event, Self::Abort, Self::Pass];
        all.into_iter().find(|what| what.name() == name)
    }
}
