//! The model in a header that a gateway in front has set.

use bytes::Bytes;
use http::{HeaderName, Request};
use http_body_util::Full;
use test_kit::request::{get, post};
use tower_model_route::{HeaderModel, ModelSources};

use super::send::{REAL, REAL_IN_JSON, REAL_IN_URI, send, send_by};

const HEADER: HeaderName = HeaderName::from_static("x-model");

fn sources() -> ModelSources {
    ModelSources::standard().and_header(HEADER)
}

fn with(mut request: Request<Full<Bytes>>, models: &[&str]) -> Request<Full<Bytes>> {
    for model in models {
        let model = model.parse().unwrap();
        request.headers_mut().append(HEADER, model);
    }
    request
}

#[tokio::test]
async fn it_agrees_with_the_body() {
    for models in [&["alias"][..], &["alias", "alias"]] {
        let sent = with(post("/v1/chat", r#"{"x":1,"model":"\u0061lias"}"#), models);
        let forwarded = send_by(sources(), sent).await.forwarded();
        let expected = format!(r#"{{"x":1,"model":{REAL_IN_JSON}}}"#);
        assert_eq!(forwarded.bytes(), expected);
        // Nobody behind reads another name there.
        let headers: Vec<_> = forwarded.head.headers.get_all(HEADER).iter().collect();
        assert_eq!(headers, [REAL]);
    }
}

#[tokio::test]
async fn it_agrees_with_the_path() {
    let sent = with(post("/v2/models/org%2Falias/infer", "{}"), &["org/alias"]);
    let forwarded = send_by(sources(), sent).await.forwarded();
    let path = format!("/base/v2/models/{REAL_IN_URI}/infer");
    assert_eq!(forwarded.uri().path(), path);
    assert_eq!(forwarded.header("x-model"), Some(REAL));
}

#[tokio::test]
async fn it_stays_where_the_name_does() {
    let body = r#"{"model":"lora"}"#;
    let forwarded = send_by(sources(), with(post("/v1/chat", body), &["lora"]))
        .await
        .forwarded();
    assert_eq!(forwarded.bytes(), body);
    assert_eq!(forwarded.header("x-model"), Some("lora"));
}

#[tokio::test]
async fn it_disagrees() {
    for sent in [
        with(post("/v1/chat", r#"{"model":"alias"}"#), &["lora"]),
        with(post("/v1/chat", r#"{"model":"lora"}"#), &["alias"]),
        with(post("/v1/chat", r#"{"model":"alias"}"#), &["Alias"]),
        with(post("/v2/models/alias/infer", "{}"), &["lora"]),
        // With itself.
        with(post("/v1/chat", r#"{"model":"alias"}"#), &["alias", "lora"]),
        with(post("/v1/chat", "{}"), &["alias", "lora"]),
    ] {
        send_by(sources(), sent)
            .await
            .refused(400, "ambiguous_model");
    }
}

#[tokio::test]
async fn it_is_all_that_there_is() {
    // A body that names none is not touched.
    let body = r#"{"messages":[{"model":"lora"}]}"#;
    let forwarded = send_by(sources(), with(post("/v1/chat", body), &["alias"]))
        .await
        .forwarded();
    assert_eq!(forwarded.bytes(), body);
    assert_eq!(forwarded.header("x-model"), Some(REAL));
    assert_eq!(forwarded.asked_for(), "alias");

    let request = get("/health").header(HEADER, "alias");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let forwarded = send_by(sources(), request).await.forwarded();
    assert_eq!(forwarded.header("x-model"), Some(REAL));
    assert_eq!(forwarded.header("content-length"), None);
}

/// What the body says wrongly, the header does not make right.
#[tokio::test]
async fn it_does_not_excuse_a_bad_body() {
    for (body, code) in [
        (r#"{"model":1}"#, "invalid_model"),
        (r#"{"model":""}"#, "invalid_model"),
        (r#"{"model":"alias","model":"alias"}"#, "ambiguous_model"),
        (r#"{"messages":[]"#, "invalid_json"),
        ("[]", "invalid_json"),
    ] {
        let sent = with(post("/v1/chat", body), &["alias"]);
        send_by(sources(), sent).await.refused(400, code);
    }
}

#[tokio::test]
async fn it_names_nobody() {
    let sent = with(post("/v1/chat", "{}"), &["gone"]);
    send_by(sources(), sent)
        .await
        .refused(404, "model_not_found");
    let sent = with(post("/v1/chat", "{}"), &[""]);
    send_by(sources(), sent).await.refused(400, "invalid_model");
}

/// It counts only where it was asked for: any client can set it.
#[tokio::test]
async fn it_means_nothing_by_default() {
    let sent = with(post("/v1/chat", r#"{"model":"lora"}"#), &["alias"]);
    let forwarded = send(sent).await.forwarded();
    assert_eq!(forwarded.asked_for(), "lora");
    assert_eq!(forwarded.header("x-model"), Some("alias"));
}

#[tokio::test]
async fn it_may_be_the_only_source() {
    let sources = ModelSources::new().or(HeaderModel::new(HEADER));
    let body = r#"{"model":"whatever"}"#;
    let sent = with(post("/v1/chat", body), &["alias"]);
    let forwarded = send_by(sources.clone(), sent).await.forwarded();
    assert_eq!(forwarded.bytes(), body);
    assert_eq!(forwarded.asked_for(), "alias");
    assert_eq!(forwarded.header("x-model"), Some(REAL));
    // Without it, the request names no model.
    let outcome = send_by(sources, post("/v1/chat", body)).await;
    outcome.refused(404, "route_not_found");
}
