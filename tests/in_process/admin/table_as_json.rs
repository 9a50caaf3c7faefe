//! `GET /_routes`.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use test_kit::table::{HOSTILE, hostile_names};
use tower::{ServiceExt, service_fn};
use tower_model_route::{
    Admin, Endpoint, LoadReport, ModelRouteLayer, ModelServer, RouteBody, RouteTable,
    RouteTableHandle, WithoutModel, stack,
};

use super::view::{get, send};

async fn view(admin: &Admin) -> Value {
    let request = Request::get("/_routes").body(Full::default()).unwrap();
    send(admin.clone(), request).await.json()
}

#[tokio::test]
async fn endpoints_have_the_names_that_are_known() {
    let server = ModelServer::new("s")
        .endpoint(Endpoint::new("http://a").name("pod-7"))
        .endpoint("http://b");
    let table = RouteTable::builder().model_server(server).build().unwrap();
    let view = view(&Admin::new(table)).await;
    let endpoints = &view["model_servers"][0]["endpoints"];
    assert_eq!(endpoints[0]["name"], "pod-7");
    assert_eq!(endpoints[1].get("name"), None);
}

#[tokio::test]
async fn the_table_is_there_in_full() {
    let view = get("/_routes").await.json();
    let expected = json!([{
        "name": HOSTILE,
        "model_name": "gpt",
        "lora_adapters": ["sql", "sum"],
        "rules": [
            {
                "name": "premium",
                "conditions": ["header user-type is \"premium\"", "header authorization is ***"],
                "targets": [{
                    "model_server": HOSTILE, "fallback": false, "weight": null, "share": 100.0,
                    "current_share": 100.0, "counted_share": null, "requests": 0,
                }],
            },
            {
                "name": "default",
                "conditions": [],
                "targets": [
                    {
                        "model_server": "small", "fallback": false, "weight": 70, "share": 70.0,
                        "current_share": 70.0, "counted_share": null, "requests": 0,
                    },
                    {
                        "model_server": HOSTILE, "fallback": false, "weight": 30, "share": 30.0,
                        "current_share": 30.0, "counted_share": null, "requests": 0,
                    },
                    {
                        "model_server": "spare", "fallback": true, "weight": null, "share": 0.0,
                        "current_share": 0.0, "counted_share": null, "requests": 0,
                    },
                ],
            },
        ],
    }]);
    assert_eq!(view["routes"], expected, "{:#}", view["routes"]);
    assert_eq!(view["reload"], json!({"at": null, "error": null}));
}

#[tokio::test]
async fn the_model_servers_are_there_with_their_endpoints() {
    let view = get("/_routes").await.json();
    let endpoint = |uri: &str, weight: u32| {
        json!({
            "uri": uri, "weight": weight, "health": "healthy", "in_flight": 0, "max_in_flight": 8,
            "requests": 0, "failures": 0, "ejections": 0, "consecutive_failures": 0,
            "ejected_for_seconds": null, "reported": [],
        })
    };
    let small = json!({
        "name": "small",
        "model": "org/small",
        "balance": "least request",
        "policy": "no retries; at most 8 in flight to an endpoint",
        "in_flight": 0,
        "endpoints": [endpoint("http://s1:8000", 1), endpoint("http://s2:8000", 3)],
    });
    assert_eq!(view["model_servers"][0], small);
    assert_eq!(view["model_servers"][1]["name"], HOSTILE);
    assert_eq!(view["model_servers"][2]["endpoints"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn what_an_endpoint_has_reported_is_there_with_its_age() {
    let table = hostile_names();
    let handle = RouteTableHandle::new(table);
    let report = LoadReport::new().waiting(7).kv_cache_use(0.5);
    assert!(handle.load_source().report("http://s1:8000", report));
    tokio::time::advance(std::time::Duration::from_millis(2500)).await;
    let view = view(&Admin::new(handle)).await;
    let reported = &view["model_servers"][0]["endpoints"][0]["reported"];
    let expected = json!([{
        "source": "pushed", "age_seconds": 2.5, "is_fresh": false,
        "running": null, "waiting": 7, "kv_cache_use": 0.5,
    }]);
    assert_eq!(*reported, expected);
}

/// That of the layer takes the place of the table's.
#[tokio::test]
async fn what_becomes_of_requests_without_a_model_is_there() {
    let plain = hostile_names();
    assert_eq!(
        view(&Admin::new(plain.clone())).await["without_model"],
        Value::Null
    );
    let table = plain
        .config()
        .clone()
        .without_model(WithoutModel::Model("sql".to_owned()));
    let table = table.build().unwrap();
    let told = view(&Admin::new(table.clone())).await;
    assert_eq!(told["without_model"], json!({"model": "sql"}));
    let layer = ModelRouteLayer::new(table).without_model(WithoutModel::Route(HOSTILE.to_owned()));
    let told = view(&layer.admin()).await;
    assert_eq!(told["without_model"], json!({"route": HOSTILE}));
    let rejects = Admin::new(plain).without_model(WithoutModel::Reject);
    assert_eq!(view(&rejects).await["without_model"], "reject");
}

#[tokio::test]
async fn requests_are_counted_by_target() {
    let table = hostile_names();
    let admin = Admin::new(table.clone());
    let engine = |_: Request<RouteBody>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    };
    let service = stack(table).service(service_fn(engine));
    for _ in 0..100 {
        let body = Full::<Bytes>::from(r#"{"model":"gpt"}"#);
        let request = Request::post("/v1/chat/completions").body(body).unwrap();
        service.clone().oneshot(request).await.unwrap();
    }
    let view = view(&admin).await;
    let targets = &view["routes"][0]["rules"][1]["targets"];
    for (target, count) in [(0, 70), (1, 30), (2, 0)] {
        assert_eq!(targets[target]["requests"], count);
        assert_eq!(targets[target]["counted_share"], f64::from(count));
    }
    let endpoints = view["model_servers"][0]["endpoints"].as_array().unwrap();
    let sent: u64 = endpoints
        .iter()
        .filter_map(|e| e["requests"].as_u64())
        .sum();
    assert_eq!(sent, 70);
}

#[tokio::test]
async fn a_new_table_is_shown_at_once_with_its_time() {
    let handle = RouteTableHandle::new(hostile_names());
    let admin = Admin::new(handle.clone());
    assert_eq!(view(&admin).await["reload"]["at"], Value::Null);
    handle.replace(RouteTable::builder().build().unwrap());
    let view = view(&admin).await;
    assert_eq!(view["routes"], json!([]));
    assert!(view["reload"]["at"].as_f64().unwrap() > 1.0e9);
    assert_eq!(view["reload"]["error"], Value::Null);
}

#[tokio::test]
async fn a_reload_that_failed_says_why() {
    let handle = RouteTableHandle::new(hostile_names());
    let admin = Admin::new(handle.clone());
    handle.failed("there is a typo in it");
    let view = view(&admin).await;
    assert_eq!(view["reload"]["error"], "there is a typo in it");
    assert_eq!(view["routes"][0]["model_name"], "gpt");
}
