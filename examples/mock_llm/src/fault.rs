//! What goes wrong in a stream.

use axum::{body::Bytes, http::StatusCode};
use serde_json::Value;

use crate::{answer, messages, question::Endpoint, responses, stream};

/// How a stream fails, after as many events as [`Engine::fault_after`](crate::Engine::fault_after)
/// says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection (in HTTP/2, the stream) is aborted.
    Break,
    /// Nothing comes any more, except the comments of
    /// [`Engine::comments`](crate::Engine::comments), and the connection stays.
    Hang,
    /// The body ends as it should, without the events that were to come.
    End,
    /// The next event is cut short within its JSON; those after it are whole.
    Malformed,
    /// An error event with this status: OpenAI's with its number in `code`, and `[DONE]` after it,
    /// as vLLM has them under load; Anthropic's with the type that belongs to it, such as
    /// `overloaded_error` for 503 and 529; or that of OpenAI's responses. Then the body ends.
    Error(StatusCode),
}

const MESSAGE: &str = "This engine fails because it was told to.";

/// An error event, and what comes after it.
pub(crate) fn error_event(endpoint: Endpoint, status: StatusCode) -> Bytes {
    match endpoint {
        Endpoint::Messages => stream::named(&messages::error_event(status, MESSAGE)),
        Endpoint::Responses => stream::named(&responses::error_event(status, MESSAGE)),
        Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => {
            let error = stream::event(&answer::error(status, MESSAGE, None));
            [&error[..], stream::DONE].concat().into()
        }
    }
}

/// The answer of a request that fails as a whole.
pub(crate) fn error(
    endpoint: Endpoint,
    status: StatusCode,
    message: &str,
    param: Option<&str>,
) -> Value {
    match endpoint {
        Endpoint::Messages => messages::error(status, message),
        _ => answer::error(status, message, param),
    }
}

/// As much of an event as is no JSON, and its end.
pub(crate) fn malformed(event: &Bytes) -> Bytes {
    let half = event.get(..event.len() / 2).unwrap_or_default();
    [half, b"\n\n"].concat().into()
}
