//! The model in the path: Azure, Gemini, KServe, vLLM.

use test_kit::request::{get, post};
use tower_model_route::{JsonBody, ModelSources, PathModel};

use super::send::{REAL_IN_URI, send, send_by};

/// Paths as what stands before the model and what stands behind it.
const PATHS: &[(&str, &str)] = &[
    (
        "/openai/deployments/",
        "/chat/completions?api-version=2024-10-21",
    ),
    ("/openai/deployments/", "/audio/transcriptions"),
    ("/v1beta/models/", ":generateContent"),
    ("/v1beta/models/", ":streamGenerateContent?alt=sse"),
    ("/v1/models/", ":generateContent?a=%2F&b"),
    ("/v1/models/", ":predict"),
    ("/v2/models/", "/infer"),
    ("/v2/models/", "/versions/1/infer"),
    ("/v1alpha/models/", ":generateContent"),
    ("/v1beta/tunedModels/", ":generateContent"),
    (
        "/v1/projects/p/locations/l/publishers/google/models/",
        ":streamGenerateContent",
    ),
    ("/v1/projects/p/models/", ":predict"),
    ("/model/", "/invoke"),
    ("/model/", "/invoke-with-response-stream"),
    ("/model/", "/converse"),
    ("/model/", "/converse-stream"),
];

#[tokio::test]
async fn it_is_rewritten_in_its_place_and_escaped() {
    for (before, after) in PATHS {
        // A slash in a name is escaped, by some in lower case, or not.
        for name in [
            "alias",
            "org%2Falias",
            "org%2falias",
            "org/alias",
            "%61lias",
        ] {
            let body = r#"{"contents":[],"user":{"model":"x"}}"#;
            let sent = post(&format!("{before}{name}{after}"), body);
            let forwarded = send(sent).await.forwarded();
            let expected = format!("http://engine.test:8000/base{before}{REAL_IN_URI}{after}");
            assert_eq!(forwarded.uri().to_string(), expected);
            // The body names no model.
            assert_eq!(forwarded.bytes(), body);
            assert_eq!(forwarded.header("content-length"), Some("36"));
        }
    }
}

#[tokio::test]
async fn a_name_that_stays_keeps_its_spelling() {
    for (before, after) in PATHS {
        for name in [
            "plain%2Fmodel",
            "plain%2fmodel",
            "plain/model",
            "lor%61",
            "lora",
        ] {
            let sent = post(&format!("{before}{name}{after}"), "{}");
            let forwarded = send(sent).await.forwarded();
            let expected = format!("http://engine.test:8000/base{before}{name}{after}");
            assert_eq!(forwarded.uri().to_string(), expected);
        }
    }
}

#[tokio::test]
async fn the_decision_has_the_name_unescaped() {
    let forwarded = send(post("/v2/models/org%2Falias/infer", "{}"))
        .await
        .forwarded();
    assert_eq!(forwarded.asked_for(), "org/alias");
}

/// Of a body that is neither JSON nor a form nothing is read, and it may come compressed.
#[tokio::test]
async fn the_body_may_be_anything() {
    let mut request = post("/v2/models/alias/infer", &b"\x1f\x8b\0\xff"[..]);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/octet-stream".parse().unwrap());
    headers.insert("content-encoding", "gzip".parse().unwrap());
    let forwarded = send(request).await.forwarded();
    assert_eq!(forwarded.bytes(), &b"\x1f\x8b\0\xff"[..]);
    assert_eq!(forwarded.header("content-encoding"), Some("gzip"));
    assert_eq!(forwarded.header("content-length"), Some("4"));
}

#[tokio::test]
async fn a_get_below_a_model_reaches_the_engine() {
    for name in ["alias", "org/alias", "org%2Falias"] {
        let uri = format!("/v1/models/{name}/ready");
        let request = get(&uri).body(http_body_util::Empty::new());
        let forwarded = send(request.unwrap()).await.forwarded();
        let expected = format!("http://engine.test:8000/base/v1/models/{REAL_IN_URI}/ready");
        assert_eq!(forwarded.uri().to_string(), expected);
    }
    let request = get("/v1/models/gone/ready").body(http_body_util::Empty::new());
    let outcome = send(request.unwrap()).await;
    outcome.refused(404, "model_not_found");
}

#[tokio::test]
async fn a_request_without_a_body_gets_none() {
    let request = get("/v2/models/alias/ready").body(http_body_util::Empty::new());
    let forwarded = send(request.unwrap()).await.forwarded();
    let expected = format!("http://engine.test:8000/base/v2/models/{REAL_IN_URI}/ready");
    assert_eq!(forwarded.uri().to_string(), expected);
    assert_eq!(forwarded.header("content-length"), None);
    assert_eq!(forwarded.header("transfer-encoding"), None);
    assert_eq!(forwarded.bytes(), "");
}

#[tokio::test]
async fn a_name_that_nobody_has() {
    for path in [
        "/openai/deployments/gone/completions",
        "/v1beta/models/gone:x",
    ] {
        send(post(path, "{}")).await.refused(404, "model_not_found");
    }
    // What is no text can be no name.
    let sent = post("/openai/deployments/%ff/completions", "{}");
    send(sent).await.refused(400, "invalid_model");
}

/// A path that only looks like one is that of a JSON body.
#[tokio::test]
async fn a_path_that_does_not_fit() {
    for path in ["/openai/deployments/alias", "/v1beta/models/alias"] {
        let sent = post(path, r#"{"model":"lora"}"#);
        let forwarded = send_by(ModelSources::standard(), sent).await.forwarded();
        assert_eq!(forwarded.uri().path(), format!("/base{path}"));
        assert_eq!(forwarded.asked_for(), "lora");
    }
}

#[tokio::test]
async fn a_pattern_of_ones_own() {
    let sources = ModelSources::new()
        .or(PathModel::new("/m/{model}/say").unwrap())
        .or(JsonBody::new());
    let sent = post("/m/alias/say?model=x", r#"{"model":"alias"}"#);
    let forwarded = send_by(sources.clone(), sent).await.forwarded();
    let path = format!("/base/m/{REAL_IN_URI}/say?model=x");
    assert_eq!(forwarded.uri().path_and_query().unwrap().as_str(), path);
    // It has no `*`, so nothing may follow.
    let sent = post("/m/alias/say/more", r#"{"model":"lora"}"#);
    let forwarded = send_by(sources, sent).await.forwarded();
    assert_eq!(forwarded.asked_for(), "lora");
}
