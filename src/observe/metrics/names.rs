//! The names of the metrics, and the buckets of the histograms.

use metrics::Unit;

/// The buckets of the GenAI conventions for durations, in seconds.
const DURATION: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/// The same for tokens.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// The same for the time to the first token, in seconds, and up to a minute, which queues reach.
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 60.0,
];
/// The same for the time of an output token, in seconds.
const OUTPUT_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric: its name, what it is, its unit, and what it says.
pub(super) type Described = (&'static str, Kind, Unit, &'static str);

macro_rules! names {
    ($($name:ident = $text:literal, $kind:ident, $unit:ident: $says:literal;)*) => {
        $(pub(super) const $name: &str = $text;)*
        pub(super) const ALL: &[Described] = &[$(($name, Kind::$kind, Unit::$unit, $says),)*];
    };
}

names! {
    CLIENT_DURATION = "gen_ai.client.operation.duration", Histogram, Seconds: "From the arrival of a request to the end of its answer.";
    CLIENT_TOKENS = "gen_ai.client.token.usage", Histogram, Count: "Tokens of a request, as the engine has reported them.";
    CLIENT_FIRST = "gen_ai.client.operation.time_to_first_chunk", Histogram, Seconds: "From the arrival of a request to the first content of its stream.";
    CLIENT_EACH = "gen_ai.client.operation.time_per_output_chunk", Histogram, Seconds: "From one event with content to the next, on average over a stream.";
    SERVER_DURATION = "gen_ai.server.request.duration", Histogram, Seconds: "From the arrival of a request to the end of its answer.";
    SERVER_FIRST = "gen_ai.server.time_to_first_token", Histogram, Seconds: "From the arrival of a request to the first content of its stream.";
    SERVER_EACH = "gen_ai.server.time_per_output_token", Histogram, Seconds: "From one output token to the next, on average over a stream.";
    REQUESTS = "model_route_requests_total", Counter, Count: "Requests that have ended.";
    TOKENS_TOTAL = "model_route_tokens_total", Counter, Count: "Tokens by their type, reported or estimated.";
    USAGE = "model_route_usage_total", Counter, Count: "Answers by whether their usage is exact, estimated or unknown.";
    QUEUE_SECONDS = "model_route_queue_seconds", Histogram, Seconds: "The time that requests have waited for an endpoint with room.";
    RETRIES = "model_route_retries_total", Counter, Count: "Attempts that follow another, by how that has ended.";
    LIMITS = "model_route_limit_decisions_total", Counter, Count: "Decisions of limits.";
    IN_FLIGHT = "model_route_in_flight", Gauge, Count: "Requests in flight to an endpoint.";
    QUEUE = "model_route_queue_length", Gauge, Count: "Requests that wait for an endpoint with room.";
    HEALTH = "model_route_endpoint_health", Gauge, Count: "1 for the state that an endpoint is in.";
    INFO = "model_route_endpoint_info", Gauge, Count: "1 for the name of an endpoint.";
    FAILURES = "model_route_endpoint_failures_total", Counter, Count: "Failures of an endpoint.";
    EJECTIONS = "model_route_ejections_total", Counter, Count: "Ejections of an endpoint.";
    PICKS = "model_route_picks_total", Counter, Count: "Requests by the target that a rule has chosen.";
    RELOADS = "model_route_reloads_total", Counter, Count: "Reloads of the table, by their result.";
    RELOAD_ERROR = "model_route_reload_error", Gauge, Count: "1 while the last reload has failed or left something out.";
    WATCH_ERROR = "model_route_watch_error", Gauge, Count: "1 while a kind of object of the cluster is not watched.";
}

/// The histograms and the upper bounds of their buckets.
pub(super) const BUCKETS: &[(&str, &[f64])] = &[
    (CLIENT_DURATION, DURATION),
    (CLIENT_TOKENS, TOKENS),
    (CLIENT_FIRST, DURATION),
    (CLIENT_EACH, DURATION),
    (SERVER_DURATION, DURATION),
    (SERVER_FIRST, FIRST_TOKEN),
    (SERVER_EACH, OUTPUT_TOKEN),
    (QUEUE_SECONDS, FIRST_TOKEN),
];
