//! What a client is told of limits.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde_json::json;
use test_kit::{
    engines::{Act, says},
    gateway::Rig,
    request::post,
};
use tower_model_route::{ModelServer, Per, RateLimit, RouteError, TrafficPolicy};

use super::{ask, chat, left, limited, rig, rig_with, used};

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_to_come_back_and_then_the_request_passes() {
    let rig = rig([RateLimit::requests(2, Per::Minute)]);
    for _ in 0..2 {
        assert_eq!(ask(&rig, chat(5)).await.status(), StatusCode::OK);
    }
    let answer = ask(&rig, chat(5)).await;
    assert_eq!(
        (answer.status(), &*answer.code()),
        (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded")
    );
    assert_eq!(answer.header("retry-after"), Some("30"));
    let error = answer.head.extensions.get::<RouteError>().unwrap();
    assert_eq!(error.retry_after().unwrap().as_secs(), 30);
    assert_eq!(rig.engines.attempts().len(), 2);
    tokio::time::advance(Duration::from_secs(29)).await;
    let answer = ask(&rig, chat(5)).await;
    assert_eq!(answer.header("retry-after"), Some("1"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&rig, chat(5)).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn it_has_the_shape_of_the_clients_api() {
    let rig = rig([RateLimit::requests(1, Per::Hour)]);
    ask(&rig, chat(5)).await;
    let words = "the limit on requests is reached, try again in 3600 seconds";
    let body = json!({"model": "asked", "max_tokens": 5, "messages": []}).to_string();
    let refused = |path: &str| {
        let request = post(path, body.clone());
        let rig = &rig;
        async move { ask(rig, request).await.json() }
    };
    let openai = refused("/v1/chat/completions").await;
    assert_eq!(
        openai["error"],
        json!({"message": words, "type": "rate_limit_error", "param": null,
            "code": "rate_limit_exceeded"})
    );
    let anthropic = refused("/v1/messages").await;
    assert_eq!(anthropic["type"], "error");
    assert_eq!(
        anthropic["error"],
        json!({"type": "rate_limit_error", "message": words})
    );
    assert_eq!(refused("/api/chat").await, json!({"error": words}));
    let gemini = post("/v1beta/models/asked:generateContent", "{}");
    let gemini = ask(&rig, gemini).await.json();
    assert_eq!(
        gemini["error"],
        json!({"code": 429, "message": words, "status": "RESOURCE_EXHAUSTED"})
    );
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_counts_and_a_refused_request_takes_nothing() {
    let rig = rig([
        RateLimit::requests(10, Per::Minute),
        RateLimit::output_tokens(1000, Per::Hour),
        RateLimit::total_tokens(1_000_000, Per::Day),
        RateLimit::concurrent_requests(3),
    ]);
    rig.engines.everywhere(|| used(10, 1500));
    ask(&rig, chat(700)).await;
    let before = left(&rig.table);
    assert_eq!(before[1], -500);
    let answer = ask(&rig, chat(700)).await;
    assert_eq!(answer.code(), "rate_limit_exceeded");
    // 1,200 tokens are missing, at 1,000 an hour.
    assert_eq!(answer.header("retry-after"), Some("4320"));
    assert_eq!(left(&rig.table), before);
}

#[tokio::test(start_paused = true)]
async fn answers_say_what_is_left_of_the_tightest_limits() {
    let rig = rig([
        RateLimit::total_tokens(600, Per::Minute),
        RateLimit::total_tokens(500_000, Per::Day),
        RateLimit::requests(60, Per::Minute),
    ]);
    let answer = ask(&rig, chat(90)).await;
    let input = super::input_of(&chat(90));
    let remaining = (600 - 90 - input).to_string();
    let said = |name: &str| answer.header(&format!("x-ratelimit-{name}"));
    assert_eq!(said("limit-tokens"), Some("600"));
    assert_eq!(said("remaining-tokens"), Some(&*remaining));
    assert_eq!(
        said("reset-tokens"),
        Some(&*format!("{}s", (90 + input + 9) / 10))
    );
    assert_eq!(said("limit-requests"), Some("60"));
    assert_eq!(said("remaining-requests"), Some("59"));
    assert_eq!(said("reset-requests"), Some("1s"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_is_left_too() {
    let rig = rig([RateLimit::requests(1, Per::Minute)]);
    ask(&rig, chat(5)).await;
    let answer = ask(&rig, chat(5)).await;
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(answer.header("x-ratelimit-reset-requests"), Some("1m0s"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_is_left_without_what_it_would_have_taken() {
    let rig = rig([
        RateLimit::total_tokens(100_000, Per::Day),
        RateLimit::requests(1, Per::Minute),
    ]);
    rig.engines.everywhere(|| used(10, 20));
    ask(&rig, chat(1500)).await;
    let answer = ask(&rig, chat(1500)).await;
    assert_eq!(answer.code(), "rate_limit_exceeded");
    let left = left(&rig.table)[0].to_string();
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some(&*left));
    assert_eq!(left, "99970");
}

#[tokio::test(start_paused = true)]
async fn an_engines_own_words_stand_and_the_layer_can_be_silent() {
    let limits = [RateLimit::requests(60, Per::Minute)];
    let engine = || says(200, "ok").header("x-ratelimit-remaining-requests", "7");
    let talking = rig(limits.clone());
    talking.engines.next([engine()]);
    let answer = ask(&talking, chat(5)).await;
    let names: Vec<_> = answer
        .headers()
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ratelimit"))
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(names, [HeaderValue::from_static("7")]);
    let silent = rig_with(limits, |layer| layer.limit_headers(false));
    for _ in 0..61 {
        let answer = ask(&silent, chat(5)).await;
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_only_observes_refuses_nothing_and_says_nothing() {
    let rig = rig([RateLimit::requests(2, Per::Day).observe_only(true)]);
    for _ in 0..5 {
        let answer = ask(&rig, chat(5)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), None);
    }
    assert_eq!(left(&rig.table), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_explanation_refuses_as_the_layer_does() {
    let rig = rig([RateLimit::requests(1, Per::Minute)]);
    let head = test_kit::request::head("/v1/chat/completions", &[]);
    assert!(rig.table.explain(&head, "asked").error().is_none());
    ask(&rig, chat(5)).await;
    let explained = rig.table.explain(&head, "asked");
    assert_eq!(explained.verdict().as_str(), "refused");
    let refused = ask(&rig, chat(5)).await;
    let error = refused.head.extensions.get::<RouteError>().unwrap();
    assert_eq!(explained.error().unwrap().message(), error.message());
}

/// A reservation is never larger than the bucket: such a request would never pass.
#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_limit_passes_when_the_bucket_is_full() {
    let rig = rig([RateLimit::total_tokens(100, Per::Minute)]);
    rig.engines.everywhere(|| used(50, 450));
    assert_eq!(ask(&rig, chat(4000)).await.status(), StatusCode::OK);
    assert_eq!(left(&rig.table), [-400]);
    let answer = ask(&rig, chat(4000)).await;
    // 500 are missing, at 100 a minute.
    assert_eq!(answer.header("retry-after"), Some("300"));
    tokio::time::advance(Duration::from_secs(300)).await;
    assert_eq!(ask(&rig, chat(4000)).await.status(), StatusCode::OK);
}

/// A stream whose head is sent before there is an answer says it all the same.
#[tokio::test(start_paused = true)]
async fn a_head_that_is_sent_early_says_what_is_left() {
    let mut table = limited([RateLimit::requests(60, Per::Minute)]);
    let policy = TrafficPolicy::new().sse_keepalive(Duration::from_secs(1));
    table.model_servers_mut()[0] = ModelServer::new("server")
        .endpoint("http://e0")
        .traffic_policy(policy);
    let rig = Rig::new(table.build().unwrap());
    rig.engines.next([Act::Hang]);
    let body = json!({"model": "asked", "stream": true, "messages": []}).to_string();
    let answer = rig.send(post("/v1/chat/completions", body)).await;
    assert_eq!(answer.headers()["x-ratelimit-remaining-requests"], "59");
}
