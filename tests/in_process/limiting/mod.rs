//! Limits on what the requests of a route may use.

mod charged_once;
mod keyed;
mod never_free;
mod refused;
mod reloaded;
mod settled;
mod sums;
mod told;
mod wild_counts;
mod with_a_store;

use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use test_kit::{
    answer::Answer,
    engines::{Act, says},
    gateway::Rig,
    request::post,
};
use tower_model_route::{
    ModelRoute, ModelRouteLayer, ModelServer, RateLimit, RouteTable, RouteTableBuilder, Rule,
};

/// A route for `asked`, found also by the adapter `lora`, with these limits; two endpoints.
fn limited(limits: impl IntoIterator<Item = RateLimit>) -> RouteTableBuilder {
    let route = ModelRoute::new("route")
        .model_name("asked")
        .lora_adapter("lora")
        .rule(Rule::new("rule").target("server"));
    let server = ModelServer::new("server")
        .endpoint("http://e0")
        .endpoint("http://e1");
    RouteTable::builder()
        .model_server(server)
        .model_route(limits.into_iter().fold(route, ModelRoute::rate_limit))
}

fn rig(limits: impl IntoIterator<Item = RateLimit>) -> Rig {
    rig_with(limits, |layer| layer)
}

fn rig_with(
    limits: impl IntoIterator<Item = RateLimit>,
    options: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer,
) -> Rig {
    let table = limited(limits).build().unwrap();
    Rig::with(table, |table| options(ModelRouteLayer::new(table)))
}

/// What is left of the limits of `asked`.
fn left(table: &RouteTable) -> Vec<i64> {
    let head = post("/v1/chat/completions", "").into_parts().0;
    let explained = table.explain(&head, "asked");
    let limits = explained.limits().iter();
    limits.map(|limit| limit.left().unwrap()).collect()
}

/// A chat that lets so much be generated.
fn chat(max_tokens: u64) -> Request<Full<bytes::Bytes>> {
    let body = json!({"model": "asked", "max_tokens": max_tokens, "messages": []});
    post("/v1/chat/completions", body.to_string())
}

/// The bytes of text in its body, by four: what is reserved for its input.
fn input_of(request: &Request<Full<bytes::Bytes>>) -> i64 {
    let length = request.headers()["content-length"].to_str().unwrap();
    length.parse::<u64>().unwrap().div_ceil(4) as i64
}

/// A whole answer that has used so much.
fn used(input: u64, output: u64) -> Act {
    let usage = json!({"prompt_tokens": input, "completion_tokens": output,
        "total_tokens": input + output});
    answer(
        json!({"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "text"}}], "usage": usage}),
    )
}

fn answer(body: Value) -> Act {
    says(200, &body.to_string()).header("content-type", "application/json")
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn content() -> String {
    event(&json!({"choices": [{"index": 0, "delta": {"content": "word"}}]}))
}

fn finish() -> String {
    event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
}

fn usage(input: u64, output: u64) -> String {
    event(
        &json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": output,
        "total_tokens": input + output}}),
    )
}

async fn ask(rig: &Rig, request: Request<Full<bytes::Bytes>>) -> Answer {
    Answer::of(rig.send(request).await).await
}

fn status<B>(answer: &Response<B>) -> u16 {
    answer.status().as_u16()
}
