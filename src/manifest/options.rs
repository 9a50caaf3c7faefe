//! The options that Kthena's schema has no field for, by their keys in annotations.
//!
//! Reading and writing use the same lists, so that neither can forget an
//! option.

use std::time::Duration;

use http::StatusCode;

use crate::config::{EngineKind, ModelServer, OnInterruption, OutlierDetection, TrafficPolicy};

/// An option of `T`: its key, how it is set, and what of it has to be written.
pub(super) struct Setting<T: 'static> {
    pub(super) key: &'static str,
    pub(super) access: Access<T>,
}

/// The getter gives `None` for a value that is the default.
pub(super) enum Access<T: 'static> {
    Time(fn(T, Duration) -> T, fn(&T) -> Option<Duration>),
    /// A number up to the maximum.
    Count(u64, fn(T, u64) -> T, fn(&T) -> Option<u64>),
    Flag(fn(T, bool) -> T, fn(&T) -> Option<bool>),
    /// One of these words.
    Word(
        &'static [&'static str],
        fn(T, &str) -> T,
        fn(&T) -> Option<&'static str>,
    ),
}

/// The retries of a ModelServer whose manifest says nothing about `retry`.
///
/// They are those of Kthena's router, which goes on at once to up to four more pods where one
/// refuses, is lost before it answers, or answers 503; it takes a 500 for a failure as well.
pub(super) fn kthenas_retries(policy: TrafficPolicy) -> TrafficPolicy {
    policy
        .max_retries(4)
        .retry_interval(Duration::ZERO)
        .retry_statuses([
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::SERVICE_UNAVAILABLE,
        ])
}

/// The retries of one whose manifest says something of it, before that is read.
pub(super) fn own_retries(policy: TrafficPolicy) -> TrafficPolicy {
    let default = TrafficPolicy::new();
    policy
        .max_retries(default.get_max_retries())
        .retry_interval(default.get_retry_interval())
        .retry_statuses(default.get_retry_statuses().iter().copied())
}

/// The key of the statuses after which a request is sent again.
pub(super) const RETRY_STATUSES: &str = "retryStatuses";
/// The key of the options of [`DETECTION`].
pub(super) const OUTLIER_DETECTION: &str = "outlierDetection";

/// The options of engines, besides those that other annotations have too.
pub(super) const ENGINE: [Setting<ModelServer>; 2] = [
    Setting {
        key: "kind",
        access: Access::Word(
            &EngineKind::NAMES,
            |server, name| match EngineKind::named(name) {
                Some(kind) => server.engine(kind),
                None => server,
            },
            |server| server.get_engine().map(EngineKind::name),
        ),
    },
    Setting {
        key: "loadReports",
        access: Access::Flag(ModelServer::load_reports, |server| {
            unless(server.get_load_reports(), false)
        }),
    },
];

/// Options of a traffic policy that Kthena's schema does not have, except the two keys above.
pub(super) const POLICY: [Setting<TrafficPolicy>; 16] = [
    Setting {
        key: "streamIdleTimeout",
        access: Access::Time(TrafficPolicy::stream_idle_timeout, |policy| {
            let default = TrafficPolicy::new().get_stream_idle_timeout();
            unless(policy.get_stream_idle_timeout(), default).map(Option::unwrap_or_default)
        }),
    },
    Setting {
        key: "firstEventGate",
        access: Access::Flag(TrafficPolicy::first_event_gate, |policy| {
            unless(policy.get_first_event_gate(), false)
        }),
    },
    Setting {
        key: "firstEventSlow",
        access: Access::Time(
            TrafficPolicy::first_event_slow,
            TrafficPolicy::get_first_event_slow,
        ),
    },
    Setting {
        key: "firstEventTimeout",
        access: Access::Time(
            TrafficPolicy::first_event_timeout,
            TrafficPolicy::get_first_event_timeout,
        ),
    },
    Setting {
        key: "sseKeepalive",
        access: Access::Time(
            TrafficPolicy::sse_keepalive,
            TrafficPolicy::get_sse_keepalive,
        ),
    },
    Setting {
        key: "forceUsage",
        access: Access::Flag(TrafficPolicy::force_usage, |policy| {
            unless(policy.get_force_usage(), false)
        }),
    },
    Setting {
        key: "onInterruption",
        access: Access::Word(
            &OnInterruption::NAMES,
            |policy, name| match OnInterruption::named(name) {
                Some(what) => policy.on_interruption(what),
                None => policy,
            },
            |policy| {
                let default = OnInterruption::default();
                unless(policy.get_on_interruption(), default).map(OnInterruption::name)
            },
        ),
    },
    Setting {
        key: "totalTimeout",
        access: Access::Time(
            TrafficPolicy::total_timeout,
            TrafficPolicy::get_total_timeout,
        ),
    },
    Setting {
        key: "maxRetryInterval",
        access: Access::Time(TrafficPolicy::max_retry_interval, |policy| {
            let default = TrafficPolicy::new().retry_interval(policy.get_retry_interval());
            unless(
                policy.get_max_retry_interval(),
                default.get_max_retry_interval(),
            )
        }),
    },
    Setting {
        key: "retryUnknownModel",
        access: Access::Flag(TrafficPolicy::retry_unknown_model, |policy| {
            unless(policy.get_retry_unknown_model(), true)
        }),
    },
    Setting {
        key: "retryTooLong",
        access: Access::Flag(TrafficPolicy::retry_too_long, |policy| {
            unless(policy.get_retry_too_long(), false)
        }),
    },
    Setting {
        key: "maxInFlight",
        access: Access::Count(
            usize::MAX as u64,
            |policy, requests| policy.max_in_flight(requests as usize),
            |policy| policy.get_max_in_flight().map(|requests| requests as u64),
        ),
    },
    Setting {
        key: "maxQueue",
        access: Access::Count(
            usize::MAX as u64,
            |policy, requests| policy.max_queue(requests as usize),
            |policy| unless(policy.get_max_queue() as u64, 0),
        ),
    },
    Setting {
        key: "queueTimeout",
        access: Access::Time(TrafficPolicy::queue_timeout, |policy| {
            let default = TrafficPolicy::new().get_queue_timeout();
            unless(policy.get_queue_timeout(), default)
        }),
    },
    Setting {
        key: "slowStart",
        access: Access::Time(TrafficPolicy::slow_start, |policy| {
            unless(policy.get_slow_start(), Duration::ZERO)
        }),
    },
    Setting {
        key: "preferZone",
        access: Access::Count(
            usize::MAX as u64,
            |policy, requests| policy.prefer_zone(requests as usize),
            |policy| policy.get_prefer_zone().map(|requests| requests as u64),
        ),
    },
];

pub(super) const DETECTION: [Setting<OutlierDetection>; 5] = [
    Setting {
        key: "consecutiveFailures",
        access: Access::Count(
            u32::MAX as u64,
            |detection, failures| detection.consecutive_failures(failures as u32),
            |detection| {
                let default = OutlierDetection::new().get_consecutive_failures();
                unless(detection.get_consecutive_failures(), default).map(u64::from)
            },
        ),
    },
    Setting {
        key: "baseEjectionTime",
        access: Access::Time(OutlierDetection::base_ejection_time, |detection| {
            let default = OutlierDetection::new().get_base_ejection_time();
            unless(detection.get_base_ejection_time(), default)
        }),
    },
    Setting {
        key: "maxEjectionTime",
        access: Access::Time(OutlierDetection::max_ejection_time, |detection| {
            let base = detection.get_base_ejection_time();
            let default = OutlierDetection::new().base_ejection_time(base);
            unless(
                detection.get_max_ejection_time(),
                default.get_max_ejection_time(),
            )
        }),
    },
    Setting {
        key: "maxEjectionPercent",
        access: Access::Count(
            u32::MAX as u64,
            |detection, percent| detection.max_ejection_percent(percent as u32),
            |detection| {
                let default = OutlierDetection::new().get_max_ejection_percent();
                unless(detection.get_max_ejection_percent(), default).map(u64::from)
            },
        ),
    },
    Setting {
        key: "maxRetryAfter",
        access: Access::Time(OutlierDetection::max_retry_after, |detection| {
            let default = OutlierDetection::new().get_max_retry_after();
            unless(detection.get_max_retry_after(), default)
        }),
    },
];

fn unless<V: PartialEq>(value: V, default: V) -> Option<V> {
    (value != default).then_some(value)
}
