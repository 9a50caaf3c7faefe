//! Anthropic's messages, in vLLM's shapes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    answer::{Answer, error_type},
    stream::{Events, named},
};

pub(crate) fn whole(answer: &Answer) -> Value {
    let content = json!([{"type": "text", "text": answer.text()}]);
    let mut message = message(answer, &content);
    message["stop_reason"] = stop_reason(answer).into();
    message["usage"] = usage(answer.prompt_tokens, answer.tokens);
    message
}

pub(crate) fn events(answer: Answer) -> Events {
    let mut start = message(&answer, &json!([]));
    start["usage"] = usage(answer.prompt_tokens, 0);
    let end = json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(&answer), "stop_sequence": null},
        "usage": usage(answer.prompt_tokens, answer.tokens),
    });
    let block = json!({"type": "text", "text": ""});
    Events {
        before: vec![
            named(&json!({"type": "message_start", "message": start})),
            named(&json!({"type": "content_block_start", "index": 0, "content_block": block})),
        ],
        tokens: answer.tokens,
        after: vec![
            named(&json!({"type": "content_block_stop", "index": 0})),
            named(&end),
            named(&json!({"type": "message_stop"})),
        ],
        token: Box::new(move |index| {
            let delta = json!({"type": "text_delta", "text": answer.token(index)});
            named(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
        }),
    }
}

/// The error of an answer, whose type is vLLM's.
pub(crate) fn error(status: StatusCode, message: &str) -> Value {
    json!({"type": "error", "error": {"type": error_type(status), "message": message}})
}

/// The error of a stream, whose type is Anthropic's.
pub(crate) fn error_event(status: StatusCode, message: &str) -> Value {
    let kind = match status.as_u16() {
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

fn message(answer: &Answer, content: &Value) -> Value {
    json!({
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "content": content,
        "model": answer.model,
        "stop_reason": null,
        "stop_sequence": null,
    })
}

const fn stop_reason(answer: &Answer) -> &'static str {
    if answer.is_complete {
        "end_turn"
    } else {
        "max_tokens"
    }
}

fn usage(input: usize, output: usize) -> Value {
    json!({"input_tokens": input, "output_tokens": output})
}
