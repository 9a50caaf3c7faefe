//! What observers are told of requests.

mod access_log_has_a_line_each;
mod each_end_is_told_once;
mod endpoints_have_names;
mod facts_in_order;
mod metrics_have_known_names_only;
mod observing_changes_nothing;
mod unreachable_engines_are_said;
mod usage_is_forced_unseen;
mod usage_of_each_api;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Extensions, StatusCode, request::Parts};
use serde_json::Value;
use test_kit::gateway::Rig;
use tower_model_route::{
    AttemptFacts, EndFacts, EndKind, ModelRouteLayer, Observer, RequestFacts, RouteDecision,
    RouteError, RouteTable, Times, Usage,
};

/// An event with content.
const CHUNK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

/// Keeps all that it is told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<(Vec<String>, Vec<End>)>>);

/// What it was told of an end.
#[derive(Clone, Debug)]
struct End {
    kind: EndKind,
    status: Option<u16>,
    code: Option<&'static str>,
    server: Option<String>,
    endpoint: Option<String>,
    route: Option<String>,
    requested: Option<String>,
    answered: bool,
    attempts: u32,
    stream: bool,
    usage: Usage,
    exact: bool,
    output: u64,
    contents: u64,
    bytes: u64,
    times: Times,
    note: Option<&'static str>,
}

/// What a layer above says of the caller.
#[derive(Clone, Copy)]
struct Tenant(&'static str);

impl Heard {
    fn say(&self, what: String) {
        self.0.lock().unwrap().0.push(what);
    }

    /// What it was told since this was asked last.
    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }

    fn ends(&self) -> Vec<End> {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }

    /// The only end since this was asked last.
    #[track_caller]
    fn end(&self) -> End {
        let mut ends = self.ends();
        assert_eq!(ends.len(), 1, "{ends:?}");
        ends.remove(0)
    }

    fn rig(&self, table: RouteTable) -> Rig {
        Rig::with(table, |table| {
            ModelRouteLayer::new(table).observer(self.clone())
        })
    }
}

impl Observer for Heard {
    fn received(&self, head: &Parts, notes: &mut Extensions) {
        if let Some(tenant) = head.extensions.get::<Tenant>() {
            notes.insert(*tenant);
        }
        self.say(format!("received {}", head.uri.path()));
    }

    fn decided(&self, request: &RequestFacts, decision: &RouteDecision) {
        let (id, endpoint) = (request.id(), decision.endpoint());
        assert!(!id.is_empty());
        self.say(format!("decided {endpoint}"));
    }

    fn rejected(&self, _: &RequestFacts, error: &RouteError) {
        self.say(format!("rejected {}", error.kind().code()));
    }

    fn attempt_begun(&self, attempt: &AttemptFacts<'_>) {
        assert!(attempt.outcome().is_none() && attempt.duration().is_none());
        let (endpoint, n) = (attempt.decision().endpoint(), attempt.decision().attempts());
        let why = attempt.retried_after().map(|why| why.code());
        self.say(format!("attempt {n} at {endpoint} after {why:?}"));
    }

    fn attempt_ended(&self, attempt: &AttemptFacts<'_>) {
        let outcome = attempt.outcome().unwrap();
        let millis = attempt.duration().unwrap().as_millis();
        self.say(format!("{} {outcome} in {millis} ms", outcome.code()));
    }

    fn first_content(&self, request: &RequestFacts) {
        self.say(format!("content at {} ms", request.age().as_millis()));
    }

    fn ended(&self, end: &EndFacts<'_>) {
        self.say(format!("ended {}", end.kind().as_str()));
        self.0.lock().unwrap().1.push(End {
            kind: end.kind(),
            status: end.status().as_ref().map(StatusCode::as_u16),
            code: end.error().map(|error| error.kind().code()),
            server: end.decision().map(|to| to.model_server().to_owned()),
            endpoint: end.decision().map(|to| to.endpoint().to_owned()),
            route: end.route().map(str::to_owned),
            requested: end.requested_model().map(str::to_owned),
            answered: end.is_answered(),
            attempts: end.attempts(),
            stream: end.is_stream(),
            usage: *end.usage(),
            exact: end.is_exact(),
            output: end.output_tokens(),
            contents: end.contents(),
            bytes: end.bytes(),
            times: *end.times(),
            note: end.request().notes().get::<Tenant>().map(|tenant| tenant.0),
        });
    }
}

/// The lines of each end, as text and as JSON.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(String, String)>>>);

impl Observer for Lines {
    fn ended(&self, end: &EndFacts<'_>) {
        let lines = (end.text().to_string(), end.json().to_string());
        self.0.lock().unwrap().push(lines);
    }
}

impl Lines {
    fn rig(&self, table: RouteTable) -> Rig {
        Rig::with(table, |table| {
            ModelRouteLayer::new(table).observer(self.clone())
        })
    }

    #[track_caller]
    fn last(&self) -> (String, Value) {
        let (text, json) = self.0.lock().unwrap().pop().expect("a line");
        (text, serde_json::from_str(&json).expect(&json))
    }
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
