//! A 503 that says in its body that the engine is busy.
//!
//! vLLM answers so, without `Retry-After`, once `--max-num-queued-reqs` wait. Any other 503 is a
//! failure; this one says that the engine is well.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{Response, StatusCode, header::CONTENT_TYPE, response};
use http_body::Body;
use pin_project_lite::pin_project;
use serde_json::Value;

use crate::{
    attempt::{ResponseBody, outcome_of_answer},
    error::BoxError,
    server::Outcome,
};

/// The longest body that is read.
const MAX_BYTES: u64 = 4096;

/// Whether the body has to be read to know what the answer says of the engine.
pub(super) fn may_say_busy<R: Body>(response: &Response<R>) -> bool {
    let is_json = |value: &http::HeaderValue| value.as_bytes().starts_with(b"application/json");
    let length = response.body().size_hint().exact();
    outcome_of_answer(response) == Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE)
        && response.headers().get(CONTENT_TYPE).is_some_and(is_json)
        && length.is_some_and(|length| length <= MAX_BYTES)
}

/// The answer with its body, and what it says.
type Read<R> = (Response<ResponseBody<R>>, Outcome);

pin_project! {
    /// Reads such an answer.
    pub(super) struct Reading<R> {
        head: Option<response::Parts>,
        data: Vec<u8>,
        #[pin]
        body: R,
    }
}

impl<R: Body> Reading<R> {
    pub(super) fn new(response: Response<R>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            head: Some(head),
            data: Vec::new(),
            body,
        }
    }

    /// The same answer, with what it says.
    pub(super) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Read<R>, BoxError>>
    where
        R::Error: Into<BoxError>,
    {
        let mut this = self.project();
        while let Some(frame) = ready!(this.body.as_mut().poll_frame(cx)) {
            if let Ok(mut data) = frame.map_err(Into::into)?.into_data() {
                this.data
                    .extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
        }
        let data = Bytes::from(std::mem::take(this.data));
        let is_busy = says_busy(&data);
        let head = this.head.take().expect("Reading polled after completion");
        let status = head.status;
        let response = Response::from_parts(head, ResponseBody::own(data));
        let outcome = match is_busy {
            true => Outcome::Full(status, None),
            false => Outcome::Answered(status),
        };
        Poll::Ready(Ok((response, outcome)))
    }
}

/// Whether the message of the error, in OpenAI's or Anthropic's shape, has the word `busy`.
pub(super) fn says_busy(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body.pointer("/error/message").and_then(Value::as_str);
    message.is_some_and(|message| {
        let mut words = message.split(|c: char| !c.is_alphanumeric());
        words.any(|word| word.eq_ignore_ascii_case("busy"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_message_of_an_error_says_it() {
        for busy in [
            r#"{"error":{"message":"The engine is currently busy and cannot accept new requests.","code":503}}"#,
            r#"{"type":"error","error":{"type":"Service Unavailable","message":"Busy: try again"}}"#,
        ] {
            assert!(says_busy(busy.as_bytes()), "{busy}");
        }
        for other in [
            r#"{"error":{"message":"EngineCore encountered an issue","code":503}}"#,
            r#"{"error":{"message":"busybody"}}"#,
            r#"{"error":"busy"}"#,
            r#"{"message":"busy"}"#,
            "busy",
            "",
        ] {
            assert!(!says_busy(other.as_bytes()), "{other}");
        }
    }
}
