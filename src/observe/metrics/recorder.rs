//! The observer that counts and measures.

use std::{
    fmt,
    sync::{Mutex, OnceLock},
};

use super::{
    cache::Cache,
    collected::Collected,
    names,
    series::{Name, Series, counter, describe, histogram, labels},
};
use crate::{
    observe::{
        facts::{AttemptFacts, EndFacts, LimitFacts, RequestFacts},
        observer::Observer,
    },
    route::{RouteDecision, RouteTableHandle},
};

/// An observer that counts and measures through the [`metrics`](https://docs.rs/metrics) facade,
/// for whatever recorder the program has installed.
///
/// The names are those of OpenTelemetry's GenAI conventions (`gen_ai.client.*`, and
/// `gen_ai.server.*`, which today's dashboards query), and `model_route_*`; the guide on
/// [observing](crate::guide::observing) lists them with their labels. No label has anything that a
/// client made up: a model is `unknown` unless the table has it, so the number of series depends on
/// the configuration alone.
///
/// Handles are resolved when a series is first used, so install the recorder before that. Configure
/// the exporter's buckets with [`BUCKETS`](Self::BUCKETS). Values that are not events (requests in
/// flight, queues, health, picks, ejections, reloads) are read from the table by
/// [`collect`](Self::collect): call it before each scrape.
///
/// ```no_run
/// use std::sync::Arc;
/// use tower_model_route::{Metrics, ModelRouteLayer, RouteTable, RouteTableHandle};
/// # fn render() -> String { String::new() } // metrics_exporter_prometheus::PrometheusHandle::render
/// # fn layer(table: RouteTable) -> ModelRouteLayer {
/// let table = RouteTableHandle::new(table);
/// let metrics = Arc::new(Metrics::new(&table));
/// let layer = ModelRouteLayer::new(table).shared_observer(metrics.clone());
/// let scrape = move || {
///     metrics.collect();
///     render()
/// };
/// # let _ = scrape;
/// # layer
/// # }
/// ```
pub struct Metrics {
    pub(super) table: RouteTableHandle,
    pub(super) described: OnceLock<()>,
    series: Cache<Series>,
    retries: Cache<Retry>,
    limits: Cache<Limit>,
    queues: Cache<Queue>,
    /// What the last collection has told.
    pub(super) collected: Mutex<Collected>,
}

/// Retries at a ModelServer, by how the attempt before has ended.
struct Retry {
    server: Box<str>,
    reason: Reason,
    retries: metrics::Counter,
}

/// A status, or a word.
type Reason = Result<u16, &'static str>;

struct Limit {
    limit: Box<str>,
    route: Box<str>,
    verdict: &'static str,
    store: &'static str,
    decisions: metrics::Counter,
}

struct Queue {
    server: Box<str>,
    waits: metrics::Histogram,
}

impl Metrics {
    /// The histograms and the upper bounds of their buckets, those of OpenTelemetry's GenAI
    /// conventions if they define any. Pass them to the exporter.
    pub const BUCKETS: &'static [(&'static str, &'static [f64])] = names::BUCKETS;

    /// Metrics of the requests that are routed by this table.
    pub fn new(table: &RouteTableHandle) -> Self {
        Self {
            table: table.clone(),
            described: OnceLock::new(),
            series: Cache::default(),
            retries: Cache::default(),
            limits: Cache::default(),
            queues: Cache::default(),
            collected: Mutex::default(),
        }
    }

    fn waited(&self, decision: &RouteDecision, end: &EndFacts<'_>) {
        self.queues.with(
            &decision.model_server(),
            |queue, server| *queue.server == **server,
            |server| Queue {
                server: (*server).into(),
                waits: histogram(names::QUEUE_SECONDS, labels([("server", server)])),
            },
            |queue| queue.waits.record(end.times().queue.as_secs_f64()),
        );
    }
}

impl Observer for Metrics {
    fn attempt_begun(&self, attempt: &AttemptFacts<'_>) {
        let Some(why) = attempt.retried_after() else {
            return;
        };
        let reason: Reason = why
            .status()
            .map_or(Err(why.code()), |status| Ok(status.as_u16()));
        self.retries.with(
            &(attempt.decision().model_server(), reason),
            |retry, (server, reason)| *retry.server == **server && retry.reason == *reason,
            |(server, reason)| {
                let word = reason.map_or_else(str::to_owned, |status| status.to_string());
                let labels = labels([("server", server), ("reason", &word)]);
                Retry {
                    server: (*server).into(),
                    reason: *reason,
                    retries: counter(names::RETRIES, labels),
                }
            },
            |retry| retry.retries.increment(1),
        );
    }

    fn limited(&self, _: &RequestFacts, limit: &LimitFacts<'_>) {
        let verdict = limit.verdict().as_str();
        self.limits.with(
            &(limit.name(), limit.route(), verdict, limit.store()),
            |known, (name, route, verdict, store)| {
                (&*known.limit, &*known.route) == (*name, *route)
                    && (known.verdict, known.store) == (*verdict, *store)
            },
            |(name, route, verdict, store)| {
                let labels = labels([
                    ("limit", name),
                    ("route", route),
                    ("verdict", verdict),
                    ("store", store),
                ]);
                Limit {
                    limit: (*name).into(),
                    route: (*route).into(),
                    verdict,
                    store,
                    decisions: counter(names::LIMITS, labels),
                }
            },
            |known| known.decisions.increment(1),
        );
    }

    fn ended(&self, end: &EndFacts<'_>) {
        self.described.get_or_init(describe);
        if let Some(decision) = end.decision().filter(|_| !end.times().queue.is_zero()) {
            self.waited(decision, end);
        }
        let name = Name::of(end);
        self.series
            .with(&name, Series::is, Series::new, |series| series.record(end));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("series", &self.series)
            .finish_non_exhaustive()
    }
}
