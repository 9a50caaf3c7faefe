//! A client that may have to wait for the first event of a stream.

use http::{
    HeaderMap, HeaderValue, Response,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};

use crate::{
    attempt::KeepAlive, config::TrafficPolicy, error::X_REQUEST_ID, events::Dialect,
    limit::Standings,
};

/// What it gets before there is an answer.
pub(super) struct Waiter {
    pub(super) keep_alive: KeepAlive,
    pub(super) dialect: Dialect,
    /// The request's.
    pub(super) id: HeaderValue,
    /// What was left of its limits, as far as the head is to say that.
    pub(super) standings: Standings,
}

impl Waiter {
    /// `None` if the policy does not ask for it, the client does not ask for a stream of server-sent
    /// events (`stream` says whether its body does), or its API is not known to have such streams:
    /// what is asked for may be audio.
    pub(super) fn new(
        policy: &TrafficPolicy,
        head: &Parts,
        dialect: Dialect,
        stream: bool,
        id: &HeaderValue,
    ) -> Option<Self> {
        let interval = policy.get_sse_keepalive()?;
        // Ollama's streams are lines of JSON, which have no comments; and Cohere's clients would see no
        // error behind them.
        let has_events =
            dialect.has_terminal() && !matches!(dialect, Dialect::Ollama | Dialect::Cohere);
        let is_asked_for = stream || streams_by_path(head);
        let is_wanted = has_events && is_asked_for && !excludes_events(&head.headers);
        is_wanted.then_some(())?;
        Some(Self {
            keep_alive: KeepAlive::new(interval, dialect),
            dialect,
            id: id.clone(),
            standings: Standings::default(),
        })
    }

    /// The head that is sent before the engine's is known.
    pub(super) fn open(&self) -> Response<()> {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        let events = HeaderValue::from_static("text/event-stream");
        headers.insert(CONTENT_TYPE, events);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(X_REQUEST_ID, self.id.clone());
        self.standings.write(headers);
        response
    }
}

/// Gemini's paths say it, and its query that the events are server-sent.
fn streams_by_path(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    head.uri.path().ends_with(":streamGenerateContent")
        && query.split('&').any(|pair| pair == "alt=sse")
}

/// SDKs that ask for a stream in the body send `Accept: application/json` all the same, so
/// only an `Accept` with neither type excludes events.
fn excludes_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().peekable();
    let types = [
        "text/event-stream",
        "application/json",
        "text/*",
        "application/*",
        "*/*",
    ];
    accepted.peek().is_some()
        && !accepted
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
            .filter_map(|range| range.split(|&byte| byte == b';').next())
            .any(|range| {
                let range = range.trim_ascii();
                types
                    .iter()
                    .any(|name| range.eq_ignore_ascii_case(name.as_bytes()))
            })
}
