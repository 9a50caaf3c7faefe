//! Endpoints are taken out of service over HTTP, by whoever may.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use test_kit::{
    answer::Answer,
    table::{endpoint, one_server},
};
use tower_model_route::{Admin, EndpointHealth, RouteTable, TrafficPolicy};

use super::view::send;

fn table() -> RouteTable {
    one_server(2, TrafficPolicy::new())
}

async fn post(admin: Admin, path: &str, body: impl Into<Bytes>) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    send(admin, request.body(Full::new(body.into())).unwrap()).await
}

fn named(uri: &str) -> String {
    json!({ "endpoint": uri }).to_string()
}

fn is_draining(table: &RouteTable) -> bool {
    endpoint(table, "http://e0").health() == EndpointHealth::Draining
}

async fn view(admin: Admin) -> Value {
    let request = Request::get("/_routes").body(Full::default()).unwrap();
    send(admin, request).await.json()
}

#[tokio::test]
async fn by_its_uri_as_one_writes_it() {
    let table = table();
    let admin = || Admin::new(table.clone());
    let done = post(admin(), "/ops/_drain", named("http://E0:80/")).await;
    assert_eq!(done.status(), 200);
    let is = json!({"endpoint": "http://e0", "draining": true, "in_flight": 0});
    assert_eq!(done.json(), is);
    assert!(is_draining(&table));
    let shown = view(admin()).await;
    assert_eq!(
        shown["model_servers"][0]["endpoints"][0]["health"],
        "draining"
    );
    assert_eq!(shown["read_only"], false);

    let done = post(admin(), "/_undrain", named("http://e0")).await;
    assert_eq!(
        (done.status().as_u16(), &done.json()["draining"]),
        (200, &json!(false))
    );
    assert!(!is_draining(&table));
}

#[tokio::test]
async fn what_is_no_endpoint_is_an_error_that_says_so() {
    let table = table();
    for path in ["/_drain", "/_undrain"] {
        let ask = async |body: &str| post(Admin::new(table.clone()), path, body.to_owned()).await;
        let unknown = ask(&named("http://e9")).await;
        assert_eq!(unknown.status(), 404);
        assert_eq!(unknown.json()["error"]["code"], "endpoint_not_found");
        assert!(
            unknown.text().contains("no ModelServer has this endpoint"),
            "{}",
            unknown.text()
        );
        for wrong in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"endpoint": 1}"#,
            r#"["http://e0"]"#,
            r#"{"endpoint": "e0"}"#,
            r#"{"endpoint": "http://e0", "server": "s"}"#,
        ] {
            let answer = ask(wrong).await;
            assert_eq!(answer.status(), 400, "{wrong}");
            assert_eq!(answer.json()["error"]["code"], "invalid_question");
        }
    }
    assert!(!is_draining(&table));
}

/// By what keeps them from asking too: the Host, and a type that needs their server's leave.
#[tokio::test]
async fn a_page_of_another_site_drains_nothing() {
    let table = table();
    let with = async |name: &'static str, value: &'static str| {
        let request = Request::post("/_drain").header(name, value);
        let request = request.body(Full::new(named("http://e0").into())).unwrap();
        send(Admin::new(table.clone()), request)
            .await
            .status()
            .as_u16()
    };
    assert_eq!(with("content-type", "text/plain").await, 415);
    assert_eq!(with("x-none", "").await, 415);
    assert_eq!(with("host", "evil.example").await, 421);
    for method in [Method::GET, Method::HEAD, Method::PUT] {
        let request = Request::builder().method(method).uri("/_drain");
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::new(named("http://e0").into())).unwrap();
        let answer = send(Admin::new(table.clone()), request).await;
        assert_eq!(
            (answer.status().as_u16(), answer.header("allow")),
            (405, Some("POST"))
        );
    }
    assert!(!is_draining(&table));
}

#[tokio::test]
async fn nobody_does_where_it_is_read_only() {
    let table = table();
    let admin = || Admin::new(table.clone()).read_only();
    for path in ["/_drain", "/_undrain"] {
        let refused = post(admin(), path, named("http://e0")).await;
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.json()["error"]["code"], "read_only");
    }
    assert!(!is_draining(&table));
    assert_eq!(view(admin()).await["read_only"], true);
}
