//! Every answer of the view has the request's id.

use http::{Method, Request};
use http_body_util::Full;
use test_kit::{answer::Answer, table::servers};
use tower_model_route::Admin;

use super::view::send;

/// The answer to this; a body is JSON.
async fn asked(method: Method, path: &str, host: &str, body: &str, id: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .header("content-type", "application/json");
    if let Some(id) = id {
        request = request.header("x-request-id", id);
    }
    let body = Full::<bytes::Bytes>::from(body.to_owned());
    let admin = Admin::new(servers(&["s"]).build().unwrap());
    send(admin, request.body(body).unwrap()).await
}

#[tokio::test]
async fn whatever_is_asked_and_however_it_is_answered() {
    let mut seen = std::collections::HashSet::new();
    let too_large = " ".repeat((1 << 20) + 1);
    for (method, path, host, body, status) in [
        (Method::GET, "/_", "localhost", "", 200),
        (Method::HEAD, "/_", "localhost", "", 200),
        (Method::GET, "/_routes", "localhost", "", 200),
        (
            Method::POST,
            "/_explain",
            "localhost",
            r#"{"model": "m"}"#,
            200,
        ),
        (Method::POST, "/_explain", "localhost", "{", 400),
        (Method::POST, "/_explain", "localhost", &*too_large, 413),
        (
            Method::POST,
            "/_drain",
            "localhost",
            r#"{"endpoint": "http://x"}"#,
            404,
        ),
        (Method::GET, "/_explain", "localhost", "", 405),
        (Method::POST, "/_", "localhost", "", 405),
        (Method::GET, "/other", "localhost", "", 404),
        (Method::GET, "/_routes", "evil.example", "", 421),
    ] {
        let answer = asked(method.clone(), path, host, body, Some("req-1")).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(answer.header("x-request-id"), Some("req-1"), "{path}");

        // What is no id is answered with a new one: 128 bits in hex.
        let answer = asked(method, path, host, body, Some("two words")).await;
        let id = answer.header("x-request-id").unwrap();
        assert!(
            id.len() == 32 && u128::from_str_radix(id, 16).is_ok(),
            "{id}"
        );
        assert!(seen.insert(id.to_owned()));
    }
    let answer = asked(Method::GET, "/_", "localhost", "", None).await;
    assert!(seen.insert(answer.header("x-request-id").unwrap().to_owned()));
}
