//! What the gateway itself adds to a stream.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{dialect::Dialect, format::Format};
use crate::error::{ErrorBody, Shape};

/// Why a stream ends here.
#[derive(Clone, Copy, Debug)]
pub struct Interruption<'a> {
    /// What the answer's status would be, if it had not been sent.
    pub status: StatusCode,
    /// The code of OpenAI's shape, such as `stream_interrupted`.
    pub code: &'a str,
    /// The message for people.
    pub message: &'a str,
    /// The request's id.
    pub id: &'a HeaderValue,
}

/// The event that tells a client, in its dialect, that the stream ends with an error, as whole
/// event: what came of another one before has to be ended or left out.
///
/// | dialect | event |
/// |---|---|
/// | OpenAI chat, completions, others | `data: {"error": {..., "code": "stream_interrupted"}}` |
/// | OpenAI responses | `event: error` with `"type": "error"`, and `error` beside it: the SDKs raise by that |
/// | Anthropic | `event: error` |
/// | Gemini | `data: {"error": {...}}` |
/// | Ollama, in any dialect NDJSON | a line: `{"error": "text"}` |
///
/// `None` where the format has no place for one: one JSON value, and what is opaque. Nor has Cohere's
/// dialect one that its SDKs raise (cohere 7.3, measured): they see only that a message breaks off.
pub fn error_event(dialect: Dialect, format: Format, why: &Interruption<'_>) -> Option<Bytes> {
    if dialect == Dialect::Cohere {
        return None;
    }
    let json = error_json(dialect, why);
    match format {
        Format::Sse => Some(format!("{}data: {json}\n\n", name(dialect)).into()),
        Format::Ndjson => Some(format!("{json}\n").into()),
        Format::Json | Format::Opaque => None,
    }
}

fn error_json(dialect: Dialect, why: &Interruption<'_>) -> Value {
    let body = ErrorBody {
        status: why.status,
        code: why.code,
        param: None,
        message: why.message,
        id: why.id,
    };
    let mut json = body.json(dialect.shape());
    if dialect == Dialect::Responses {
        for (key, value) in [
            ("type", "error".into()),
            ("code", why.code.into()),
            ("message", why.message.into()),
            ("param", Value::Null),
        ] {
            json[key] = value;
        }
    }
    json
}

/// The line that names the event, in dialects whose clients need it.
fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Responses | Dialect::Messages => "event: error\n",
        _ => "",
    }
}

/// The event of server-sent events that takes the place of an answer with `why.status`, whose head
/// can't be sent any more. `said` is the engine's own error, if it has sent one: a JSON object with
/// an `error`.
///
/// The status is in the event, in Google's shape as `code`, and else as `error.status`.
pub(crate) fn failure_event(dialect: Dialect, said: &[u8], why: &Interruption<'_>) -> Bytes {
    let said = serde_json::from_slice(said).ok();
    let mut json = said
        .and_then(in_error_object)
        .unwrap_or_else(|| error_json(dialect, why));
    if let Some(error) = json.get_mut("error").and_then(Value::as_object_mut)
        && dialect.shape() != Shape::Google
    {
        let status = why.status.as_u16();
        error.entry("status").or_insert_with(|| status.into());
    }
    format!("{}data: {json}\n\n", name(dialect)).into()
}

/// An engine's error with the object `error` that SDKs look for; that of OpenAI's responses has its
/// parts on the top level. `None` if it is not an error.
fn in_error_object(mut json: Value) -> Option<Value> {
    if json.get("error").is_some_and(Value::is_object) {
        return Some(json);
    }
    let message = json.get("message").filter(|message| message.is_string())?;
    let error = json!({"message": message, "code": json.get("code")});
    json["error"] = error;
    Some(json)
}

/// What keeps the connection of a stream of server-sent events open while there is nothing to send: a
/// comment, or in Anthropic's dialect its `ping`. In Gemini's it is an empty line, because Google's
/// SDKs take a comment for broken JSON (google-genai 3.6, measured).
///
/// In a stream that `has_ids` the comment is a line of the event that comes next: there
/// openai-python takes each empty line for the end of an event, and raises at one without data
/// (3.57, measured).
pub fn keep_alive(dialect: Dialect, has_ids: bool) -> Bytes {
    let text = match dialect {
        Dialect::Messages => "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        Dialect::Gemini => "\n",
        _ if has_ids => ": keep-alive\n",
        _ => ": keep-alive\n\n",
    };
    Bytes::from_static(text.as_bytes())
}

/// The data of a whole event, without its framing: of several lines of SSE joined, as the client
/// reads them.
pub fn data_of(format: Format, event: &[u8]) -> Cow<'_, [u8]> {
    if format != Format::Sse {
        return event.trim_ascii().into();
    }
    let event = event.strip_prefix(b"\xef\xbb\xbf").unwrap_or(event);
    let lines = event.split(|byte| matches!(byte, b'\r' | b'\n'));
    let mut values = lines.filter_map(|line| match line.strip_prefix(b"data")? {
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        value => value.is_empty().then_some(value),
    });
    let first = values.next().unwrap_or_default();
    let more: Vec<_> = values.collect();
    match more.is_empty() {
        true => first.into(),
        false => {
            let all: Vec<_> = std::iter::once(first).chain(more).collect();
            all.join(&b'\n').into()
        }
    }
}
