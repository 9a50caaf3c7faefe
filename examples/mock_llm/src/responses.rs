//! OpenAI's responses, in vLLM's shapes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    stream::{Events, named},
};

pub(crate) fn whole(answer: &Answer) -> Value {
    let (status, details) = match answer.is_complete {
        true => ("completed", Value::Null),
        false => ("incomplete", json!({"reason": "max_output_tokens"})),
    };
    let mut response = response(answer, status, json!([item(answer, "completed")]));
    response["incomplete_details"] = details;
    response["usage"] = json!({
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.prompt_tokens + answer.tokens,
    });
    response
}

pub(crate) fn events(answer: Answer) -> Events {
    let open = response(&answer, "in_progress", json!([]));
    let place = json!({"item_id": item_id(&answer), "output_index": 0, "content_index": 0});
    let mut item_begun = item(&answer, "in_progress");
    item_begun["content"] = json!([]);
    let before = vec![
        ("response.created", json!({"response": open})),
        ("response.in_progress", json!({"response": open})),
        (
            "response.output_item.added",
            json!({"item": item_begun, "output_index": 0}),
        ),
        (
            "response.content_part.added",
            with(&place, "part", part("")),
        ),
    ];
    let text = answer.text();
    let done = item(&answer, "completed");
    let after = vec![
        (
            "response.output_text.done",
            with(&place, "text", text.clone().into()),
        ),
        (
            "response.content_part.done",
            with(&place, "part", part(&text)),
        ),
        (
            "response.output_item.done",
            json!({"item": done, "output_index": 0}),
        ),
        // vLLM's also where the answer was cut short.
        ("response.completed", json!({"response": whole(&answer)})),
    ];
    let first_token = before.len();
    let first_after = first_token + answer.tokens;
    Events {
        before: numbered(before, 0),
        tokens: answer.tokens,
        after: numbered(after, first_after),
        token: Box::new(move |index| {
            let delta = with(&place, "delta", answer.token(index).into());
            event("response.output_text.delta", delta, first_token + index)
        }),
    }
}

/// The error of a stream.
pub(crate) fn error_event(status: StatusCode, message: &str) -> Value {
    let code = match status.as_u16() {
        429 => "rate_limit_exceeded",
        503 => "server_is_overloaded",
        _ => "server_error",
    };
    json!({"type": "error", "code": code, "message": message, "param": null})
}

fn numbered(events: Vec<(&str, Value)>, first: usize) -> Vec<axum::body::Bytes> {
    let numbered = events.into_iter().enumerate();
    numbered
        .map(|(index, (name, value))| event(name, value, first + index))
        .collect()
}

fn event(name: &str, value: Value, number: usize) -> axum::body::Bytes {
    let value = with(&value, "sequence_number", number.into());
    named(&with(&value, "type", name.into()))
}

fn with(object: &Value, key: &str, value: Value) -> Value {
    let mut object = object.clone();
    object[key] = value;
    object
}

fn response(answer: &Answer, status: &str, output: Value) -> Value {
    json!({
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "model": answer.model,
        "output": output,
        "usage": null,
    })
}

fn item(answer: &Answer, status: &str) -> Value {
    json!({
        "id": item_id(answer),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part(&answer.text())],
    })
}

fn item_id(answer: &Answer) -> String {
    answer.id.replace("resp", "msg")
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}
