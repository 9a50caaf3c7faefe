//! A call loads an adapter on all engines of a ModelServer, and no client's call on any.

use http::StatusCode;
use serde_json::{Value, json};
use test_kit::{
    answer::Answer,
    engines::{Act, Engines, fails, says, status},
    gateway::Rig,
    request::post,
    table::{server, table},
};
use tower_model_route::{
    LoadAdapter, LoraAdapters, MistakeKind, ModelRouteLayer, RouteTableHandle, Rule, TrafficPolicy,
};

use super::{ask, unknown};
use crate::SECOND;

/// What a vLLM 0.32 answers: loaded, there already, and without the option.
fn loaded() -> Act {
    says(200, "Success: LoRA adapter 'lora' added successfully.")
}
const AGAIN: &str = r#"{"error":{"message":"The lora adapter 'lora' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.","type":"InvalidUserInput","param":null,"code":400}}"#;
const DISABLED: &str = r#"{"detail":"Not Found"}"#;

/// Engines below a gateway, those that answer the calls, and the table of both.
fn rig(endpoints: usize) -> (Rig, Engines, RouteTableHandle) {
    let server = server(endpoints, TrafficPolicy::new()).header("authorization", "Bearer sk-1");
    let table = table([server], Rule::new("rule").target("server"));
    let handle = RouteTableHandle::new(table.clone());
    let rig = Rig::with(table, |_| ModelRouteLayer::new(handle.clone()));
    (rig, Engines::default(), handle)
}

#[tokio::test(start_paused = true)]
async fn every_endpoint_is_asked_also_one_out_of_service() {
    let (rig, calls, handle) = rig(3);
    handle.drain("http://e1").unwrap();
    calls.everywhere(loaded);
    let adapters = LoraAdapters::new(handle, calls.service());
    let adapter = LoadAdapter::new("lora", "/adapters/lora");
    let report = adapters.load("server", adapter).await.unwrap();
    assert!(report.is_complete());
    let endpoints: Vec<_> = report.endpoints().iter().map(|at| at.endpoint()).collect();
    assert_eq!(endpoints, ["http://e0", "http://e1", "http://e2"]);
    let asked = calls.attempts();
    assert_eq!(asked.len(), 3);
    for call in &asked {
        assert_eq!(call.head.method, http::Method::POST);
        assert_eq!(call.uri().path(), "/v1/load_lora_adapter");
        assert_eq!(call.header("authorization"), Some("Bearer sk-1"));
        assert_eq!(call.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_str(call.text()).unwrap();
        assert_eq!(
            body,
            json!({"lora_name": "lora", "lora_path": "/adapters/lora"})
        );
    }
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_is_told_of_and_what_was_done_already_is_done() {
    let (_rig, calls, handle) = rig(5);
    let json = |code, text: &str| says(code, text).header("content-type", "application/json");
    calls.at("e0", [loaded()]);
    calls.at("e1", [json(400, AGAIN)]);
    calls.at("e2", [json(404, DISABLED)]);
    calls.at("e3", [fails()]);
    calls.at("e4", [Act::Hang]);
    let adapters = LoraAdapters::new(handle, calls.service()).timeout(5 * SECOND);
    let adapter = LoadAdapter::new("lora", "/adapters/lora").in_place(true);
    let report = adapters.load("server", adapter).await.unwrap();
    assert!(
        calls.attempts()[0]
            .text()
            .contains(r#""load_inplace":true"#)
    );
    let is_done: Vec<_> = report.endpoints().iter().map(|at| at.is_done()).collect();
    assert_eq!(is_done, [true, true, false, false, false]);
    assert!(report.endpoints()[1].was_done());
    assert_eq!(report.endpoints()[2].status(), Some(StatusCode::NOT_FOUND));
    let failed: Vec<_> = report.failed().map(ToString::to_string).collect();
    assert_eq!(failed[0], r#"http://e2: 404 "{\"detail\":\"Not Found\"}""#);
    assert!(failed[1].contains("refused"), "{}", failed[1]);
    assert_eq!(failed[2], "http://e4: no answer in 5s");
}

#[tokio::test(start_paused = true)]
async fn what_is_loaded_is_known_to_be_there_and_what_is_unloaded_is_not() {
    let (rig, calls, handle) = rig(2);
    rig.engines.always("e0", unknown);
    for _ in 0..2 {
        assert_eq!(ask(&rig).await, 200);
    }
    assert_eq!(rig.endpoint("e0").has_model("lora"), Some(false));
    calls.everywhere(loaded);
    let adapters = LoraAdapters::new(handle.clone(), calls.service());
    let adapter = LoadAdapter::new("lora", "/adapters/lora");
    assert!(
        adapters
            .load("server", adapter)
            .await
            .unwrap()
            .is_complete()
    );
    rig.engines.always("e0", || status(200));
    rig.engines.attempts();
    for _ in 0..4 {
        assert_eq!(ask(&rig).await, 200);
    }
    let hosts = rig.engines.hosts();
    assert_eq!(hosts.iter().filter(|host| *host == "e0").count(), 2);

    let gone = r#"{"error":{"message":"The lora adapter 'lora' cannot be found.","code":404}}"#;
    calls.at("e1", [says(404, gone)]);
    let report = adapters.unload("server", "lora").await.unwrap();
    assert!(report.is_complete() && report.endpoints()[1].was_done());
    assert_eq!(calls.attempts()[2].uri().path(), "/v1/unload_lora_adapter");
    assert_eq!(rig.endpoint("e0").has_model("lora"), Some(false));
    assert_eq!(
        rig.endpoint("e0").passed_over_for("lora"),
        Some(60 * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_are_asked_at_once() {
    let (_rig, calls, handle) = rig(9);
    let gate = calls.hold();
    let adapters = LoraAdapters::new(handle, calls.service())
        .at_once(2)
        .sglang();
    let adapter = LoadAdapter::new("lora", "/adapters/lora");
    let load = tokio::spawn(async move { adapters.load("server", adapter).await });
    let mut most = 0;
    for _ in 0..9 {
        test_kit::paused::settle().await;
        most = most.max(calls.under_way());
        gate.add_permits(1);
    }
    assert!(load.await.unwrap().unwrap().is_complete());
    assert_eq!(most, 2);
    assert_eq!(calls.attempts()[0].uri().path(), "/load_lora_adapter");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_server_is_a_mistake() {
    let (_rig, calls, handle) = rig(1);
    let adapters = LoraAdapters::new(handle, calls.service());
    let error = adapters.unload("other", "lora").await.unwrap_err();
    assert_eq!(error.mistakes()[0].kind(), &MistakeKind::UnknownModelServer);
}

#[tokio::test(start_paused = true)]
async fn no_clients_call_reaches_an_engine() {
    let (rig, _calls, _handle) = rig(2);
    for path in [
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/load_lora_adapter",
        "/unload_lora_adapter",
    ] {
        for body in [
            r#"{"lora_name":"x","lora_path":"/etc"}"#,
            r#"{"model":"asked","lora_name":"x","lora_path":"/etc"}"#,
        ] {
            let answer = Answer::of(rig.send(post(path, body)).await).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            assert!(answer.text().contains("unknown_path"), "{}", answer.text());
        }
    }
    assert!(rig.engines.attempts().is_empty());
}
