//! In axum, on a socket.

use axum::Router;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower_model_route::Admin;

use crate::support::table;

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    url
}

async fn send(method: &str, url: String, body: &str) -> (StatusCode, http::HeaderMap, Bytes) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder().method(method).uri(url);
    let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, body)
}

async fn check(app: Router, prefix: &str) {
    let url = serve(app).await;
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
    let app = Router::new().nest_service("/ops/gateway", Admin::new(table()));
    check(app, "/ops/gateway").await;
}

#[tokio::test]
async fn on_its_three_paths() {
    let admin = Admin::new(table());
    let app = Router::new()
        .route_service("/_", admin.clone())
        .route_service("/_routes", admin.clone())
        .route_service("/_explain", admin);
    check(app, "").await;
}

#[tokio::test]
async fn as_the_fallback() {
    check(Router::new().fallback_service(Admin::new(table())), "").await;
}
