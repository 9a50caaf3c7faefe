//! Every request has an id: the engine gets it, and every answer has it.

use http::Request;
use test_kit::{
    answer::Answer,
    engines::{fails, says},
    gateway::Rig,
    request::{ASKED, post},
    table::retries,
};
use tower_model_route::TrafficPolicy;

fn with_id(path: &str, body: &str, id: Option<&str>) -> Request<axum::body::Body> {
    let mut request = post(path, body.to_owned()).map(axum::body::Body::new);
    if let Some(id) = id {
        let headers = request.headers_mut();
        headers.insert("x-request-id", id.parse().unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn the_clients_reaches_the_engine_and_comes_back() {
    let rig = Rig::one(2, retries(1));
    // The engine has its own, which is not that of the gateway's logs.
    rig.engines.next([
        says(503, ""),
        says(200, "").header("x-request-id", "engine's"),
    ]);
    let request = with_id("/v1/chat/completions", ASKED, Some("req-1"));
    let answer = Answer::of(rig.send(request).await).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("x-request-id"), Some("req-1"));
    let attempts = rig.engines.attempts();
    assert_eq!(attempts.len(), 2);
    for attempt in attempts {
        assert_eq!(attempt.header("x-request-id"), Some("req-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn without_one_it_is_128_random_bits() {
    let rig = Rig::one(1, TrafficPolicy::new());
    let mut seen = std::collections::HashSet::new();
    for given in [None, Some(""), Some("two words"), Some(&*"a".repeat(129))] {
        let request = with_id("/v1/chat/completions", ASKED, given);
        let answer = Answer::of(rig.send(request).await).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!(
            id.len() == 32 && u128::from_str_radix(&id, 16).is_ok(),
            "{id}"
        );
        let sent = rig.engines.attempts().remove(0);
        assert_eq!(sent.header("x-request-id"), Some(&*id));
        assert!(seen.insert(id));
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_ours_have_it_too_whoever_finds_them() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for (path, body, status) in [
        ("/flush_cache", ASKED, 404),
        ("/v1/messages", "{", 400),
        ("/v1/messages", r#"{"model":"gone"}"#, 404),
        ("/v1/messages", ASKED, 502),
    ] {
        rig.engines.everywhere(fails);
        let answer = rig.send(with_id(path, body, Some("req-2"))).await;
        let answer = Answer::of(answer).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.header("x-request-id"), Some("req-2"));
        if path == "/v1/messages" {
            assert_eq!(answer.json()["request_id"], "req-2");
        }
    }
    let models = Request::get("/v1/models").header("x-request-id", "req-3");
    let models = models.body(axum::body::Body::empty()).unwrap();
    let answer = Answer::of(rig.send(models).await).await;
    assert_eq!(answer.header("x-request-id"), Some("req-3"));
}

#[tokio::test(start_paused = true)]
async fn errors_have_the_shape_of_the_paths_api() {
    let rig = Rig::one(1, TrafficPolicy::new());
    let gone = r#"{"model":"gone"}"#;
    for (path, pointer, expected) in [
        ("/v1/chat/completions", "/error/code", "model_not_found"),
        ("/api/chat", "/error", "the model `gone` does not exist"),
        (
            "/v1beta/models/gone:generateContent",
            "/error/status",
            "NOT_FOUND",
        ),
        ("/v1/messages", "/error/type", "not_found_error"),
    ] {
        let answer = Answer::of(rig.send(with_id(path, gone, None)).await).await;
        assert_eq!(answer.status(), 404);
        let found = answer.json().pointer(pointer).cloned();
        assert_eq!(found, Some(expected.into()), "{path}");
    }
    let model = Request::get("/v1/models/gone").header("anthropic-version", "2023-06-01");
    let model = model.body(axum::body::Body::empty()).unwrap();
    let answer = Answer::of(rig.send(model).await).await;
    assert_eq!(answer.json()["error"]["type"], "not_found_error");
}
