//! Streaming and not, OpenAI and Anthropic, from client to engine.

use mock_llm::{Engine, RunningEngine};
use serde_json::{Value, json};
use test_kit::time::eventually;
use tower_model_route::{Per, RateLimit};

use super::{Gateway, table};

/// In a month one flows in every four minutes: none in a test.
const MANY: i64 = 10_000;

async fn gateway() -> (RunningEngine, Gateway) {
    let engine = Engine::new("asked")
        .adapter("lora")
        .tokens(9)
        .spawn()
        .await
        .unwrap();
    let limits = [
        RateLimit::input_tokens(MANY as u64, Per::Month),
        RateLimit::output_tokens(MANY as u64, Per::Month),
        RateLimit::requests(6, Per::Month),
        RateLimit::concurrent_requests(3),
    ];
    let gateway = Gateway::new(table(&engine.url(), limits)).await;
    (engine, gateway)
}

fn body(more: &Value) -> Value {
    let mut body = json!({"model": "asked", "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello, how are you?"}]});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn each_way_to_ask_costs_what_the_engine_reports() {
    let (_engine, gateway) = gateway().await;
    let streaming = json!({"stream": true, "stream_options": {"include_usage": true}});
    for (path, more) in [
        ("/v1/chat/completions", json!({})),
        ("/v1/chat/completions", streaming),
        ("/v1/chat/completions", json!({"model": "lora"})),
        ("/v1/messages", json!({})),
        ("/v1/messages", json!({"stream": true})),
        // Without usage it is what was counted.
        ("/v1/chat/completions", json!({"stream": true})),
    ] {
        let before = gateway.left();
        let answer = gateway.post(path, &body(&more)).await;
        assert_eq!(answer.status(), 200, "{path} {more}");
        assert!(answer.body.is_ok());
        let spent = |at: usize| before[at] - gateway.left()[at];
        eventually(|| gateway.left()[3] == 3).await;
        assert!((1..60).contains(&spent(0)), "{path} {more}: {}", spent(0));
        assert_eq!((spent(1), spent(2)), (9, 1), "{path} {more}");
    }
    // That were all of them.
    let refused = gateway
        .post("/v1/messages", &body(&json!({"stream": true})))
        .await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((430_000..=432_000).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_client_that_hangs_up_pays_for_what_it_has_read() {
    let engine = Engine::new("asked")
        .tokens(1000)
        .token_delay(std::time::Duration::from_millis(10));
    let engine = engine.spawn().await.unwrap();
    let limits = [
        RateLimit::output_tokens(MANY as u64, Per::Month),
        RateLimit::concurrent_requests(1),
    ];
    let gateway = Gateway::new(table(&engine.url(), limits)).await;
    let streaming = body(&json!({"stream": true, "max_tokens": 1000,
        "stream_options": {"include_usage": true}}));
    let request = gateway.request("/v1/chat/completions", &streaming);
    let mut answer = gateway.client.request(request).await.unwrap();
    for _ in 0..20 {
        http_body_util::BodyExt::frame(&mut answer)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(gateway.left(), [MANY - 1000, 0]);
    assert_eq!(gateway.chat().await.status(), 429);
    drop(answer);
    eventually(|| gateway.left()[1] == 1).await;
    let spent = MANY - gateway.left()[0];
    assert!((10..1000).contains(&spent), "{spent}");
}
