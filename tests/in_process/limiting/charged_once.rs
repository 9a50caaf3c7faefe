//! What a request is charged, and that it is charged once.

use http::StatusCode;
use serde_json::json;
use test_kit::{
    engines::{fails, says, status},
    gateway::Rig,
    request::post,
};
use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, Per, RateLimit, RouteTable, Rule, TrafficPolicy,
};

use super::{ask, chat, input_of, left, limited, rig, used};

const MANY: u64 = 100_000;

#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_again_is_charged_once() {
    let mut table = limited([
        RateLimit::requests(10, Per::Day),
        RateLimit::total_tokens(MANY, Per::Day),
    ]);
    table.model_servers_mut()[0] = ModelServer::new("server")
        .endpoint("http://e0")
        .endpoint("http://e1")
        .endpoint("http://e2")
        .traffic_policy(TrafficPolicy::new().max_retries(3));
    let rig = Rig::new(table.build().unwrap());
    rig.engines.next([status(503), status(503), used(30, 12)]);
    let answer = ask(&rig, chat(50)).await;
    assert_eq!(
        (answer.status(), rig.engines.attempts().len()),
        (StatusCode::OK, 3)
    );
    assert_eq!(left(&rig.table), [9, MANY as i64 - 42]);
}

#[tokio::test(start_paused = true)]
async fn it_is_charged_when_it_is_sent_and_before_it_is_answered() {
    let rig = rig([
        RateLimit::input_tokens(MANY, Per::Day),
        RateLimit::output_tokens(MANY, Per::Day),
        RateLimit::total_tokens(MANY, Per::Day),
    ]);
    let gate = rig.engines.hold();
    rig.engines.next([used(7, 5)]);
    let request = chat(50);
    let input = input_of(&request);
    let call = rig.start(request);
    test_kit::paused::settle().await;
    let many = MANY as i64;
    assert_eq!(
        left(&rig.table),
        [many - input, many - 50, many - input - 50]
    );
    gate.add_permits(1);
    call.await.unwrap();
    assert_eq!(left(&rig.table), [many - 7, many - 5, many - 12]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_engine_answers_costs_nothing() {
    let rig = rig([
        RateLimit::requests(10, Per::Day),
        RateLimit::total_tokens(MANY, Per::Day),
        RateLimit::concurrent_requests(5),
    ]);
    rig.engines.everywhere(fails);
    let answer = ask(&rig, chat(50)).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(left(&rig.table), [10, MANY as i64, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_finds_no_endpoint_costs_nothing() {
    let mut table = limited([
        RateLimit::requests(10, Per::Day),
        RateLimit::concurrent_requests(5),
    ]);
    table.model_servers_mut()[0] = ModelServer::new("server");
    let rig = Rig::new(table.build().unwrap());
    let answer = ask(&rig, chat(50)).await;
    assert_eq!(answer.code(), "no_endpoint");
    assert_eq!(left(&rig.table), [10, 5]);
}

#[tokio::test(start_paused = true)]
async fn an_engines_own_refusal_costs_its_request_and_its_prompt() {
    let rig = rig([
        RateLimit::requests(10, Per::Day),
        RateLimit::total_tokens(MANY, Per::Day),
    ]);
    rig.engines.everywhere(|| says(400, "no"));
    let request = chat(50);
    let input = input_of(&request);
    assert_eq!(ask(&rig, request).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(left(&rig.table), [9, MANY as i64 - input]);
}

#[tokio::test(start_paused = true)]
async fn adapters_are_limited_with_their_route() {
    let rig = rig([RateLimit::requests(2, Per::Day)]);
    let lora = || {
        let body = json!({"model": "lora", "messages": []}).to_string();
        post("/v1/chat/completions", body)
    };
    assert_eq!(ask(&rig, lora()).await.status(), StatusCode::OK);
    assert_eq!(ask(&rig, chat(5)).await.status(), StatusCode::OK);
    assert_eq!(ask(&rig, lora()).await.code(), "rate_limit_exceeded");
    assert_eq!(left(&rig.table), [0]);
}

/// Kthena has one limit a model name, that of the last event.
#[tokio::test(start_paused = true)]
async fn several_routes_of_one_name_have_a_limit_each() {
    let gold = ModelMatch::new().header("x-tier", tower_model_route::StringMatch::exact("gold"));
    let table = RouteTable::builder()
        .model_server(ModelServer::new("server").endpoint("http://e0"))
        .model_route(
            ModelRoute::new("gold")
                .model_name("asked")
                .rule(Rule::new("gold").when(gold).target("server"))
                .rate_limit(RateLimit::requests(3, Per::Day)),
        )
        .model_route(
            ModelRoute::new("others")
                .model_name("asked")
                .rule(Rule::new("all").target("server"))
                .rate_limit(RateLimit::requests(1, Per::Day)),
        )
        .build()
        .unwrap();
    let rig = Rig::new(table);
    let of = |tier: &'static str| {
        let mut request = chat(5);
        let tier = http::HeaderValue::from_static(tier);
        request.headers_mut().insert("x-tier", tier);
        request
    };
    let mut passed = [0, 0];
    for _ in 0..5 {
        for (at, tier) in ["gold", "iron"].into_iter().enumerate() {
            passed[at] += i32::from(ask(&rig, of(tier)).await.status() == StatusCode::OK);
        }
    }
    assert_eq!(passed, [3, 1]);
}

#[tokio::test(start_paused = true)]
async fn pictures_are_no_prompt() {
    let rig = rig([RateLimit::input_tokens(MANY, Per::Day)]);
    let gate = rig.engines.hold();
    let picture = "iVBORw0KGgo+/aZ9".repeat(20_000);
    let body = json!({"model": "asked", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{picture}")}},
        {"type": "text", "text": "What is in this picture?"}]}]});
    let call = rig.start(post("/v1/chat/completions", body.to_string()));
    test_kit::paused::settle().await;
    let reserved = MANY as i64 - left(&rig.table)[0];
    assert!((1..100).contains(&reserved), "{reserved}");
    gate.add_permits(1);
    _ = call.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_engines_report_teaches_what_a_byte_and_an_answer_cost() {
    let rig = rig([
        RateLimit::input_tokens(MANY, Per::Day),
        RateLimit::output_tokens(MANY, Per::Day),
    ]);
    let request = || {
        let body = json!({"model": "asked", "messages": [{"content": "x y ".repeat(250)}]});
        post("/v1/chat/completions", body.to_string())
    };
    let bytes = input_of(&request()) * 4;
    // Two bytes a token, and 40 tokens an answer.
    rig.engines.everywhere(|| used(530, 40));
    for _ in 0..30 {
        ask(&rig, request()).await;
    }
    let before = left(&rig.table);
    let gate = rig.engines.hold();
    let call = rig.start(request());
    test_kit::paused::settle().await;
    let reserved: Vec<_> = before
        .iter()
        .zip(left(&rig.table))
        .map(|(a, b)| a - b)
        .collect();
    let expected = [530..=540, 40..=41];
    for (reserved, expected) in reserved.iter().zip(expected) {
        assert!(expected.contains(reserved), "{reserved} of {bytes} bytes");
    }
    gate.add_permits(1);
    _ = call.await.unwrap();
}
