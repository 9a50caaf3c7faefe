//! What an error says.

use http::StatusCode;
use serde_json::Value;

/// The longest text that is kept of an error, in bytes as they were sent.
const MAX: usize = 1024;

/// What an engine's error event says, each string cut at 1 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventError {
    message: Vec<u8>,
    kind: Vec<u8>,
    code: Vec<u8>,
    number: Option<u16>,
}

/// A part of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Message,
    /// Its type, or what gRPC calls status.
    Kind,
    /// A name, or a status.
    Code,
}

impl EventError {
    /// The message for people, or "".
    pub fn message(&self) -> String {
        decoded(&self.message)
    }

    /// The `type` of the error (Google: its `status`), or "".
    pub fn kind(&self) -> String {
        decoded(&self.kind)
    }

    /// The `code`, if it is a name, or "".
    pub fn code(&self) -> String {
        decoded(&self.code)
    }

    /// The HTTP status that the engine would have answered with: the one that the error carries,
    /// or that of its type or code by the documentation of OpenAI, Anthropic (529 for
    /// `overloaded_error`) and Google. `None` if it says neither.
    pub fn status(&self) -> Option<StatusCode> {
        let number = |text: &[u8]| StatusCode::from_bytes(text).ok().map(|code| code.as_u16());
        let status = self
            .number
            .or_else(|| number(&self.code))
            .filter(|status| (400..600).contains(status))
            .or_else(|| by_name(&self.kind()))
            .or_else(|| by_name(&self.code()))?;
        StatusCode::from_u16(status).ok()
    }

    pub(super) fn has(&self, part: Part) -> bool {
        let text = match part {
            Part::Message => &self.message,
            Part::Kind => &self.kind,
            Part::Code => &self.code,
        };
        !text.is_empty()
    }

    /// Text as it was sent, with its escapes.
    pub(super) fn add(&mut self, part: Part, raw: &[u8]) {
        let text = match part {
            Part::Message => &mut self.message,
            Part::Kind => &mut self.kind,
            Part::Code => &mut self.code,
        };
        let room = MAX - text.len();
        text.extend_from_slice(raw.get(..room).unwrap_or(raw));
    }

    pub(super) fn set_number(&mut self, number: u64) {
        self.number = u16::try_from(number).ok();
    }
}

fn by_name(name: &str) -> Option<u16> {
    Some(match name {
        "invalid_request_error" | "BadRequestError" | "INVALID_ARGUMENT" | "invalid_prompt" => 400,
        "authentication_error" | "UNAUTHENTICATED" | "invalid_api_key" => 401,
        "billing_error" => 402,
        "permission_error" | "PERMISSION_DENIED" => 403,
        "not_found_error" | "NotFoundError" | "NOT_FOUND" | "model_not_found" => 404,
        "request_too_large" => 413,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "RESOURCE_EXHAUSTED"
        | "insufficient_quota"
        | "tokens"
        | "requests" => 429,
        "api_error" | "server_error" | "internal_error" | "InternalServerError" | "INTERNAL" => 500,
        "Service Unavailable"
        | "ServiceUnavailableError"
        | "UNAVAILABLE"
        | "server_is_overloaded" => 503,
        "timeout_error" | "DEADLINE_EXCEEDED" => 504,
        "overloaded_error" => 529,
        _ => return None,
    })
}

/// Without escapes, and without what a cut has left of one or of a character.
fn decoded(raw: &[u8]) -> String {
    // An escape has up to six bytes, a surrogate pair twelve.
    for cut in 0..=raw.len().min(12) {
        let text = raw.get(..raw.len() - cut).unwrap_or_default();
        let quoted = [b"\"", text, b"\""].concat();
        if let Ok(Value::String(text)) = serde_json::from_slice(&quoted) {
            return text;
        }
    }
    String::from_utf8_lossy(raw).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_within_an_escape_is_read_up_to_it() {
        for (raw, text) in [
            (&br"plain"[..], "plain"),
            (br#"a\"b\n\u00e9\ud83d\ude00"#, "a\"b\n\u{e9}\u{1f600}"),
            (br"a\", "a"),
            (br"a\ud83d\ude0", "a"),
            (b"a\xf0\x9f", "a"),
        ] {
            assert_eq!(decoded(raw), text);
        }
        let mut error = EventError::default();
        for _ in 0..2000 {
            error.add(Part::Message, b"long");
        }
        assert_eq!(error.message().len(), MAX);
    }
}
