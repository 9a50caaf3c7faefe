//! An answer as server-sent events.

use std::{fmt, io, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    Engine,
    answer::Answer,
    fault::{Fault, error_event, malformed},
    messages,
    monitor::Call,
    question::Endpoint,
    responses,
};

/// The time in which what precedes a break reaches the wire: with the error, hyper throws
/// away what it has not sent yet.
const BEFORE_BREAK: Duration = Duration::from_millis(20);

pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// The events of an answer.
pub(crate) struct Events {
    pub(crate) before: Vec<Bytes>,
    pub(crate) token: Box<dyn Fn(usize) -> Bytes + Send>,
    pub(crate) tokens: usize,
    pub(crate) after: Vec<Bytes>,
}

impl Events {
    fn get(&self, position: usize) -> Option<Bytes> {
        let Some(index) = position.checked_sub(self.before.len()) else {
            return self.before.get(position).cloned();
        };
        match index.checked_sub(self.tokens) {
            None => Some((self.token)(index)),
            Some(index) => self.after.get(index).cloned(),
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// The events of `answer`, each a frame of its own. Generation stops when the body is
/// dropped, that is, when the client goes away.
pub(crate) fn body(engine: &Engine, answer: Answer, include_usage: bool, call: Call) -> Body {
    let endpoint = answer.endpoint();
    let generation = Generation {
        endpoint,
        events: events(answer, include_usage),
        engine: engine.clone(),
        sent: 0,
        is_waiting: false,
        until: None,
        _call: call,
    };
    Body::from_stream(stream::unfold(Some(generation), |generation| async {
        let mut generation = generation?;
        let event = generation.next().await?;
        let rest = event.is_ok().then_some(generation);
        Some((event, rest))
    }))
}

struct Generation {
    endpoint: Endpoint,
    events: Events,
    engine: Engine,
    sent: usize,
    /// Whether the wait before the next event has begun.
    is_waiting: bool,
    /// When the next event is due. `None` while it waits: never.
    until: Option<Instant>,
    _call: Call,
}

impl Generation {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let fault = self.engine.fault.filter(|(after, _)| *after == self.sent);
        if let Some(comment) = self
            .wait(fault.is_some_and(|(_, fault)| fault == Fault::Hang))
            .await
        {
            return Some(Ok(comment));
        }
        let position = self.sent;
        self.sent += 1;
        let event = self.events.get(position)?;
        match fault.map(|(_, fault)| fault) {
            None | Some(Fault::Hang) => Some(Ok(event)),
            Some(Fault::Malformed) => Some(Ok(malformed(&event))),
            Some(Fault::End) => None,
            Some(Fault::Error(status)) => {
                self.sent = usize::MAX;
                Some(Ok(error_event(self.endpoint, status)))
            }
            Some(Fault::Break) => {
                tokio::time::sleep(BEFORE_BREAK).await;
                Some(Err(io::Error::other("this engine breaks its streams")))
            }
        }
    }

    /// Waits until the next event is due, or a comment before it, which is returned.
    async fn wait(&mut self, for_ever: bool) -> Option<Bytes> {
        if !self.is_waiting {
            self.is_waiting = true;
            self.until = (!for_ever).then(|| Instant::now() + self.delay());
        }
        let due = async {
            match self.until {
                // At the least until the server has had a turn to flush the event before.
                Some(until) if until <= Instant::now() => tokio::task::yield_now().await,
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let comment = async {
            match self.engine.comments {
                Some(interval) => tokio::time::sleep(interval).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = due => {
                self.is_waiting = false;
                None
            }
            () = comment => Some(comment_of(self.endpoint)),
        }
    }

    /// How long before the next event nothing is said.
    fn delay(&self) -> Duration {
        let first = self.engine.first_event_delay;
        let token = self.engine.first_token_delay;
        let usual = self.engine.token_delay;
        let is_first = self.sent == 0;
        let is_first_token = self.sent == self.events.before.len();
        let delay = if is_first { first } else { usual };
        if is_first_token { delay + token } else { delay }
    }
}

fn comment_of(endpoint: Endpoint) -> Bytes {
    match endpoint {
        Endpoint::Messages => Bytes::from_static(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"),
        _ => Bytes::from_static(b": keep-alive\n\n"),
    }
}

fn events(answer: Answer, include_usage: bool) -> Events {
    match answer.endpoint() {
        Endpoint::Messages => return messages::events(answer),
        Endpoint::Responses => return responses::events(answer),
        Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => {}
    }
    let chunk = move |mut chunk: Value| {
        if include_usage {
            // OpenAI's way to say that usage is still to come.
            chunk["usage"] = Value::Null;
        }
        event(&chunk)
    };
    let role = answer.is_chat().then(|| chunk(answer.role_chunk()));
    let usage = include_usage.then(|| event(&answer.usage_chunk()));
    Events {
        before: role.into_iter().collect(),
        tokens: answer.tokens.max(1),
        after: usage
            .into_iter()
            .chain([Bytes::from_static(DONE)])
            .collect(),
        token: Box::new(move |index| chunk(answer.token_chunk(index))),
    }
}

pub(crate) fn event(chunk: &Value) -> Bytes {
    format!("data: {chunk}\n\n").into()
}

/// An event with its `type` for a name.
pub(crate) fn named(chunk: &Value) -> Bytes {
    let name = chunk["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {chunk}\n\n").into()
}
