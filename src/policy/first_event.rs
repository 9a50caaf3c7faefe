//! An answer that is held back until its first content event.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    response,
};
use http_body::{Body, Frame};
use serde_json::{Map, Value};

use super::error_body::ErrorBody;
use crate::{
    attempt::{Exchange, ResponseBody, outcome_of_answer},
    error::{BoxError, RouteError, RouteErrorKind, Shape},
    events::{Dialect, End, Event, Format, Kinds, Reader, data_of},
    server::Outcome,
};

/// The most that is held; an answer that has more before its first content is passed on. Each frame
/// counts with its own size, as one may have a single byte.
const MAX_BYTES: usize = 64 << 10;

/// What is known about the request whose answer is held back.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    pub(super) dialect: Dialect,
    /// Whether it asks for a stream, if that is known.
    stream: Option<bool>,
}

impl Gate {
    /// That of the answer to such a request, if that is a generation.
    pub(super) fn of(exchange: &Exchange) -> Option<Self> {
        let api = exchange.api();
        // Google's paths say what is asked for, also those of other publishers' models.
        let is_in_body = api.shape != Shape::Google;
        let stream = exchange.asks_for_stream().filter(|_| is_in_body);
        let dialect = api.dialect;
        api.generates.then_some(Self { dialect, stream })
    }

    /// Whether the head alone says that this is not the answer that was asked for: a proxy's page,
    /// most often.
    pub(super) fn refuses(self, headers: &HeaderMap) -> bool {
        if !self.dialect.has_terminal()
            || !headers.contains_key(CONTENT_TYPE)
            || headers.contains_key(CONTENT_ENCODING)
        {
            return false;
        }
        match (Format::of(headers), self.dialect) {
            (Format::Opaque, _) => true,
            // It streams unless told otherwise.
            (_, Dialect::Ollama) => false,
            (Format::Json, _) => self.stream == Some(true),
            (Format::Sse | Format::Ndjson, _) => self.stream == Some(false),
        }
    }
}

/// The error of such an answer.
pub(super) fn other_type() -> BoxError {
    fault("the engine's answer has a content type that its API does not have")
}

fn fault(why: &'static str) -> BoxError {
    RouteError::new(RouteErrorKind::UpstreamUnreachable, why).into()
}

/// The answer with what was held, and what it says about the engine.
type Read<R> = Result<(Response<ResponseBody<R>>, Outcome), BoxError>;

/// Reads an answer up to its first content event.
pub(super) struct Opening<R> {
    head: response::Parts,
    reader: Reader,
    held: VecDeque<Frame<Bytes>>,
    size: usize,
    body: Pin<Box<R>>,
}

/// What the bytes so far say.
enum FirstEvent {
    Nothing,
    /// The generation has begun, or has ended well.
    Content,
    /// The first event is this error.
    Error(Event),
}

impl<R: Body> Opening<R> {
    pub(super) fn new(dialect: Dialect, response: Response<R>) -> Box<Self> {
        let (head, body) = response.into_parts();
        Box::new(Self {
            reader: Reader::new(dialect, Format::of(&head.headers)),
            head,
            held: VecDeque::new(),
            size: 0,
            body: Box::pin(body),
        })
    }

    /// Ready once it is known whether the answer has begun; then [`into_read`](Self::into_read)
    /// gives it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Opened>
    where
        R::Error: Into<BoxError>,
    {
        loop {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Opened::Failed(error.into())),
                None => return Poll::Ready(self.ended()),
                Some(Ok(frame)) => {
                    let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                    self.size += size_of_val(&frame);
                    let first = frame.data_ref().map(|data| {
                        self.size += data.len();
                        first_event(&mut self.reader, data)
                    });
                    self.held.push_back(frame);
                    match first {
                        Some(FirstEvent::Content) => return Poll::Ready(Opened::Begun),
                        Some(FirstEvent::Error(event)) => {
                            return Poll::Ready(Opened::Refused(event));
                        }
                        _ if self.size > MAX_BYTES => return Poll::Ready(Opened::Begun),
                        Some(FirstEvent::Nothing) | None => {}
                    }
                }
            }
        }
    }

    fn ended(&mut self) -> Opened {
        let is_empty = self.reader.bytes() == 0;
        let (last, end) = self.reader.end();
        match last.map_or(FirstEvent::Nothing, kind_of) {
            FirstEvent::Content => return Opened::Begun,
            FirstEvent::Error(event) => return Opened::Refused(event),
            FirstEvent::Nothing => {}
        }
        let has_events = matches!(self.reader.format(), Format::Sse | Format::Ndjson);
        match end {
            End::Complete => Opened::Begun,
            _ if is_empty && !has_events => Opened::Begun,
            _ => Opened::Failed(fault(
                "the engine has ended its answer before its first event",
            )),
        }
    }

    /// The answer, and what it says about the engine.
    pub(super) fn into_read(mut self, opened: Opened) -> Read<R> {
        match opened {
            Opened::Failed(error) => Err(error),
            Opened::Begun => {
                let body = ResponseBody::resumed(self.held, self.body);
                let response = Response::from_parts(self.head, body);
                let outcome = outcome_of_answer(&response);
                Ok((response, outcome))
            }
            Opened::Refused(event) => {
                let error = error_of(&self.held, &event, self.reader.format());
                let Ok(words) = serde_json::from_slice::<Map<String, Value>>(&error) else {
                    return Err(fault(
                        "the engine's first event is an error without a message",
                    ));
                };
                let words = Value::Object(words);
                let status = self.reader.error().and_then(|error| error.status());
                self.head.status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let headers = &mut self.head.headers;
                headers.remove(CONTENT_LENGTH);
                headers.remove(TRANSFER_ENCODING);
                // An engine's own head may be as full as a map can be.
                headers.remove(CONTENT_TYPE);
                _ = headers.try_insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let is_busy = ErrorBody::of(&words).means_busy(status);
                let response = Response::from_parts(self.head, ResponseBody::own(error));
                let outcome = outcome_of_refusal(&response, is_busy);
                Ok((response, outcome))
            }
        }
    }
}

/// How an answer begins.
pub(super) enum Opened {
    Begun,
    /// With this error event.
    Refused(Event),
    Failed(BoxError),
}

fn first_event(reader: &mut Reader, mut data: &[u8]) -> FirstEvent {
    // An answer that is not streamed is content from its first byte. Gemini streams arrays.
    let is_list = |data: &[u8]| data.trim_ascii_start().starts_with(b"[");
    let has_events = match (reader.format(), reader.dialect()) {
        (Format::Sse | Format::Ndjson, _) => true,
        (Format::Json, Dialect::Gemini) => reader.bytes() > 0 || is_list(data),
        (Format::Json, _) | (Format::Opaque, _) => false,
    };
    if !has_events && !data.is_empty() {
        return FirstEvent::Content;
    }
    while let Some(event) = reader.next(&mut data) {
        match kind_of(event) {
            FirstEvent::Nothing => {}
            found => return found,
        }
    }
    FirstEvent::Nothing
}

fn kind_of(event: Event) -> FirstEvent {
    if event.is(Kinds::ERROR) {
        FirstEvent::Error(event)
    } else if event.is_progress() {
        FirstEvent::Content
    } else {
        FirstEvent::Nothing
    }
}

/// The engine's error object.
fn error_of(held: &VecDeque<Frame<Bytes>>, event: &Event, format: Format) -> Bytes {
    let data: Vec<&[u8]> = held
        .iter()
        .filter_map(|frame| frame.data_ref().map(|data| &**data))
        .collect();
    let data = data.concat();
    let range = event.start as usize..event.end as usize;
    let event = data.get(range).unwrap_or_default();
    Bytes::copy_from_slice(&data_of(format, event))
}

/// By its status: a 4xx says nothing about the engine, and a busy one is set aside. `is_busy` if
/// its message says so.
fn outcome_of_refusal<R>(response: &Response<R>, is_busy: bool) -> Outcome {
    let outcome = outcome_of_answer(response);
    match outcome {
        Outcome::Answered(status) if is_busy => Outcome::Full(status, None),
        // As the status of an answer it would say that the engine works: no stream begins so.
        Outcome::Answered(status) if status.is_server_error() && outcome.is_success() => {
            Outcome::Failed
        }
        outcome => outcome,
    }
}
