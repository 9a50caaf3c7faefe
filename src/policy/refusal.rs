//! Answers in JSON that say in a short body what they mean for the request or its engine.
//!
//! - A 503: vLLM says so, without `Retry-After`, that it is busy once `--max-num-queued-reqs` wait.
//!   Any other 503 is a failure; this one says that the engine is well.
//! - A 404, or SGLang's 400: the engine does not have the model, and another may.
//! - A 400: the request is longer than the model's context, and that of another may be longer.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{Response, StatusCode, header::CONTENT_TYPE, response};
use http_body::{Body, Frame};
use serde_json::Value;

use crate::{
    attempt::{AttemptTimes, ResponseBody, outcome_of_answer},
    error::BoxError,
    server::{Declined, Outcome},
};

/// The longest body that is read.
const MAX_BYTES: usize = 4096;
/// In so many frames: each may have a single byte.
const MAX_FRAMES: usize = 64;

/// What is looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    unknown_model: bool,
    too_long: bool,
}

impl Looks {
    pub(super) fn of(times: &AttemptTimes) -> Self {
        Self {
            unknown_model: times.sees_unknown_model,
            too_long: times.sees_too_long,
        }
    }

    /// Whether the body has to be read to know what the answer says.
    pub(super) fn reads<R: Body>(self, response: &Response<R>) -> bool {
        let Outcome::Answered(status) = outcome_of_answer(response) else {
            return false;
        };
        let length = response.body().size_hint();
        let may_say = match status {
            StatusCode::SERVICE_UNAVAILABLE => length.exact().is_some(),
            StatusCode::NOT_FOUND => self.unknown_model,
            StatusCode::BAD_REQUEST => self.unknown_model || self.too_long,
            _ => false,
        };
        let is_json = |value: &http::HeaderValue| value.as_bytes().starts_with(b"application/json");
        may_say
            && response.headers().get(CONTENT_TYPE).is_some_and(is_json)
            && length.lower() <= MAX_BYTES as u64
    }

    /// What an answer with this body says.
    fn outcome(self, status: StatusCode, body: &[u8]) -> Outcome {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Outcome::Answered(status);
        };
        match status {
            StatusCode::SERVICE_UNAVAILABLE if is_busy(&body) => Outcome::Full(status, None),
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST
                if self.unknown_model && is_unknown_model(status, &body) =>
            {
                Outcome::Declined(status, Declined::UnknownModel)
            }
            StatusCode::BAD_REQUEST if self.too_long && is_too_long(&body) => {
                Outcome::Declined(status, Declined::TooLong)
            }
            _ => Outcome::Answered(status),
        }
    }
}

/// The answer with its body, and what it says.
type Read<R> = (Response<ResponseBody<R>>, Outcome);

/// Reads such an answer; if it is longer than announced, it goes on as it came.
pub(super) struct Reading<R> {
    looks: Looks,
    head: response::Parts,
    read: VecDeque<Frame<Bytes>>,
    size: usize,
    body: Pin<Box<R>>,
}

impl<R: Body> Reading<R> {
    pub(super) fn new(looks: Looks, response: Response<R>) -> Box<Self> {
        let (head, body) = response.into_parts();
        Box::new(Self {
            looks,
            head,
            read: VecDeque::new(),
            size: 0,
            body: Box::pin(body),
        })
    }

    /// Ready once enough of it is there; then [`into_read`](Self::into_read) gives it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>
    where
        R::Error: Into<BoxError>,
    {
        while self.is_short()
            && let Some(frame) = ready!(self.body.as_mut().poll_frame(cx))
        {
            let frame = frame.map_err(Into::into)?;
            let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
            self.size += frame.data_ref().map_or(0, Bytes::len);
            self.read.push_back(frame);
        }
        Poll::Ready(Ok(()))
    }

    fn is_short(&self) -> bool {
        self.size <= MAX_BYTES && self.read.len() <= MAX_FRAMES
    }

    /// The same answer, with what it says.
    pub(super) fn into_read(self) -> Read<R> {
        let status = self.head.status;
        let outcome = match self.is_short() {
            true => {
                let data = self.read.iter().filter_map(Frame::data_ref);
                let data: Vec<&[u8]> = data.map(|data| &**data).collect();
                self.looks.outcome(status, &data.concat())
            }
            false => Outcome::Answered(status),
        };
        let body = ResponseBody::resumed(self.read, self.body);
        (Response::from_parts(self.head, body), outcome)
    }
}

/// Whether an error, in OpenAI's or Anthropic's shape, says that the engine is busy.
pub(super) fn says_busy(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|body| is_busy(&body))
}

/// Whether its message has the word `busy`.
fn is_busy(body: &Value) -> bool {
    let message = body.pointer("/error/message").and_then(Value::as_str);
    message.is_some_and(|message| {
        let mut words = message.split(|c: char| !c.is_alphanumeric());
        words.any(|word| word.eq_ignore_ascii_case("busy"))
    })
}

/// What an error says: SGLang has no object around it, Ollama a text in place of one.
struct Said<'a> {
    error: &'a Value,
    message: &'a str,
}

impl<'a> Said<'a> {
    fn of(body: &'a Value) -> Self {
        let error = body.get("error").unwrap_or(body);
        let message = error.get("message").unwrap_or(error).as_str();
        Self {
            error,
            message: message.unwrap_or_default(),
        }
    }

    fn has_code(&self, code: &str) -> bool {
        let has = |key| self.error.get(key).and_then(Value::as_str) == Some(code);
        has("code") || has("type")
    }

    fn has_words(&self, words: &str) -> bool {
        let message = self.message.as_bytes().windows(words.len());
        let mut message = message;
        message.any(|part| part.eq_ignore_ascii_case(words.as_bytes()))
    }
}

fn is_unknown_model(status: StatusCode, body: &Value) -> bool {
    let said = Said::of(body);
    if status == StatusCode::BAD_REQUEST {
        return said.has_words("LoRA adapters are not loaded");
    }
    let is_of_model = said.has_words("model");
    let is_missing = said.has_words("does not exist") || said.has_words("not found");
    said.has_code("model_not_found") || is_of_model && is_missing
}

fn is_too_long(body: &Value) -> bool {
    let said = Said::of(body);
    said.has_code("context_length_exceeded")
        || [
            // vLLM and OpenAI; vLLM of its output; SGLang; llama.cpp; Anthropic.
            "maximum context length",
            "cannot be greater than max_model_len",
            "longer than the model's context length",
            "exceeds the available context size",
            "prompt is too long",
        ]
        .iter()
        .any(|words| said.has_words(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_message_of_an_error_says_that_it_is_busy() {
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

    fn says(status: u16, body: &str) -> Outcome {
        let looks = Looks {
            unknown_model: true,
            too_long: true,
        };
        looks.outcome(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn the_engines_words_for_a_model_that_they_do_not_have() {
        for (status, body) in [
            // vLLM 0.32, as captured.
            (
                404,
                r#"{"error":{"message":"The model `lora-C` does not exist. Valid aliases: org/base-v1, org/base-alias.","type":"NotFoundError","param":"model","code":404}}"#,
            ),
            (
                404,
                r#"{"type":"error","error":{"type":"NotFoundError","message":"The model `no-such-model` does not exist. Valid aliases: org/base-v1, org/base-alias."}}"#,
            ),
            (
                404,
                r#"{"error":{"message":"no","type":"invalid_request_error","code":"model_not_found"}}"#,
            ),
            // Ollama.
            (
                404,
                r#"{"error":"model \"x\" not found, try pulling it first"}"#,
            ),
            // SGLang.
            (
                400,
                r#"{"object":"error","message":"The following requested LoRA adapters are not loaded: x\nLoaded adapters: dict_keys([]).","type":"BadRequest","param":null,"code":400}"#,
            ),
        ] {
            let status_code = StatusCode::from_u16(status).unwrap();
            let expected = Outcome::Declined(status_code, Declined::UnknownModel);
            assert_eq!(says(status, body), expected, "{body}");
        }
        for other in [
            r#"{"error":{"message":"Response with id 'resp_b3d9e31f60bd3376' not found.","type":"invalid_request_error","param":"response_id","code":404}}"#,
            r#"{"detail":"Not Found"}"#,
            r#"{"error":{"message":"the model is fine"}}"#,
            r#"{"error":[1]}"#,
            "[]",
            "The model does not exist",
            "",
        ] {
            let as_it_is = Outcome::Answered(StatusCode::NOT_FOUND);
            assert_eq!(says(404, other), as_it_is, "{other}");
        }
    }

    #[test]
    fn the_engines_words_for_what_is_too_long() {
        for body in [
            // vLLM 0.32, as captured.
            r#"{"error":{"message":"This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=513)","type":"BadRequestError","param":"input_tokens","code":400}}"#,
            r#"{"error":{"message":"max_tokens=100000 cannot be greater than max_model_len=512. Please request fewer output tokens. (parameter=max_tokens, value=100000)","type":"BadRequestError","param":"max_tokens","code":400}}"#,
            r#"{"error":{"message":"no","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            r#"{"object":"error","message":"The input (9 tokens) is longer than the model's context length (8 tokens).","code":400}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"#,
        ] {
            let expected = Outcome::Declined(StatusCode::BAD_REQUEST, Declined::TooLong);
            assert_eq!(says(400, body), expected, "{body}");
        }
        for other in [
            r#"{"error":{"message":"temperature must be non-negative, got -1.0.","type":"BadRequestError","param":"temperature","code":400}}"#,
            r#"{"detail":"There was an error parsing the body"}"#,
        ] {
            let as_it_is = Outcome::Answered(StatusCode::BAD_REQUEST);
            assert_eq!(says(400, other), as_it_is, "{other}");
        }
    }
}
