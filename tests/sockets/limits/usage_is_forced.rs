//! Limits on tokens over streams whose usage only the gateway has asked for.

use std::sync::Arc;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use test_kit::{
    socket::{LAST_CHUNK, Reply, Upstream, chunk},
    time::{eventually, within},
};
use tokio::sync::Notify;
use tower_model_route::{ModelServer, Per, RateLimit};

use super::{Gateway, table_of};

const MANY: i64 = 10_000;
const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const CONTENT: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w\"},\"text\":\"w\"}]}\n\n";
const FINISH: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n";
/// More than there were events.
const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":31,\"completion_tokens\":17,\"total_tokens\":48}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const PATHS: [&str; 2] = ["/v1/chat/completions", "/v1/completions"];

/// One that reports usage if it is asked for it. What follows the finish waits for `go`.
async fn engine(go: &Arc<Notify>) -> Upstream {
    let go = Arc::clone(go);
    Upstream::start(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let begun = [CONTENT, CONTENT, CONTENT, FINISH]
            .iter()
            .fold(Reply::new(HEAD), |reply, event| reply.then(chunk(event)))
            .then_wait(&go);
        let reported = match asked["stream_options"]["include_usage"].as_bool() {
            Some(true) => begun.then(chunk(USAGE)),
            _ => begun,
        };
        reported.then(chunk(DONE)).then(LAST_CHUNK)
    })
    .await
}

async fn gateway(engine: &Upstream) -> Gateway {
    let server = ModelServer::new("server").endpoint(engine.url());
    let limits = [
        RateLimit::input_tokens(MANY as u64, Per::Month),
        RateLimit::output_tokens(MANY as u64, Per::Month),
        RateLimit::concurrent_requests(1),
    ];
    Gateway::new(table_of(server.force_usage(true), limits)).await
}

fn unasked() -> Value {
    json!({"model": "asked", "max_tokens": 50, "stream": true, "messages": [], "prompt": "Hello"})
}

#[tokio::test]
async fn a_stream_costs_what_was_reported_and_its_client_is_not_told() {
    let go = Arc::new(Notify::new());
    let engine = engine(&go).await;
    for path in PATHS {
        let gateway = gateway(&engine).await;
        go.notify_one();
        let answer = gateway.post(path, &unasked()).await;
        assert_eq!(
            answer.text(),
            [CONTENT, CONTENT, CONTENT, FINISH, DONE].concat(),
            "{path}"
        );
        eventually(|| gateway.left()[2] == 1).await;
        assert_eq!(gateway.left(), [MANY - 31, MANY - 17, 1], "{path}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_usage_pays_for_its_prompt_and_what_it_got() {
    let go = Arc::new(Notify::new());
    let engine = engine(&go).await;
    for path in PATHS {
        let gateway = gateway(&engine).await;
        let request = gateway.request(path, &unasked());
        let answer = within(gateway.client.request(request)).await.unwrap();
        let mut body = answer.into_body();
        let whole = [CONTENT, CONTENT, CONTENT, FINISH].concat();
        let mut got = Vec::new();
        while got.len() < whole.len() {
            let frame = within(body.frame()).await.unwrap().unwrap();
            got.extend(frame.into_data().unwrap());
        }
        assert_eq!(String::from_utf8(got).unwrap(), whole, "{path}");
        let input = MANY - gateway.left()[0];
        assert!(input > 0);
        assert_eq!(gateway.left(), [MANY - input, MANY - 50, 0], "{path}");
        drop(body);
        eventually(|| gateway.left()[2] == 1).await;
        assert_eq!(gateway.left(), [MANY - input, MANY - 3, 1], "{path}");
    }
}
