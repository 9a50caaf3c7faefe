//! An answer as server-sent events.

use std::{io, iter, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::Value;

use crate::{Engine, answer::Answer, monitor::Call};

/// The time in which what precedes a break reaches the wire: with the error, hyper throws
/// away what it has not sent yet.
const BEFORE_BREAK: Duration = Duration::from_millis(20);

/// The events of `answer`, each a frame of its own. Generation stops when the body is
/// dropped, that is, when the client goes away.
pub(crate) fn body(engine: &Engine, answer: Answer, include_usage: bool, call: Call) -> Body {
    let generation = Generation {
        events: events(answer, include_usage),
        delay: engine.token_delay,
        sent: 0,
        break_after: engine.break_after,
        _call: call,
    };
    Body::from_stream(stream::unfold(Some(generation), |generation| async {
        let mut generation = generation?;
        let event = generation.next().await?;
        let rest = event.is_ok().then_some(generation);
        Some((event, rest))
    }))
}

struct Generation<I> {
    events: I,
    delay: Duration,
    sent: usize,
    break_after: Option<usize>,
    _call: Call,
}

impl<I: Iterator<Item = Bytes>> Generation<I> {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let event = self.events.next()?;
        if self.break_after == Some(self.sent) {
            tokio::time::sleep(BEFORE_BREAK).await;
            return Some(Err(io::Error::other("this engine breaks its streams")));
        }
        if self.sent > 0 {
            pause(self.delay).await;
        }
        self.sent += 1;
        Some(Ok(event))
    }
}

/// Waits, at the least until the server has had a turn to flush the event before.
async fn pause(delay: Duration) {
    if delay.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(delay).await;
    }
}

fn events(answer: Answer, include_usage: bool) -> impl Iterator<Item = Bytes> + Send {
    let role = usize::from(answer.is_chat());
    let tokens = answer.tokens().max(1);
    let count = role + tokens + usize::from(include_usage);
    (0..count)
        .map(move |position| {
            let mut chunk = match position.checked_sub(role) {
                None => answer.role_chunk(),
                Some(index) if index < tokens => answer.token_chunk(index),
                Some(_) => return event(&answer.usage_chunk()),
            };
            if include_usage {
                // OpenAI's way to say that usage is still to come.
                chunk["usage"] = Value::Null;
            }
            event(&chunk)
        })
        .chain(iter::once(Bytes::from_static(b"data: [DONE]\n\n")))
}

fn event(chunk: &Value) -> Bytes {
    format!("data: {chunk}\n\n").into()
}
