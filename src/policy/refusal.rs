//! JSON answers whose short body says what they mean for the request or its engine.
//!
//! - A 503: this is how vLLM says, without `Retry-After`, that it is busy, once
//!   `--max-num-queued-reqs` requests wait. Any other 503 is a failure; this one means that
//!   the engine is well.
//! - A 404, or SGLang's 400: the engine does not have the model, and another may.
//! - A 400: the request is longer than the model's context, and that of another may be longer.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{Response, StatusCode, response};
use http_body::{Body, Frame};
use serde_json::Value;

use super::error_body::ErrorBody;
use crate::{
    attempt::{AttemptTimes, Exchange, ResponseBody, outcome_of_answer},
    error::{BoxError, RouteError},
    events::Format,
    server::{Declined, Outcome},
};

/// The longest body that is read.
const MAX_BYTES: usize = 4096;
/// The most frames: each may have a single byte.
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
        may_say
            && Format::of(response.headers()) == Format::Json
            && length.lower() <= MAX_BYTES as u64
    }

    /// What an answer with this body says about an engine that was asked for `model`.
    fn outcome(self, status: StatusCode, body: &[u8], model: impl FnOnce() -> String) -> Outcome {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Outcome::Answered(status);
        };
        let error = ErrorBody::of(&body);
        let lacks_model = match status {
            StatusCode::NOT_FOUND => self.unknown_model && error.lacks_model(&model()),
            StatusCode::BAD_REQUEST => self.unknown_model && error.lacks_adapter(&model()),
            _ => false,
        };
        match status {
            StatusCode::SERVICE_UNAVAILABLE if error.is_busy() => Outcome::Full(status, None),
            _ if lacks_model => Outcome::Declined(status, Declined::UnknownModel),
            StatusCode::BAD_REQUEST if self.too_long && error.is_too_long() => {
                Outcome::Declined(status, Declined::TooLong)
            }
            _ => Outcome::Answered(status),
        }
    }
}

/// The answer with its body, and what it says.
type Read<R> = (Response<ResponseBody<R>>, Outcome);

/// Reads such an answer. One that is longer than announced, takes too long or breaks off goes on as
/// it came: its head has said what has to be known of it.
pub(super) struct Reading<R> {
    looks: Looks,
    head: response::Parts,
    read: VecDeque<Frame<Bytes>>,
    size: usize,
    is_whole: bool,
    /// Why nothing follows what was read.
    broken: Option<BoxError>,
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
            is_whole: false,
            broken: None,
            body: Box::pin(body),
        })
    }

    /// Ready once enough of it is there; then [`into_read`](Self::into_read) gives it, as it does
    /// before if there is no more time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>
    where
        R::Error: Into<BoxError>,
    {
        while self.is_short() {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                None => {
                    self.is_whole = true;
                    break;
                }
                Some(Err(error)) => {
                    self.broken = Some(error.into());
                    break;
                }
                Some(Ok(frame)) => {
                    let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                    self.size += frame.data_ref().map_or(0, Bytes::len);
                    self.read.push_back(frame);
                }
            }
        }
        Poll::Ready(())
    }

    /// The rest has taken too long, and is not waited for.
    pub(super) fn stalled(&mut self) {
        self.broken = Some(RouteError::stalled().into());
    }

    fn is_short(&self) -> bool {
        self.size <= MAX_BYTES && self.read.len() <= MAX_FRAMES
    }

    /// The same answer to the attempt of this exchange, with what it says.
    pub(super) fn into_read(self, exchange: Option<&Exchange>) -> Read<R> {
        let status = self.head.status;
        let outcome = match self.is_whole {
            true => {
                let data = self.read.iter().filter_map(Frame::data_ref);
                let data: Vec<&[u8]> = data.map(|data| &**data).collect();
                let model = || exchange.map_or_else(String::new, Exchange::engine_model);
                self.looks.outcome(status, &data.concat(), model)
            }
            false => Outcome::Answered(status),
        };
        let body = match self.broken {
            Some(error) => ResponseBody::short(self.read, self.body.size_hint(), error),
            None => ResponseBody::resumed(self.read, self.body),
        };
        (Response::from_parts(self.head, body), outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_which_words_count_and_the_policy_whether() {
        let lacks = r#"{"error":{"message":"The model `m` does not exist."}}"#;
        let not_loaded = r#"{"message":"The following requested LoRA adapters are not loaded: m\nLoaded adapters: dict_keys([])."}"#;
        let too_long = r#"{"error":{"message":"prompt is too long: 9 tokens > 8 maximum"}}"#;
        let busy = r#"{"error":{"message":"busy"}}"#;
        let says = |status, body: &str, on| {
            let looks = Looks {
                unknown_model: on,
                too_long: on,
            };
            let status = StatusCode::from_u16(status).unwrap();
            let outcome = looks.outcome(status, body.as_bytes(), || "m".to_owned());
            (outcome != Outcome::Answered(status)).then_some(outcome)
        };
        for (body, status, is_option) in [
            (lacks, 404, true),
            (not_loaded, 400, true),
            (too_long, 400, true),
            (busy, 503, false),
        ] {
            for other in [400, 404, 503] {
                let is_told = says(other, body, true).is_some();
                assert_eq!(is_told, other == status, "{other} {body}");
            }
            assert_eq!(says(status, body, false).is_some(), !is_option, "{body}");
        }
        let status = StatusCode::NOT_FOUND;
        let expected = Outcome::Declined(status, Declined::UnknownModel);
        assert_eq!(says(404, lacks, true), Some(expected));
        assert_eq!(says(404, "The model `m` does not exist.", true), None);
    }
}
