//! What an engine keeps is read out as it is: a file of lines is no generation that may break off.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use test_kit::{
    body::script,
    engines::{Act, answers, says},
    gateway::Rig,
    table::one_server,
};
use tower_model_route::{ModelRouteLayer, OnInterruption, TrafficPolicy, WithoutModel};

use super::{RESPONSES, read};

/// Requests that name no model go to the only route.
fn rig(policy: TrafficPolicy) -> Rig {
    Rig::with(one_server(1, policy), |table| {
        ModelRouteLayer::new(table).without_model(WithoutModel::Model("asked".to_owned()))
    })
}

fn policies() -> [TrafficPolicy; 4] {
    let new = TrafficPolicy::new;
    [
        new(),
        new().on_interruption(OnInterruption::Abort),
        new().first_event_gate(true),
        new().first_event_gate(true).max_retries(1),
    ]
}

async fn get(rig: &Rig, path: &str, act: Act) -> (u16, Result<String, String>) {
    rig.engines.next([act]);
    let request = Request::get(path).body(Full::default()).unwrap();
    let (head, body) = read(rig.send::<Full<Bytes>>(request).await).await;
    (head.status().as_u16(), body)
}

#[tokio::test(start_paused = true)]
async fn a_file_is_whole_at_its_end_and_its_lines_are_no_errors() {
    let results = "{\"custom_id\":\"a\",\"result\":{\"type\":\"succeeded\"}}\n";
    let expired = "{\"id\":\"b\",\"response\":null,\"error\":{\"code\":\"batch_expired\"}}\n";
    for (path, kind, text) in [
        (
            "/v1/messages/batches/b/results",
            "application/x-jsonl",
            results,
        ),
        ("/v1/files/f/content", "application/jsonl", expired),
        ("/v1/files/f/content", "application/x-ndjson", expired),
        (
            "/v1/messages/batches/b/results",
            "application/octet-stream",
            results,
        ),
    ] {
        for policy in policies() {
            let rig = rig(policy);
            for _ in 0..6 {
                let act = says(200, text).header("content-type", kind);
                let answer = get(&rig, path, act).await;
                assert_eq!(answer, (200, Ok(text.to_owned())), "{path} {kind}");
            }
            assert_eq!(rig.endpoint("e0").failures(), 0, "{path} {kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_error_is_none_of_the_engine_that_reads_it_out() {
    let text = r#"{"id":"r","status":"failed","error":{"code":"server_error","message":"m"}}"#;
    for policy in policies() {
        let rig = rig(policy);
        for _ in 0..6 {
            let (script, body) = script();
            script.data(text).end();
            let act = answers(200, body).header("content-type", "application/json");
            let answer = get(&rig, "/v1/responses/r", act).await;
            assert_eq!(answer, (200, Ok(text.to_owned())));
        }
        assert_eq!(rig.endpoint("e0").failures(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_taken_up_again_may_break_off() {
    let rig = rig(TrafficPolicy::new());
    let act = RESPONSES.says(&[RESPONSES.content]);
    let (status, body) = get(&rig, "/v1/responses/r?stream=true", act).await;
    assert_eq!(status, 200);
    assert!(body.unwrap().contains("event: error"));
    assert_eq!(rig.endpoint("e0").failures(), 1);
}
