//! What a request has cost when it has ended.

use serde_json::json;
use test_kit::{
    answer::Answer,
    body::script,
    engines::{says, streams},
    request::post,
};
use tower_model_route::{Per, RateLimit};

use super::{answer, ask, chat, content, event, finish, input_of, left, rig, usage, used};

const MANY: i64 = 1_000_000;

fn token_limits() -> [RateLimit; 2] {
    [
        RateLimit::input_tokens(MANY as u64, Per::Month),
        RateLimit::output_tokens(MANY as u64, Per::Month),
    ]
}

/// Kthena deducts nothing from what is too small for it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_larger_than_what_is_left_is_a_debt() {
    let rig = rig([RateLimit::output_tokens(100, Per::Hour)]);
    rig.engines.everywhere(|| used(10, 5000));
    ask(&rig, chat(10)).await;
    assert_eq!(left(&rig.table), [100 - 5000]);
    assert_eq!(ask(&rig, chat(1)).await.code(), "rate_limit_exceeded");
}

#[tokio::test(start_paused = true)]
async fn a_stream_costs_what_its_usage_says() {
    let rig = rig(token_limits());
    let (body, scripted) = script();
    rig.engines.next([streams(scripted)]);
    body.send(content()).send(content()).send(finish());
    body.send(usage(31, 17)).send("data: [DONE]\n\n").end();
    ask(&rig, chat(500)).await;
    assert_eq!(left(&rig.table), [MANY - 31, MANY - 17]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_usage_costs_its_prompt_and_its_events() {
    let rig = rig(token_limits());
    let (body, scripted) = script();
    rig.engines.next([streams(scripted)]);
    body.send(content()).send(content()).send(content());
    body.send(finish()).send("data: [DONE]\n\n").end();
    let request = chat(500);
    let input = input_of(&request);
    ask(&rig, request).await;
    assert_eq!(left(&rig.table), [MANY - input, MANY - 3]);
}

/// Cutting just before the last chunk is no free generation.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_usage_pays_for_what_it_got() {
    let rig = rig(token_limits());
    let (body, scripted) = script();
    rig.engines.next([streams(scripted)]);
    let request = chat(500);
    let input = input_of(&request);
    let mut answer = rig.send(request).await;
    for _ in 0..40 {
        body.send(content());
        http_body_util::BodyExt::frame(answer.body_mut())
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(left(&rig.table), [MANY - input, MANY - 500]);
    drop(answer);
    assert_eq!(left(&rig.table), [MANY - input, MANY - 40]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_there_is_an_answer_pays_for_its_prompt() {
    let rig = rig(token_limits());
    let _gate = rig.engines.hold();
    let request = chat(500);
    let input = input_of(&request);
    let call = rig.start(request);
    test_kit::paused::settle().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(left(&rig.table), [MANY - input, MANY]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_costs_at_least_what_was_counted() {
    let rig = rig(token_limits());
    let (body, scripted) = script();
    rig.engines.next([streams(scripted)]);
    // vLLM's continuous usage says more than there were events.
    body.send(event(
        &json!({"choices": [{"index": 0, "delta": {"content": "a"}}],
        "usage": {"prompt_tokens": 4000, "completion_tokens": 9, "total_tokens": 4009}}),
    ));
    body.fail("reset");
    ask(&rig, chat(500)).await;
    assert_eq!(left(&rig.table), [MANY - 4000, MANY - 9]);
}

#[tokio::test(start_paused = true)]
async fn anthropics_input_is_with_what_was_cached() {
    let rig = rig(token_limits());
    rig.engines.next([answer(
        json!({"type": "message", "content": [{"type": "text", "text": "t"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 10, "output_tokens": 3,
        "cache_read_input_tokens": 100, "cache_creation_input_tokens": 1000}}),
    )]);
    let body = json!({"model": "asked", "max_tokens": 5, "messages": []}).to_string();
    ask(&rig, post("/v1/messages", body.clone())).await;
    assert_eq!(left(&rig.table), [MANY - 1110, MANY - 3]);

    let (script, scripted) = script();
    rig.engines.next([streams(scripted)]);
    for (kind, data) in [
        (
            "message_start",
            json!({"type": "message_start", "message": {"usage": {
            "input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 100}}}),
        ),
        (
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": "t"}}),
        ),
        (
            "message_delta",
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 7}}),
        ),
        ("message_stop", json!({"type": "message_stop"})),
    ] {
        script.send(format!("event: {kind}\ndata: {data}\n\n"));
    }
    script.end();
    ask(&rig, post("/v1/messages", body)).await;
    assert_eq!(left(&rig.table), [MANY - 1220, MANY - 10]);
}

#[tokio::test(start_paused = true)]
async fn geminis_output_is_with_its_thoughts() {
    let rig = rig(token_limits());
    rig.engines
        .next([answer(json!({"candidates": [{"finishReason": "STOP",
        "content": {"parts": [{"text": "t"}]}}], "usageMetadata": {"promptTokenCount": 8,
        "candidatesTokenCount": 2, "thoughtsTokenCount": 30, "totalTokenCount": 40}}))]);
    ask(&rig, post("/v1beta/models/asked:generateContent", "{}")).await;
    assert_eq!(left(&rig.table), [MANY - 8, MANY - 32]);
}

#[tokio::test(start_paused = true)]
async fn embeddings_and_rankings_are_all_input() {
    let rig = rig(token_limits());
    rig.engines.next([
        answer(
            json!({"object": "list", "data": [{"embedding": [0.1, 0.2]}],
            "usage": {"prompt_tokens": 12, "total_tokens": 12}}),
        ),
        answer(json!({"results": [{"index": 0, "relevance_score": 0.5}],
            "usage": {"total_tokens": 30}})),
    ]);
    let body = json!({"model": "asked", "input": "text"}).to_string();
    ask(&rig, post("/v1/embeddings", body.clone())).await;
    assert_eq!(left(&rig.table), [MANY - 12, MANY]);
    ask(&rig, post("/v1/rerank", body)).await;
    assert_eq!(left(&rig.table), [MANY - 42, MANY]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_without_usage_costs_its_length() {
    let rig = rig(token_limits());
    let text = json!({"choices": [{"index": 0, "finish_reason": "stop",
        "message": {"content": "word ".repeat(100)}}]});
    let length = text.to_string().len() as i64;
    rig.engines.next([answer(text), says(200, "no JSON")]);
    let request = chat(500);
    let input = input_of(&request);
    Answer::of(rig.send(request).await).await;
    assert_eq!(left(&rig.table), [MANY - input, MANY - length / 4]);
}
