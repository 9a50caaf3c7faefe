//! An adapter that some engines have is asked for there.

use std::time::Duration;

use http::StatusCode;
use test_kit::{
    answer::Answer,
    body::script,
    engines::{answers, fails, says, status},
    gateway::Rig,
    paused::settle,
    request::{chat, chat_of},
    table::{one_server, server, single, table},
};
use tower_model_route::{ModelRouteLayer, RouteTableHandle, Rule, TrafficPolicy};

use super::{UNKNOWN, ask, lacks, unknown};
use crate::SECOND;

/// Two engines, of which `e0` does not have it.
fn half(policy: TrafficPolicy) -> Rig {
    let rig = Rig::one(2, policy);
    rig.engines.always("e0", unknown);
    rig
}

/// The same with a table that can be replaced.
fn live() -> (RouteTableHandle, Rig) {
    let table = one_server(2, TrafficPolicy::new());
    let handle = RouteTableHandle::new(table.clone());
    let rig = Rig::with(table, |_| ModelRouteLayer::new(handle.clone()));
    rig.engines.always("e0", unknown);
    (handle, rig)
}

#[tokio::test(start_paused = true)]
async fn every_other_request_fails_if_it_is_off() {
    let rig = half(TrafficPolicy::new().retry_unknown_model(false));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&rig).await);
    }
    assert_eq!(statuses, [404, 200, 404, 200]);
}

#[tokio::test(start_paused = true)]
async fn none_fails_and_the_one_without_it_is_asked_once_a_minute() {
    let rig = half(TrafficPolicy::new());
    for _ in 0..20 {
        assert_eq!(ask(&rig).await, 200);
    }
    assert_eq!(rig.engines.count("e0"), 1);
    // The mark is for the adapter alone.
    rig.engines.always("e0", || status(200));
    for _ in 0..4 {
        rig.ask().await;
    }
    assert_eq!(rig.engines.count("e0"), 3);
    rig.engines.always("e0", unknown);
    let before = rig.engines.count("e0");
    tokio::time::sleep(60 * SECOND).await;
    for _ in 0..20 {
        assert_eq!(ask(&rig).await, 200);
    }
    assert_eq!(rig.engines.count("e0"), before + 1);
    assert_eq!(rig.in_flight(), 0);
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_costs_no_retry_and_counts_as_an_attempt() {
    let rig = half(TrafficPolicy::new());
    let answer = rig.send(chat_of(r#"{"model":"lora"}"#)).await;
    let answer = Answer::of(answer).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let decision = answer.decision();
    assert_eq!((decision.attempts(), decision.endpoint()), (2, "http://e1"));
}

#[tokio::test(start_paused = true)]
async fn if_nobody_has_it_the_engines_own_404_is_the_answer() {
    let rig = Rig::one(3, TrafficPolicy::new());
    rig.engines.everywhere(unknown);
    for attempts in [3, 1, 1] {
        let answer = rig.send(chat_of(r#"{"model":"lora"}"#)).await;
        let answer = Answer::of(answer).await;
        assert_eq!((answer.status().as_u16(), answer.text()), (404, UNKNOWN));
        // Now that all are known to lack it, one is asked, and no other.
        assert_eq!(rig.engines.attempts().len(), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn other_targets_and_fallbacks_may_have_it() {
    let rule = Rule::new("rule").target("a").target("b").fallback("c");
    let servers = ["a", "b", "c"].map(|name| single(name, TrafficPolicy::new()));
    let rig = Rig::new(table(servers, rule));
    rig.engines.always("a", unknown);
    rig.engines.always("b", unknown);
    for _ in 0..6 {
        assert_eq!(ask(&rig).await, 200);
    }
    assert_eq!((rig.engines.count("a"), rig.engines.count("b")), (1, 1));
    assert_eq!(rig.engines.count("c"), 6);
}

#[tokio::test(start_paused = true)]
async fn the_name_that_the_engines_know_is_what_is_learnt() {
    // Base models: each ModelServer has its own name of it, of which one is wrong.
    let wrong = single("a", TrafficPolicy::new());
    let rig = Rig::new(table(
        [wrong, single("b", TrafficPolicy::new())],
        Rule::new("rule").target("a").target("b"),
    ));
    rig.engines.always("a", || lacks("a-model"));
    for _ in 0..6 {
        assert_eq!(rig.ask().await.status(), StatusCode::OK);
    }
    assert_eq!(rig.engines.count("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_it_and_is_full_is_waited_for() {
    let policy = TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(4)
        .queue_timeout(10 * SECOND);
    let rig = half(policy);
    while rig.engines.count("e0") == 0 {
        assert_eq!(ask(&rig).await, 200);
    }
    rig.engines.always("e0", || status(200));
    let held = rig.engines.hold();
    let first = rig.start(chat_of(r#"{"model":"lora"}"#));
    settle().await;
    let second = rig.start(chat_of(r#"{"model":"lora"}"#));
    settle().await;
    assert_eq!(rig.table.servers()[0].queued(), 1);
    // Who asks for the model goes by: it may go to the other.
    let other = rig.spawn();
    settle().await;
    assert_eq!(rig.engines.under_way(), 2);
    held.add_permits(3);
    for request in [first, second] {
        let answer = request.await.unwrap();
        assert_eq!(answer.decision().endpoint(), "http://e1");
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(other.await.unwrap().decision().endpoint(), "http://e0");
}

#[tokio::test(start_paused = true)]
async fn where_what_may_have_it_is_down_the_others_are_asked() {
    let (handle, rig) = live();
    while rig.engines.count("e0") == 0 {
        assert_eq!(ask(&rig).await, 200);
    }
    handle.drain("http://e1").unwrap();
    assert_eq!(ask(&rig).await, 404);
    // It has been loaded there since.
    rig.engines.always("e0", || status(200));
    assert_eq!(ask(&rig).await, 200);
    handle.undrain("http://e1").unwrap();
    rig.engines.always("e1", unknown);
    // That it answered has ended its mark, and it is known to have it.
    for _ in 0..4 {
        assert_eq!(ask(&rig).await, 200);
    }
    assert_eq!(rig.engines.count("e1"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_can_not_be_reached_changes_no_404() {
    let rig = half(TrafficPolicy::new());
    rig.engines.always("e1", fails);
    for _ in 0..6 {
        let answer = ask(&rig).await;
        assert!([404, 502].contains(&answer), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_404s_and_long_ones_pass_as_they_are() {
    let long = format!("{}{}", UNKNOWN, " ".repeat(5000));
    let texts = [
        ("application/json", r#"{"detail":"Not Found"}"#.to_owned()),
        ("text/plain", UNKNOWN.to_owned()),
        ("application/json", long),
    ];
    for (kind, text) in texts {
        let rig = Rig::one(2, TrafficPolicy::new());
        let other = says(404, &text).header("content-type", kind);
        rig.engines.next([other.header("x-own", "7")]);
        let answer = Answer::of(rig.send(chat_of(r#"{"model":"lora"}"#)).await).await;
        assert_eq!((answer.status().as_u16(), answer.text()), (404, &*text));
        assert_eq!(answer.header("x-own"), Some("7"));
        assert_eq!(rig.engines.attempts().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_unknown_length_is_read_up_to_a_bound() {
    for (frames, attempts) in [(3, 2), (3000, 1)] {
        let rig = Rig::one(2, TrafficPolicy::new());
        let (script, body) = script();
        let (begin, end) = UNKNOWN.split_at(20);
        script.send(begin);
        for _ in 0..frames {
            script.send("");
        }
        script.send(end);
        script.end();
        let act = answers(404, body).header("content-type", "Application/JSON; charset=utf-8");
        rig.engines.next([act]);
        let answer = Answer::of(rig.send(chat_of(r#"{"model":"lora"}"#)).await).await;
        assert_eq!(rig.engines.attempts().len(), attempts, "{frames}");
        if attempts == 1 {
            assert_eq!((answer.status().as_u16(), answer.text()), (404, UNKNOWN));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_gone_can_not_be_sent_again_but_teaches() {
    let rig = Rig::with(one_server(2, TrafficPolicy::new()), |table| {
        ModelRouteLayer::new(table).replay_bytes(0)
    });
    rig.engines.always("e0", unknown);
    let body = format!(
        r#"{{"model":"lora","messages":["{}"]}}"#,
        "x".repeat(100_000)
    );
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let (script, request) = script();
        script.send(&body);
        script.end();
        let answer = rig.send(chat(request)).await;
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 1);
    assert_eq!(rig.engines.count("e0"), 1);
}

#[tokio::test(start_paused = true)]
async fn marks_outlive_a_reload() {
    let (handle, rig) = live();
    for _ in 0..2 {
        assert_eq!(ask(&rig).await, 200);
    }
    let again = server(2, TrafficPolicy::new().timeout(Duration::from_secs(9)));
    handle.replace(table([again], Rule::new("rule").target("server")));
    for _ in 0..6 {
        assert_eq!(ask(&rig).await, 200);
    }
    assert_eq!(rig.engines.count("e0"), 1);
}

/// Engines quote their clients, who would take all of them but one out of service.
#[tokio::test(start_paused = true)]
async fn what_an_engine_quotes_of_its_client_says_nothing_of_the_engine() {
    for (status, text) in [
        // vLLM 0.32 to `"messages":"LoRA adapters are not loaded"`, and to an id.
        (
            400,
            r#"{"error":{"message":"2 validation errors:\n  {'type': 'list_type', 'loc': 'body.messages', 'msg': 'Input should be a valid list', 'input': 'LoRA adapters are not loaded'}\n  {'type': 'missing', 'loc': 'body.max_tokens', 'msg': 'Field required', 'input': '<dict of 2 items>'}","type":"Bad Request","param":"body.messages","code":400}}"#,
        ),
        (
            404,
            r#"{"error":{"message":"Response with id 'resp_model' not found.","type":"invalid_request_error","param":"response_id","code":404}}"#,
        ),
        // The client does not say which model the engine is asked for.
        (
            404,
            r#"{"error":{"message":"The model `other` does not exist.","param":"model"}}"#,
        ),
    ] {
        let rig = Rig::one(3, TrafficPolicy::new());
        let quotes = || says(status, text).header("content-type", "application/json");
        rig.engines.next((0..3).map(|_| quotes()));
        let answer = Answer::of(rig.send(chat_of(r#"{"model":"lora"}"#)).await).await;
        assert_eq!((answer.status().as_u16(), answer.text()), (status, text));
        assert_eq!(rig.engines.attempts().len(), 1, "{text}");
        for host in ["e0", "e1", "e2"] {
            assert_eq!(rig.endpoint(host).passed_over_for("lora"), None);
        }
    }
}
