//! The series that a request counts in, by labels that only the table and engines' statuses make.

use std::{
    hash::{Hash, Hasher},
    sync::OnceLock,
};

use metrics::{Counter, Histogram, Key, Label, Level, Metadata, SharedString};

use super::names;
use crate::observe::{
    facts::{ENGINE_ERROR, EndFacts, EndKind},
    operation::Operation,
};

static METADATA: Metadata<'static> =
    Metadata::new("tower_model_route", Level::INFO, Some("tower_model_route"));

/// What a model is called that the table does not know.
const UNKNOWN: &str = "unknown";

pub(super) type Labels = Vec<(&'static str, SharedString)>;

pub(super) fn labels<const N: usize>(labels: [(&'static str, &str); N]) -> Labels {
    let owned = labels.map(|(name, value)| (name, value.to_owned().into()));
    owned.into()
}

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
            error: end.error_code(),
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
    /// What only answers of engines have.
    answer: OnceLock<Answer>,
    stream: OnceLock<[Histogram; 4]>,
}

/// The handles for what an engine says.
struct Answer {
    tokens: [Histogram; 2],
    /// By their type, of usage that is exact.
    reported: [OnceLock<Counter>; 7],
    /// Input and output, of what was reported or counted without an end.
    estimated: [OnceLock<Counter>; 2],
    /// Exact, estimated, unknown.
    usage: [OnceLock<Counter>; 3],
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
const USAGE: [&str; 3] = ["exact", "estimated", "unknown"];

/// The labels of the GenAI conventions.
fn gen_ai(operation: Operation, model: &str) -> Labels {
    labels([
        ("gen_ai.operation.name", operation.as_str()),
        ("gen_ai.provider.name", operation.provider()),
        ("gen_ai.request.model", model),
    ])
}

impl Series {
    pub(super) fn is(&self, name: &Name<'_>) -> bool {
        let mut texts = self.texts.iter().zip(name.texts());
        self.rest == (name.operation, name.status, name.error)
            && texts.all(|(own, other)| **own == *other)
    }

    pub(super) fn new(name: &Name<'_>) -> Self {
        let status = name.status.map(|status| status.to_string());
        let mut gen_ai = gen_ai(name.operation, name.engine_model);
        match (name.error, &status) {
            (Some(ENGINE_ERROR), Some(status)) => {
                gen_ai.push(("error.type", status.clone().into()))
            }
            (Some(code), _) => gen_ai.push(("error.type", code.into())),
            (None, _) => {}
        }
        let durations = [names::CLIENT_DURATION, names::SERVER_DURATION];
        let requests = labels([
            ("model", name.model),
            ("route", name.route),
            ("rule", name.rule),
            ("server", name.server),
            ("endpoint", name.endpoint),
            ("status", status.as_deref().unwrap_or("none")),
            ("error_code", name.error.unwrap_or_default()),
        ]);
        Self {
            texts: name.texts().map(Into::into),
            rest: (name.operation, name.status, name.error),
            requests: counter(names::REQUESTS, requests),
            durations: durations.map(|metric| histogram(metric, gen_ai.clone())),
            answer: OnceLock::new(),
            stream: OnceLock::new(),
        }
    }

    pub(super) fn record(&self, end: &EndFacts<'_>) {
        self.requests.increment(1);
        let times = end.times();
        let total = times.total.as_secs_f64();
        self.durations
            .iter()
            .for_each(|duration| duration.record(total));
        if !end.is_answered() {
            return;
        }
        self.record_usage(end);
        let Some(first) = times.to_first_content else {
            return;
        };
        let [chunk, token, each_chunk, each_token] = self.stream.get_or_init(|| self.stream());
        chunk.record(first.as_secs_f64());
        token.record(first.as_secs_f64());
        if let Some(each) = times.per_output_event {
            each_chunk.record(each.as_secs_f64());
        }
        if let Some(each) = times.per_output_token {
            each_token.record(each.as_secs_f64());
        }
    }

    fn stream(&self) -> [Histogram; 4] {
        let [_, engine_model, ..] = &self.texts;
        let metrics = [
            names::CLIENT_FIRST,
            names::SERVER_FIRST,
            names::CLIENT_EACH,
            names::SERVER_EACH,
        ];
        metrics.map(|metric| histogram(metric, gen_ai(self.rest.0, engine_model)))
    }

    fn answer(&self) -> Answer {
        let [_, engine_model, ..] = &self.texts;
        let tokens = ["input", "output"].map(|kind| {
            let mut labels = gen_ai(self.rest.0, engine_model);
            labels.push(("gen_ai.token.type", kind.into()));
            histogram(names::CLIENT_TOKENS, labels)
        });
        Answer {
            tokens,
            reported: Default::default(),
            estimated: Default::default(),
            usage: Default::default(),
        }
    }

    fn record_usage(&self, end: &EndFacts<'_>) {
        let usage = end.usage();
        let (input, output) = end.totals();
        let is_reported = input.is_some() || output.is_some();
        let estimate = end.output_tokens();
        let how = match end.is_exact() {
            true => 0,
            false if is_reported || estimate > 0 => 1,
            false if end.kind() == EndKind::Error => return,
            false => 2,
        };
        let answer = self.answer.get_or_init(|| self.answer());
        if let (Some(counter), Some(how)) = (answer.usage.get(how), USAGE.get(how)) {
            counter.get_or_init(|| self.usage(how)).increment(1);
        }
        if !end.is_exact() {
            let counts = [input.unwrap_or_default(), estimate];
            for ((counter, kind), count) in answer.estimated.iter().zip(TYPES).zip(counts) {
                if count > 0 {
                    counter
                        .get_or_init(|| self.tokens(kind, "estimated"))
                        .increment(count);
                }
            }
            return;
        }
        let counts = [
            input,
            output,
            usage.cached,
            usage.cache_written,
            usage.reasoning,
            usage.input_audio,
            usage.output_audio,
        ];
        for (histogram, count) in answer.tokens.iter().zip(counts) {
            if let Some(count) = count {
                histogram.record(count as f64);
            }
        }
        for ((counter, kind), count) in answer.reported.iter().zip(TYPES).zip(counts) {
            if let Some(count @ 1..) = count {
                counter
                    .get_or_init(|| self.tokens(kind, "exact"))
                    .increment(count);
            }
        }
    }

    fn usage(&self, how: &'static str) -> Counter {
        let [.., server, _] = &self.texts;
        counter(names::USAGE, labels([("server", server), ("how", how)]))
    }

    fn tokens(&self, kind: &'static str, how: &'static str) -> Counter {
        let [model, .., server, _] = &self.texts;
        let labels = labels([
            ("model", model),
            ("server", server),
            ("type", kind),
            ("how", how),
        ]);
        counter(names::TOKENS_TOTAL, labels)
    }
}
