//! Two running engines, of which one has the adapter.

use mock_llm::{Engine, RunningEngine};
use test_kit::socket::Stacked;
use tower_model_route::{
    ModelRoute, ModelServer, RouteTable, RouteTableHandle, Rule, ServedModels, TrafficPolicy,
    engine_client,
};

const ASKED: &str = r#"{"model":"lora-A","messages":[{"role":"user","content":"Hello"}]}"#;

async fn engines() -> [RunningEngine; 2] {
    [
        Engine::new("base").adapter("lora-A").spawn().await.unwrap(),
        Engine::new("base").spawn().await.unwrap(),
    ]
}

fn table(engines: &[RunningEngine; 2], policy: TrafficPolicy) -> RouteTable {
    let server = ModelServer::new("server")
        .model("base")
        .endpoints(engines.iter().map(RunningEngine::url))
        .traffic_policy(policy);
    let route = ModelRoute::new("route")
        .model_name("chat")
        .lora_adapters(["lora-A"])
        .rule(Rule::new("rule").target("server"));
    let builder = RouteTable::builder().model_server(server);
    builder.model_route(route).build().unwrap()
}

async fn statuses(stacked: &Stacked) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(stacked.say(ASKED).await.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn a_client_sees_none_that_lacks_it_and_the_engine_is_asked_once() {
    let engines = engines().await;
    let stacked = Stacked::by_engine_client(table(&engines, TrafficPolicy::new())).await;
    assert_eq!(statuses(&stacked).await, [200; 8]);
    assert!(engines[1].requests() <= 1);
    // The base model still goes to both.
    for _ in 0..4 {
        let answer = stacked.say(r#"{"model":"chat","messages":[]}"#).await;
        assert_eq!(answer.status(), 200);
    }
    assert!(engines[1].requests() >= 2);
}

#[tokio::test]
async fn without_the_retry_every_other_is_not_found() {
    let engines = engines().await;
    let policy = TrafficPolicy::new().retry_unknown_model(false);
    let stacked = Stacked::by_engine_client(table(&engines, policy)).await;
    let statuses = statuses(&stacked).await;
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 4);
}

#[tokio::test]
async fn what_the_engines_list_is_known_before_the_first_request() {
    let engines = engines().await;
    let policy = TrafficPolicy::new().retry_unknown_model(false);
    let stacked = Stacked::by_engine_client(table(&engines, policy)).await;
    let handle = RouteTableHandle::new(stacked.table.clone());
    let _polls = ServedModels::new().start(handle, engine_client()).unwrap();
    test_kit::time::eventually(|| {
        let servers = stacked.table.servers();
        let mut endpoints = servers[0].endpoints().iter();
        endpoints.all(|endpoint| endpoint.has_model("base") == Some(true))
    })
    .await;
    let before = engines[1].requests();
    assert_eq!(statuses(&stacked).await, [200; 8]);
    assert_eq!(engines[1].requests(), before);
}
