//! The series that a request counts in, by labels that only the table and engines' statuses make.

use std::hash::{Hash, Hasher};

use metrics::{Counter, Histogram, Key, Label, Level, Metadata, SharedString};

use super::names;
use crate::observe::{
    facts::{EndFacts, EndKind},
    operation::Operation,
};

static METADATA: Metadata<'static> =
    Metadata::new("tower_model_route", Level::INFO, Some("tower_model_route"));

/// What a model is called that the table does not know.
const UNKNOWN: &str = "unknown";

type Labels = Vec<(&'static str, SharedString)>;

fn key(name: &'static str, labels: Labels) -> Key {
    let labels = labels
        .into_iter()
        .map(|(name, value)| Label::new(name, value));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

pub(super) fn counter(name: &'static str, labels: Labels) -> Counter {
    let key = key(name, labels);
    metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
}

pub(super) fn gauge(name: &'static str, labels: Labels) -> metrics::Gauge {
    let key = key(name, labels);
    metrics::with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
}

pub(super) fn histogram(name: &'static str, labels: Labels) -> Histogram {
    let key = key(name, labels);
    metrics::with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
}

/// Says to the recorder what each metric is.
pub(super) fn describe() {
    metrics::with_recorder(|recorder| {
        for (name, kind, unit, says) in names::ALL {
            let (name, unit, says) = ((*name).into(), Some(*unit), (*says).into());
            match kind {
                names::Kind::Counter => recorder.describe_counter(name, unit, says),
                names::Kind::Gauge => recorder.describe_gauge(name, unit, says),
                names::Kind::Histogram => recorder.describe_histogram(name, unit, says),
            }
        }
    });
}

/// What the series of a request are named after.
pub(super) struct Name<'a> {
    operation: Operation,
    model: &'a str,
    engine_model: &'a str,
    route: &'a str,
    rule: &'a str,
    server: &'a str,
    endpoint: &'a str,
    status: Option<u16>,
    error: Option<&'static str>,
}

impl<'a> Name<'a> {
    pub(super) fn of(end: &EndFacts<'a>) -> Self {
        let decision = end.decision();
        Self {
            operation: end.request().operation,
            model: end.model().unwrap_or(UNKNOWN),
            engine_model: decision.map_or(UNKNOWN, |to| to.known_engine_model()),
            route: end.route().unwrap_or_default(),
            rule: end.rule().unwrap_or_default(),
            server: decision.map_or("", |to| to.model_server()),
            endpoint: decision.map_or("", |to| to.endpoint()),
            status: end.status().map(|status| status.as_u16()),
            error: match (end.error(), end.kind()) {
                (Some(error), _) => Some(error.kind().code()),
                (None, EndKind::Ok) => None,
                (None, EndKind::Error) => Some("engine_error"),
                (None, EndKind::ClientGone) => Some("client_gone"),
                (None, EndKind::Interrupted) => Some("stream_interrupted"),
            },
        }
    }

    fn texts(&self) -> [&str; 6] {
        [
            self.model,
            self.engine_model,
            self.route,
            self.rule,
            self.server,
            self.endpoint,
        ]
    }
}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.operation, self.status, self.error).hash(state);
        self.texts().hash(state);
    }
}

/// The handles of a request's metrics.
pub(super) struct Series {
    texts: [Box<str>; 6],
    rest: (Operation, Option<u16>, Option<&'static str>),
    requests: Counter,
    durations: [Histogram; 2],
    firsts: [Histogram; 2],
    eaches: [Histogram; 2],
    tokens: Tokens,
}

struct Tokens {
    input: Histogram,
    output: Histogram,
    /// By their type, of usage that is exact.
    reported: [Counter; 7],
    estimated: Counter,
    /// Exact, estimated, unknown.
    usage: [Counter; 3],
}

const TYPES: [&str; 7] = [
    "input",
    "output",
    "cached",
    "cache_written",
    "reasoning",
    "input_audio",
    "output_audio",
];

impl Series {
    pub(super) fn is(&self, name: &Name<'_>) -> bool {
        self.rest == (name.operation, name.status, name.error)
            && self
                .texts
                .iter()
                .zip(name.texts())
                .all(|(own, other)| **own == *other)
    }

    pub(super) fn new(name: &Name<'_>) -> Self {
        let owned = |text: &str| SharedString::from(text.to_owned());
        let gen_ai = |metric, error: bool, token_type: Option<&'static str>| {
            let mut labels = vec![
                ("gen_ai.operation.name", name.operation.as_str().into()),
                ("gen_ai.provider.name", name.operation.provider().into()),
                ("gen_ai.request.model", owned(name.engine_model)),
            ];
            let status = name.status.filter(|_| name.error == Some("engine_error"));
            if let Some(code) = name.error.filter(|_| error) {
                let code =
                    status.map_or(code.into(), |status| SharedString::from(status.to_string()));
                labels.push(("error.type", code));
            }
            labels.extend(token_type.map(|kind| ("gen_ai.token.type", kind.into())));
            histogram(metric, labels)
        };
        let tokens_of = |kind: &'static str, how: &'static str| {
            counter(
                names::TOKENS_TOTAL,
                vec![
                    ("model", owned(name.model)),
                    ("server", owned(name.server)),
                    ("type", kind.into()),
                    ("how", how.into()),
                ],
            )
        };
        let usage = |how: &'static str| {
            counter(
                names::USAGE,
                vec![("server", owned(name.server)), ("how", how.into())],
            )
        };
        let status = name
            .status
            .map_or("none".to_owned(), |status| status.to_string());
        Self {
            texts: name.texts().map(Into::into),
            rest: (name.operation, name.status, name.error),
            requests: counter(
                names::REQUESTS,
                vec![
                    ("model", owned(name.model)),
                    ("route", owned(name.route)),
                    ("rule", owned(name.rule)),
                    ("server", owned(name.server)),
                    ("endpoint", owned(name.endpoint)),
                    ("status", status.into()),
                    ("error_code", name.error.unwrap_or_default().into()),
                ],
            ),
            durations: [names::CLIENT_DURATION, names::SERVER_DURATION]
                .map(|metric| gen_ai(metric, true, None)),
            firsts: [names::CLIENT_FIRST, names::SERVER_FIRST]
                .map(|metric| gen_ai(metric, false, None)),
            eaches: [names::CLIENT_EACH, names::SERVER_EACH]
                .map(|metric| gen_ai(metric, false, None)),
            tokens: Tokens {
                input: gen_ai(names::CLIENT_TOKENS, false, Some("input")),
                output: gen_ai(names::CLIENT_TOKENS, false, Some("output")),
                reported: TYPES.map(|kind| tokens_of(kind, "exact")),
                estimated: tokens_of("output", "estimated"),
                usage: ["exact", "estimated", "unknown"].map(usage),
            },
        }
    }

    pub(super) fn record(&self, end: &EndFacts<'_>) {
        self.requests.increment(1);
        let times = end.times();
        let total = times.total.as_secs_f64();
        self.durations
            .iter()
            .for_each(|duration| duration.record(total));
        if let Some(first) = times.to_first_content {
            let first = first.as_secs_f64();
            self.firsts
                .iter()
                .for_each(|histogram| histogram.record(first));
        }
        let [chunk, token] = &self.eaches;
        if let Some(each) = times.per_output_event {
            chunk.record(each.as_secs_f64());
        }
        if let Some(each) = times.per_output_token {
            token.record(each.as_secs_f64());
        }
        if end.is_answered() {
            self.tokens.record(end);
        }
    }
}

impl Tokens {
    fn record(&self, end: &EndFacts<'_>) {
        let [exact, estimated, unknown] = &self.usage;
        let usage = end.usage();
        if !end.is_exact() {
            let output = end.output_tokens();
            self.estimated.increment(output);
            let how = if output > 0 || usage.input.is_some() {
                estimated
            } else {
                unknown
            };
            return how.increment(1);
        }
        exact.increment(1);
        if let Some(input) = usage.input {
            self.input.record(input as f64);
        }
        if let Some(output) = usage.output {
            self.output.record(output as f64);
        }
        let counts = [
            usage.input,
            usage.output,
            usage.cached,
            usage.cache_written,
            usage.reasoning,
            usage.input_audio,
            usage.output_audio,
        ];
        for (counter, count) in self.reported.iter().zip(counts) {
            if let Some(count @ 1..) = count {
                counter.increment(count);
            }
        }
    }
}
