//! What an engine keeps is read out as it is: a file of lines is no generation that may break off.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use test_kit::{
    body::script,
    engines::{Act, answers, says},
    gateway::Rig,
    table::one_server,
};
use tower_model_route::{ModelRouteLayer, OnInterruption, TrafficPolicy, WithoutModel};

use super::{GEMINI, RESPONSES, SECOND, read};

const AGAIN: &str = "/v1/responses/r?stream=true";

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
    let (status, body) = get(&rig, AGAIN, act).await;
    assert_eq!(status, 200);
    assert!(body.unwrap().contains("event: error"));
    assert_eq!(rig.endpoint("e0").failures(), 1);
}

/// The client says from which event on; vLLM has then nothing to say, for ever.
#[tokio::test(start_paused = true)]
async fn one_that_is_taken_up_behind_its_end_says_nothing_of_the_engine() {
    const PING: &str = ": ping\n\n";
    for policy in policies() {
        let policy = policy
            .stream_idle_timeout(5 * SECOND)
            .first_event_slow(2 * SECOND);
        let rig = rig(policy);
        for parts in [&[][..], &[PING]] {
            let answer = get(&rig, AGAIN, RESPONSES.says(parts)).await;
            assert_eq!(answer, (200, Ok(parts.concat())));
        }
        let (script, act) = RESPONSES.stream();
        script.data(PING);
        assert_eq!(get(&rig, AGAIN, act).await.0, 200);
        assert_eq!(rig.endpoint("e0").failures(), 0);
        assert_eq!(rig.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_stored_stream_is_none_of_the_engine_that_reads_it_out() {
    let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"m\"}}}\n\n";
    for policy in policies() {
        let rig = rig(policy);
        for parts in [&[failed][..], &[RESPONSES.content, failed]] {
            let answer = get(&rig, AGAIN, RESPONSES.says(parts)).await;
            assert_eq!(answer, (200, Ok(parts.concat())));
            let (script, act) = RESPONSES.stream();
            parts.iter().for_each(|part| _ = script.data(*part));
            script.fail("reset");
            let answer = get(&rig, AGAIN, act).await;
            assert_eq!(answer, (200, Ok(parts.concat())));
        }
        assert_eq!(rig.endpoint("e0").failures(), 0);
    }
}

/// Only a POST asks for a generation.
#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_lacks_nothing() {
    for method in [Method::HEAD, Method::OPTIONS] {
        let rig = rig(TrafficPolicy::new());
        rig.engines.next([GEMINI.says(&[])]);
        let request = Request::builder().method(&method).uri(GEMINI.path);
        let request = request.body(Full::default()).unwrap();
        let (head, body) = read(rig.send::<Full<Bytes>>(request).await).await;
        assert_eq!((head.status().as_u16(), body), (200, Ok(String::new())));
        assert_eq!(rig.endpoint("e0").failures(), 0, "{method}");
    }
}
