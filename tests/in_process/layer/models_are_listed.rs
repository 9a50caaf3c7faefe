//! `GET /v1/models` and `GET /v1/models/{id}`, answered from the table.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use serde_json::Value;
use test_kit::{
    answer::own,
    body::text,
    mock::{assert_not_called, called, mock, waits},
};
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service};
use tower_model_route::{ModelRoute, ModelRouteLayer, ModelServer, RouteTable, Rule, WithoutModel};

fn table() -> RouteTable {
    let rule = || Rule::new("rule").target("server");
    RouteTable::builder()
        .model_server(
            ModelServer::new("server")
                .model("not shown")
                .max_model_len(8192),
        )
        .model_route(
            ModelRoute::new("one")
                .model_name("org/base")
                .lora_adapters(["sql", "org/deep/chat"])
                .rule(rule()),
        )
        .model_route(ModelRoute::new("two").model_name("org/base").rule(rule()))
        .model_route(
            ModelRoute::new("adapters only")
                .lora_adapter("orphan")
                .rule(rule()),
        )
        .build()
        .unwrap()
}

fn request(method: Method, uri: &str) -> Request<Empty<Bytes>> {
    Request::builder()
        .method(method)
        .uri(uri)
        .body(Empty::new())
        .unwrap()
}

/// The answer that needs no engine.
fn ask(method: Method, uri: &str) -> (StatusCode, String, String) {
    let (mock, mut handle) = mock();
    handle.allow(0);
    let mut service = ModelRouteLayer::new(table()).layer(mock);
    let mut call = task::spawn(service.call(request(method, uri)));
    let response = assert_ready_ok!(call.poll());
    let content_type = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (response.status(), content_type, text(response.into_body()))
}

fn json(uri: &str) -> Value {
    let (status, content_type, body) = ask(Method::GET, uri);
    assert_eq!(
        (status, &*content_type),
        (StatusCode::OK, "application/json")
    );
    serde_json::from_str(&body).unwrap()
}

#[test]
fn the_list_holds_what_clients_can_ask_for() {
    for uri in [
        "/v1/models",
        "/v1/models/",
        "/v1/models?after=x",
        "http://gateway/v1/models",
    ] {
        let list = json(uri);
        assert_eq!(list["object"], "list");
        let models = list["data"].as_array().unwrap();
        let shown: Vec<_> = models
            .iter()
            .map(|model| (model["id"].as_str().unwrap(), model["parent"].as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("org/base", None),
                ("sql", Some("org/base")),
                ("org/deep/chat", Some("org/base")),
                ("orphan", None),
            ]
        );
        for model in models {
            assert_eq!(model["object"], "model");
            assert_eq!(model["root"], model["id"]);
            assert_eq!(model["max_model_len"], 8192);
            assert!(model["created"].is_u64() && model["owned_by"].is_string());
            // What the types of Mistral's SDKs have, and of Anthropic's.
            assert_eq!(
                (&model["type"], &model["lifecycle"]),
                (&"base".into(), &"active".into())
            );
            assert!(model["capabilities"].is_object());
            assert_eq!(model["display_name"], model["id"]);
            assert_eq!(model["max_input_tokens"], 8192);
            assert!(model["created_at"].is_string());
        }
    }
}

#[test]
fn one_model_is_found_with_slashes_and_escapes() {
    for (uri, id) in [
        ("/v1/models/sql", "sql"),
        ("/v1/models/org/base", "org/base"),
        ("/v1/models/org%2Fbase", "org/base"),
        ("/v1/models/org%2fdeep/chat?x", "org/deep/chat"),
    ] {
        assert_eq!(json(uri)["id"], id, "{uri}");
    }
}

/// google-genai asks so for `client.models.list()` and `client.models.get(..)`.
#[test]
fn geminis_clients_get_the_same_models_in_their_form() {
    for uri in [
        "/v1beta/models?pageSize=50",
        "/v1alpha/models",
        "/x/v1beta/models/",
    ] {
        let list = json(uri);
        let models = list["models"].as_array().unwrap();
        let names: Vec<_> = models
            .iter()
            .map(|model| model["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "models/org/base",
                "models/sql",
                "models/org/deep/chat",
                "models/orphan"
            ]
        );
        for model in models {
            let name = model["displayName"].as_str().unwrap();
            assert_eq!(model["name"], format!("models/{name}"));
            assert_eq!(model["inputTokenLimit"], 8192);
            let methods = model["supportedGenerationMethods"].as_array().unwrap();
            assert!(methods.contains(&"generateContent".into()));
            assert_eq!(json(&format!("/v1beta/models/{name}")), *model);
        }
    }
}

/// `ollama list` cuts the digest to twelve letters.
#[test]
fn ollamas_clients_get_the_same_models_in_their_form() {
    let list = json("/api/tags");
    let models = list["models"].as_array().unwrap();
    let names: Vec<_> = models.iter().map(|model| &model["name"]).collect();
    assert_eq!(names, ["org/base", "sql", "org/deep/chat", "orphan"]);
    for model in models {
        assert_eq!(model["model"], model["name"]);
        assert_eq!(model["digest"].as_str().map(str::len), Some(64));
        assert!(model["modified_at"].is_string() && model["size"].is_u64());
        assert!(model["details"].is_object());
    }
}

#[test]
fn another_is_not_found_in_geminis_form_either() {
    for uri in ["/v1beta/models/org", "/v1alpha/models/SQL"] {
        let (status, _, body) = ask(Method::GET, uri);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["error"]["code"], 404);
        assert_eq!(body["error"]["status"], "NOT_FOUND");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("does not exist"), "{message}");
    }
}

#[test]
fn what_is_below_a_model_of_geminis_is_not_answered() {
    for (method, uri) in [
        (Method::GET, "/v1beta/models/sql/operations/x"),
        (Method::DELETE, "/v1beta/models/sql"),
        (Method::POST, "/v1beta/models"),
        (Method::GET, "/v1beta/modelsx"),
    ] {
        let (status, _, body) = ask(method, uri);
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(!body.contains("model `"), "{uri} {body}");
    }
    // A method is the engine's, whatever it is.
    let (mock, mut handle) = mock();
    let table = test_kit::table::simple();
    let mut service = ModelRouteLayer::new(table).layer(mock);
    let uri = "/v1beta/models/asked:countTokens";
    let mut call = task::spawn(service.call(request(Method::GET, uri)));
    waits(&mut call);
    called(&mut handle);
}

#[test]
fn another_is_not_found() {
    let (mock, _handle) = mock();
    let mut service = ModelRouteLayer::new(table()).layer(mock);
    for uri in [
        "/v1/models/org",
        "/v1/models/org/base/",
        "/v1/models/SQL",
        "/v1/models/%ff",
    ] {
        let mut call = task::spawn(service.call(request(Method::GET, uri)));
        let refused = own(assert_ready_ok!(call.poll()));
        assert_eq!(
            (refused.status, &*refused.code),
            (StatusCode::NOT_FOUND, "model_not_found")
        );
    }
}

#[test]
fn head_is_answered_like_get() {
    let (status, content_type, _) = ask(Method::HEAD, "/v1/models");
    assert_eq!(
        (status, &*content_type),
        (StatusCode::OK, "application/json")
    );
    assert_eq!(
        ask(Method::HEAD, "/v1/models/gone").0,
        StatusCode::NOT_FOUND
    );
}

#[test]
fn neighbours_and_other_methods_are_not_its_business() {
    assert_eq!(ask(Method::GET, "/v1/modelsx").0, StatusCode::NOT_FOUND);
    assert_eq!(
        ask(Method::DELETE, "/v1/models/sql").0,
        StatusCode::NOT_FOUND
    );
    // No engine serves that.
    assert_eq!(ask(Method::POST, "/v1/models").0, StatusCode::NOT_FOUND);
}

#[test]
fn switched_off_they_are_requests_without_a_model() {
    let (mock, mut handle) = mock();
    let layer = ModelRouteLayer::new(table()).models_endpoint(false);
    let mut service = layer.clone().layer(mock.clone());
    let mut call = task::spawn(service.call(request(Method::GET, "/v1/models")));
    assert_eq!(own(assert_ready_ok!(call.poll())).code, "unknown_path");
    assert_not_called(&mut handle);

    let mut service = layer
        .without_model(WithoutModel::Forward)
        .layer(mock.clone());
    let mut call = task::spawn(service.call(request(Method::GET, "/v1/models")));
    waits(&mut call);
    assert_eq!(called(&mut handle).0.uri(), "/v1/models");

    // Switched on, it goes before the forwarding.
    let layer = ModelRouteLayer::new(table()).without_model(WithoutModel::Forward);
    let mut service = layer.layer(mock);
    let mut call = task::spawn(service.call(request(Method::GET, "/v1/models")));
    assert_ready_ok!(call.poll());
    assert_not_called(&mut handle);
}

#[test]
fn a_client_sees_only_what_it_may() {
    let ask = |uri: &str, staff: bool| {
        let (mock, mut handle) = mock();
        handle.allow(0);
        let layer = ModelRouteLayer::new(table())
            .visible_models(|head, model| model != "sql" || head.headers.contains_key("x-staff"));
        let mut request = request(Method::GET, uri);
        if staff {
            let headers = request.headers_mut();
            headers.insert("x-staff", "1".parse().unwrap());
        }
        let mut call = task::spawn(layer.layer(mock).call(request));
        let response = assert_ready_ok!(call.poll());
        (response.status(), text(response.into_body()))
    };
    let ids = |list: &str| -> Vec<String> {
        let list: Value = serde_json::from_str(list).unwrap();
        let (list, id) = match list.get("data") {
            Some(data) => (data, "id"),
            None => (&list["models"], "displayName"),
        };
        let models = list.as_array().unwrap().iter();
        models
            .map(|model| model[id].as_str().unwrap().to_owned())
            .collect()
    };
    for uri in ["/v1/models", "/v1beta/models"] {
        let (all, seen) = (ask(uri, true), ask(uri, false));
        let mut all = ids(&all.1);
        assert!(all.contains(&"sql".to_owned()) && all.len() > 1);
        all.retain(|id| id != "sql");
        assert_eq!(ids(&seen.1), all);
        assert_eq!(ask(&format!("{uri}/sql"), true).0, StatusCode::OK);
        assert_eq!(ask(&format!("{uri}/sql"), false).0, StatusCode::NOT_FOUND);
    }
}
