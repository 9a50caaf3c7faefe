//! On real sockets and under load: no request is lost, whatever is reloaded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use mock_llm::{Engine, RunningEngine};
use test_kit::{
    socket::{Server, http_client},
    table::in_flight,
    time::eventually,
};
use tokio::task::JoinSet;
use tower_model_route::{
    ModelRoute, ModelServer, RouteBody, RouteDecision, RouteTable, RouteTableHandle, Rule,
    TargetModel, stack,
};

const CONNECTIONS: usize = 64;
const RELOADS: usize = 50;
/// How many requests there are at least between two reloads.
const EACH: usize = 15;

/// The `generation` is the name of its only route; every other one has one endpoint fewer.
fn table(engines: &[RunningEngine], generation: usize) -> RouteTable {
    let some = 2 + generation % 2;
    RouteTable::builder()
        .model_server(
            ModelServer::new("large").endpoints(engines[..some].iter().map(RunningEngine::url)),
        )
        .model_server(ModelServer::new("small").endpoint(engines[3].url()))
        .model_route(
            ModelRoute::new(generation.to_string())
                .model_name("model")
                .rule(
                    Rule::new("split")
                        .target(TargetModel::new("large").weight(70))
                        .target(TargetModel::new("small").weight(30)),
                ),
        )
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_each_tables_split_is_exact() {
    let mut engines = Vec::new();
    for _ in 0..4 {
        engines.push(Engine::new("model").spawn().await.unwrap());
    }
    let handle = RouteTableHandle::new(table(&engines, 0));
    let client = http_client::<RouteBody>(false);
    let told = tower::ServiceBuilder::new()
        .map_response(|mut response: http::Response<_>| {
            let decision = response.extensions().get::<RouteDecision>().unwrap();
            let way = format!("{} {}", decision.route(), decision.model_server());
            response.headers_mut().insert("way", way.parse().unwrap());
            response
        })
        .service(stack(handle.clone()).service(client));
    let app = axum::Router::new().fallback_service(told);
    let gateway = Server::axum(app).await;
    let url = format!("{}/v1/completions", gateway.url());

    let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (url, stop, served) = (url.clone(), Arc::clone(&stop), Arc::clone(&served));
        clients.spawn(async move {
            let client = http_client::<Body>(false);
            let mut ways = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let body = Body::from(r#"{"model":"model","prompt":"Hello"}"#);
                let request = Request::post(&url).body(body).unwrap();
                let response = client.request(request).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                ways.push(response.headers()["way"].to_str().unwrap().to_owned());
                response.into_body().collect().await.unwrap();
                served.fetch_add(1, Ordering::Relaxed);
            }
            ways
        });
    }
    for generation in 1..=RELOADS {
        tokio::time::sleep(Duration::from_millis(20)).await;
        // However slow the machine is, each table has its requests.
        eventually(|| served.load(Ordering::Relaxed) > generation * EACH).await;
        handle.replace(table(&engines, generation));
        // One that does not build leaves the table as it is.
        let invalid = RouteTable::builder()
            .model_route(ModelRoute::new("invalid"))
            .build();
        assert!(invalid.is_err());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    stop.store(true, Ordering::Relaxed);
    let ways = clients.join_all().await.concat();

    for generation in 0..=RELOADS {
        let count = |server| {
            let way = format!("{generation} {server}");
            ways.iter().filter(|seen| **seen == way).count() as f64
        };
        let (large, small) = (count("large"), count("small"));
        let share = 0.7 * (large + small);
        // The split is exact to within one; each route has a new name and so a new split.
        assert!((large - share).abs() < 1.0, "{generation}: {large} {small}");
    }
    assert!(ways.len() > RELOADS * EACH, "{} requests", ways.len());
    assert_eq!(in_flight(&handle.table()), 0);
}
