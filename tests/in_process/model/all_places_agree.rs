//! Several places that name the model: equal ones are all rewritten, different ones are refused.

use bytes::Bytes;
use http::{HeaderName, Request};
use http_body_util::Full;
use proptest::prelude::*;
use test_kit::{engines::says, request::post};
use tower_model_route::{
    DuplicateModels, JsonBody, ModelRouteLayer, ModelSources, MultipartBody, PathModel, QueryModel,
};

use super::send::{REAL, REAL_IN_JSON, REAL_IN_URI, send, send_by, send_through, table};

const HEADER: HeaderName = HeaderName::from_static("x-model");

fn form(uri: &str, model: &str) -> Request<Full<Bytes>> {
    let mut request = post(
        uri,
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--b--\r\n"
        ),
    );
    let kind = "multipart/form-data; boundary=b".parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    request
}

#[tokio::test]
async fn equal_ones_are_all_rewritten() {
    for (sent, uri) in [
        (
            "/v1/models/alias:predict",
            format!("/v1/models/{REAL_IN_URI}:predict"),
        ),
        (
            "/v2/models/%61lias/infer",
            format!("/v2/models/{REAL_IN_URI}/infer"),
        ),
        (
            "/model/alias/invoke",
            format!("/model/{REAL_IN_URI}/invoke"),
        ),
        (
            "/openai/deployments/alias/completions",
            format!("/openai/deployments/{REAL_IN_URI}/completions"),
        ),
        (
            "/v1/realtime?a&model=alias",
            format!("/v1/realtime?a&model={REAL_IN_URI}"),
        ),
    ] {
        let forwarded = send(post(sent, r#"{"x":1,"model":"\u0061lias"}"#))
            .await
            .forwarded();
        let expected = format!("http://engine.test:8000/base{uri}");
        assert_eq!(forwarded.uri().to_string(), expected);
        let body = format!(r#"{{"x":1,"model":{REAL_IN_JSON}}}"#);
        assert_eq!(forwarded.bytes(), body);
        assert_eq!(
            forwarded.header("content-length"),
            Some(&*body.len().to_string())
        );
        let forwarded = send(form(sent, "alias")).await.forwarded();
        assert!(
            forwarded.text().contains(&format!("\r\n\r\n{REAL}\r\n")),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn four_places_at_once() {
    let sources = ModelSources::new()
        .or(PathModel::new("/m/{model}/say").unwrap())
        .or(QueryModel::new("/m/alias/say", "m").unwrap())
        .or(JsonBody::new())
        .and_header(HEADER);
    let mut sent = post("/m/alias/say?a=1&m=alias", r#"{"model":"alias"}"#);
    sent.headers_mut().insert(HEADER, "alias".parse().unwrap());
    let forwarded = send_by(sources, sent).await.forwarded();
    let uri = format!("/base/m/{REAL_IN_URI}/say?a=1&m={REAL_IN_URI}");
    assert_eq!(forwarded.uri().path_and_query().unwrap().as_str(), uri);
    assert_eq!(forwarded.header("x-model"), Some(REAL));
    assert_eq!(forwarded.bytes(), format!(r#"{{"model":{REAL_IN_JSON}}}"#));
}

#[tokio::test]
async fn different_ones_are_refused() {
    for uri in [
        "/v1/models/alias:predict",
        "/v1beta/models/alias:generateContent",
        "/v2/models/alias/infer",
        "/model/alias/converse",
        "/v1/realtime?model=alias",
    ] {
        for body in [
            r#"{"model":"lora"}"#,
            r#"{"model":"Alias"}"#,
            r#"{"Model":"alias"}"#,
        ] {
            send(post(uri, body)).await.refused(400, "ambiguous_model");
        }
        send(post(uri, r#"{"model":7}"#))
            .await
            .refused(400, "invalid_model");
        send(form(uri, "lora"))
            .await
            .refused(400, "ambiguous_model");
    }
    let sources = ModelSources::new()
        .or(PathModel::new("/m/{model}/say").unwrap())
        .or(QueryModel::new("/m/alias/say", "m").unwrap());
    let outcome = send_by(sources, post("/m/alias/say?m=lora", "")).await;
    outcome.refused(400, "ambiguous_model");
}

/// Its SDKs put any name into the body.
#[tokio::test]
async fn azures_path_counts_and_the_body_is_overwritten() {
    let path = "/openai/deployments/alias/chat/completions";
    for model in [r#""gpt-4""#, r#""alias""#, r#""""#, "null", "[1]"] {
        let forwarded = send(post(path, format!(r#"{{"model":{model},"x":1}}"#)))
            .await
            .forwarded();
        assert_eq!(
            forwarded.bytes(),
            format!(r#"{{"model":{REAL_IN_JSON},"x":1}}"#)
        );
        assert_eq!(forwarded.asked_for(), "alias");
    }
    let forwarded = send(form(path, "gpt-4")).await.forwarded();
    assert!(forwarded.text().contains(&format!("\r\n\r\n{REAL}\r\n")));
    // Where the name stays, the body's becomes the path's, and keeps its spelling if it is that.
    let path = "/openai/deployments/plain/model/chat/completions";
    for (sent, expected) in [
        (r#"{"model":"gpt-4"}"#, r#"{"model":"plain/model"}"#),
        (r#"{"model":"plain\/model"}"#, r#"{"model":"plain\/model"}"#),
        ("{}", "{}"),
    ] {
        let forwarded = send(post(path, sent)).await.forwarded();
        assert_eq!(forwarded.bytes(), expected);
        assert_eq!(
            forwarded.header("content-length"),
            Some(&*expected.len().to_string())
        );
    }
    for body in [r#"{"model":"a","model":"b"}"#, r#"{"Model":"a"}"#] {
        send(post(path, body)).await.refused(400, "ambiguous_model");
    }
}

#[tokio::test]
async fn a_path_of_ones_own_may_overwrite_too() {
    let path = || PathModel::new("/m/{model}/say").unwrap();
    let body = JsonBody::new().duplicates(DuplicateModels::First);
    let sources = ModelSources::new().or(path().overwrites_body()).or(body);
    let sent = post("/m/alias/say", r#"{"model":"a","Model":"b","model":1}"#);
    let forwarded = send_by(sources, sent).await.forwarded();
    let expected =
        format!(r#"{{"model":{REAL_IN_JSON},"Model":{REAL_IN_JSON},"model":{REAL_IN_JSON}}}"#);
    assert_eq!(forwarded.bytes(), expected);
    // On its own it reads the path alone.
    let forwarded = send_by(path(), post("/m/alias/say", r#"{"model":"a"}"#))
        .await
        .forwarded();
    assert_eq!(forwarded.bytes(), r#"{"model":"a"}"#);
}

/// Google names models in bodies as resources, whose names are the ends of their paths.
#[tokio::test]
async fn googles_resource_names_are_names_of_the_same_model() {
    for (path, prefix) in [
        ("/v1beta/models/alias:embedContent", "models/"),
        ("/v1/models/org/alias:embedContent", "models/"),
        ("/v1beta/tunedModels/alias:generateContent", "tunedModels/"),
        (
            "/v1/projects/p/locations/l/publishers/google/models/alias:predict",
            "publishers/google/models/",
        ),
    ] {
        let name = if path.contains("org") {
            "org/alias"
        } else {
            "alias"
        };
        let sent = post(path, format!(r#"{{"model":"{prefix}{name}"}}"#));
        let forwarded = send(sent).await.forwarded();
        let real = REAL_IN_JSON.trim_start_matches('"');
        assert_eq!(forwarded.bytes(), format!(r#"{{"model":"{prefix}{real}}}"#));
        for other in ["dels/", "x/models/", "/"] {
            let sent = post(path, format!(r#"{{"model":"{other}{name}"}}"#));
            send(sent).await.refused(400, "ambiguous_model");
        }
    }
}

#[test]
fn whatever_names_what() {
    let names = ["alias", "lora", "plain/model"];
    let place = prop::option::of(0..names.len());
    let strategy = (
        place.clone(),
        place.clone(),
        place.clone(),
        place,
        any::<bool>(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) }, |((path, query, header, body, is_form) in strategy)| {
        let sources = ModelSources::new()
            .or(JsonBody::new())
            .or(PathModel::new("/m/{model}/say").unwrap())
            .or(QueryModel::new("/m", "model").unwrap())
            .or(MultipartBody::new())
            .and_header(HEADER);
        // The query is read of one path only, which has no name.
        let path = path.filter(|_| query.is_none());
        let uri = match (path, query) {
            (Some(at), _) => format!("/m/{}/say", names[at]),
            (_, Some(at)) => format!("/m?model={}", names[at]),
            _ => "/elsewhere".to_owned(),
        };
        // The first that reads bodies gets all bodies, so a form needs another order.
        let sources = if is_form { ModelSources::new().or(MultipartBody::new()).or(sources) } else { sources };
        let mut sent = match body {
            Some(at) if is_form => form(&uri, names[at]),
            Some(at) => post(&uri, format!(r#"{{"model":"{}"}}"#, names[at])),
            None => post(&uri, "{}"),
        };
        if let Some(at) = header {
            sent.headers_mut().insert(HEADER, names[at].parse().unwrap());
        }
        let mut named: Vec<_> = [path, query, header, body].into_iter().flatten().collect();
        named.dedup();
        let layer = ModelRouteLayer::new(table()).extract_model(sources);
        let outcome = runtime.block_on(send_through(layer, sent, || says(200, "")));
        match named[..] {
            [] => outcome.refused(400, "missing_model"),
            [at] => {
                let forwarded = outcome.forwarded();
                prop_assert_eq!(forwarded.asked_for(), names[at]);
                if names[at] == "alias" {
                    let all = format!("{}{}{:?}", forwarded.uri(), forwarded.text(), forwarded.header("x-model"));
                    prop_assert!(!all.contains("alias"), "{}", all);
                }
            }
            _ => outcome.refused(400, "ambiguous_model"),
        }
    });
}
