//! In axum, on a socket.

use axum::Router;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use test_kit::{
    socket::{Server, http_client},
    table::hostile_names,
};
use tower_model_route::Admin;

async fn send(method: &str, url: String, body: &str) -> (StatusCode, http::HeaderMap, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json");
    let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
    let (head, body) = http_client(false)
        .request(request)
        .await
        .unwrap()
        .into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, body)
}

async fn check(app: Router, prefix: &str) {
    let server = Server::axum(app).await;
    let url = server.url();
    let (status, headers, page) = send("GET", format!("{url}{prefix}/_"), "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, head_headers, none) = send("HEAD", format!("{url}{prefix}/_"), "").await;
    assert_eq!((status, none.len()), (StatusCode::OK, 0));
    assert_eq!(head_headers["content-length"], page.len().to_string());
    assert_eq!(
        head_headers["content-security-policy"],
        headers["content-security-policy"]
    );
    let (status, _, view) = send("GET", format!("{url}{prefix}/_routes"), "").await;
    assert_eq!(status, StatusCode::OK);
    let view: serde_json::Value = serde_json::from_slice(&view).unwrap();
    assert_eq!(view["routes"][0]["model_name"], "gpt");
    let question = r#"{"model":"gpt"}"#;
    let (status, _, _) = send("POST", format!("{url}{prefix}/_explain"), question).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn nested_under_a_prefix() {
    let app = Router::new().nest_service("/ops/gateway", Admin::new(hostile_names()));
    check(app, "/ops/gateway").await;
}

#[tokio::test]
async fn on_its_three_paths() {
    let admin = Admin::new(hostile_names());
    let app = Router::new()
        .route_service("/_", admin.clone())
        .route_service("/_routes", admin.clone())
        .route_service("/_explain", admin);
    check(app, "").await;
}

#[tokio::test]
async fn as_the_fallback() {
    check(
        Router::new().fallback_service(Admin::new(hostile_names())),
        "",
    )
    .await;
}
