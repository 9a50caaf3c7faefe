//! Only the paths of inference APIs pass, and those that are added.

use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;
use test_kit::{
    answer::Answer,
    gateway::Rig,
    request::{ASKED, post},
    table::{servers, table},
};
use tower_model_route::{
    ApiPaths, ExtractModel, Extraction, JsonBody, MistakeKind, ModelMatch, ModelRouteLayer,
    ModelServer, ModelSources, PathModel, QueryModel, RouteTable, Rule, StringMatch, WithoutModel,
};

fn plain() -> RouteTable {
    table(
        [ModelServer::new("server").endpoint("http://e0/base")],
        Rule::new("rule").target("server"),
    )
}

/// The status of the answer, and the path that the engine was asked for.
async fn sent(rig: &Rig, path: &str) -> (StatusCode, Option<String>) {
    let answer = rig.send(post(path, ASKED)).await;
    let mut attempts = rig.engines.attempts();
    let path = attempts
        .pop()
        .map(|attempt| attempt.head.uri.path().to_owned());
    (answer.status(), path)
}

#[tokio::test(start_paused = true)]
async fn what_is_no_inference_never_reaches_an_engine() {
    for path in [
        "/flush_cache",
        "/sleep",
        "/abort_request",
        "/update_weights_from_disk",
        "/v1/load_lora_adapter",
    ] {
        for path in [path.to_owned(), format!("/llm{path}"), format!("{path}/")] {
            let refused = refused(&path).await;
            assert_eq!(
                refused,
                (StatusCode::NOT_FOUND, "unknown_path".to_owned()),
                "{path}"
            );
        }
    }
    assert_eq!(
        refused("/v1/chat/completions/../../flush_cache").await,
        (StatusCode::BAD_REQUEST, "invalid_target".to_owned())
    );
}

/// The status and the code with which this is refused, and no engine is asked.
async fn refused(path: &str) -> (StatusCode, String) {
    let rig = Rig::new(plain());
    let answer = Answer::of(rig.send(post(path, ASKED)).await).await;
    assert!(rig.engines.attempts().is_empty(), "{path}");
    (answer.status(), answer.code())
}

/// SDKs read errors of their API's shape only.
#[tokio::test(start_paused = true)]
async fn the_404_has_the_shape_of_the_clients_api() {
    let rig = Rig::new(plain());
    let message = |path: &str| format!("no inference API has the path `{path}`");
    for (path, header, pointer, expected) in [
        ("/flush_cache", None, "/error/code", json!("unknown_path")),
        (
            "/v1/engines",
            None,
            "/error/type",
            json!("invalid_request_error"),
        ),
        ("/api/pull", None, "/error", json!(message("/api/pull"))),
        (
            "/llm/api/delete",
            None,
            "/error",
            json!(message("/llm/api/delete")),
        ),
        (
            "/v2/models/asked/load",
            None,
            "/error",
            json!(message("/v2/models/asked/load")),
        ),
        (
            "/v1beta/models/asked",
            None,
            "/error/status",
            json!("NOT_FOUND"),
        ),
        ("/v1beta/models/asked", None, "/error/code", json!(404)),
        (
            "/v1/models/asked",
            Some("anthropic-version"),
            "/type",
            json!("error"),
        ),
        (
            "/v1/models/asked",
            Some("anthropic-version"),
            "/error/type",
            json!("not_found_error"),
        ),
    ] {
        let mut request = post(path, ASKED);
        if let Some(name) = header {
            let value = HeaderValue::from_static("2023-06-01");
            request.headers_mut().insert(name, value);
        }
        let answer = Answer::of(rig.send(request).await).await;
        assert_eq!(
            (answer.status(), &*answer.code()),
            (StatusCode::NOT_FOUND, "unknown_path")
        );
        let found = answer.json().pointer(pointer).cloned();
        assert_eq!(found, Some(expected), "{path}: {}", answer.text());
    }
    assert!(rig.engines.attempts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_404_names_the_path() {
    let rig = Rig::new(plain());
    let answer = rig
        .send(post("/v1/load_lora_adapter?key=secret", ASKED))
        .await;
    let answer = Answer::of(answer).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.json()["error"]["code"], "unknown_path");
    assert_eq!(
        answer.json()["error"]["message"],
        "no inference API has the path `/v1/load_lora_adapter`"
    );
}

#[tokio::test(start_paused = true)]
async fn they_pass_below_any_prefix() {
    let rig = Rig::new(plain());
    for path in ["/v1/completions", "/llm/v1/completions", "/v1/completions/"] {
        let (status, sent) = sent(&rig, path).await;
        assert_eq!(
            (status, sent),
            (StatusCode::OK, Some(format!("/base{path}")))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_layer_and_the_table_widen_the_list() {
    let more = |pattern: &str| ApiPaths::standard().and(pattern).unwrap();
    let rig = Rig::with(plain(), |table| {
        ModelRouteLayer::new(table).paths(more("/v1/load_lora_adapter"))
    });
    assert_eq!(sent(&rig, "/v1/load_lora_adapter").await.0, 200);
    assert_eq!(sent(&rig, "/v1/unload_lora_adapter").await.0, 404);
    let table = RouteTable::builder()
        .model_server(ModelServer::new("server").endpoint("http://e0"))
        .model_route(
            tower_model_route::ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("rule").target("server")),
        )
        .paths(ApiPaths::none().and("/own/{name}/run").unwrap())
        .build()
        .unwrap();
    let rig = Rig::new(table);
    assert_eq!(sent(&rig, "/own/a/b/run").await.0, 200);
    assert_eq!(sent(&rig, "/v1/completions").await.0, 200);
    assert_eq!(sent(&rig, "/own/run").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn patterns_of_own_extractors_are_on_the_list() {
    let sources = ModelSources::standard()
        .or(PathModel::new("/m/{model}/say").unwrap())
        .or(QueryModel::new("/listen", "model").unwrap());
    let sources = || sources.clone();
    let rig = Rig::with(plain(), |table| {
        ModelRouteLayer::new(table).extract_model(sources())
    });
    // The body names the same model: which of the places counts is not asked here.
    for (path, status) in [
        ("/m/asked/say", 200),
        ("/listen?model=asked", 200),
        ("/m/asked/shout", 404),
        ("/listen/more?model=asked", 404),
        // The standard source would read it, but no Azure has it.
        ("/openai/deployments/asked/flush_cache", 404),
    ] {
        assert_eq!(sent(&rig, path).await.0, status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_extractor_names_its_paths() {
    #[derive(Debug)]
    struct Own;
    impl ExtractModel for Own {
        fn begin(&self, head: &http::request::Parts) -> Extraction {
            JsonBody::new().begin(head)
        }
        fn reads_path(&self, path: &str) -> bool {
            path == "/api/ask"
        }
    }
    let rig = Rig::with(plain(), |table| {
        ModelRouteLayer::new(table).extract_model(ModelSources::new().or(Own))
    });
    assert_eq!(sent(&rig, "/api/ask").await.0, 200);
    assert_eq!(sent(&rig, "/api/tell").await.0, 404);
}

/// A request that names no model is the inner service's, as before; one that names one is not.
#[tokio::test(start_paused = true)]
async fn what_is_forwarded_need_not_be_on_the_list() {
    let rig = Rig::with(plain(), |table| {
        ModelRouteLayer::new(table).without_model(WithoutModel::Forward)
    });
    let get = Request::get("/health")
        .header("host", "e0")
        .body(Full::<bytes::Bytes>::default());
    assert_eq!(rig.send(get.unwrap()).await.status(), 200);
    assert_eq!(sent(&rig, "/flush_cache").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_a_model_is_read_and_deleted_at_its_engine() {
    let layer = |table| ModelRouteLayer::new(table).models_endpoint(false);
    let rig = Rig::with(plain(), layer);
    for (method, status) in [
        (Method::GET, 200),
        (Method::DELETE, 200),
        (Method::POST, 404),
    ] {
        let request = Request::builder()
            .method(method.clone())
            .uri("/v1/models/asked/ready")
            .body(Full::<bytes::Bytes>::default());
        let answer = rig.send(request.unwrap()).await;
        assert_eq!(answer.status(), status, "{method}");
    }
}

#[test]
fn a_rule_for_exactly_another_path_is_a_mistake() {
    let build = |path: &str, paths: Option<ApiPaths>| {
        let rule = Rule::new("rule")
            .when(ModelMatch::new().uri(StringMatch::exact(path)))
            .target("server");
        let mut builder = servers(&["server"]).model_route(
            tower_model_route::ModelRoute::new("route")
                .model_name("asked")
                .rule(rule),
        );
        if let Some(paths) = paths {
            builder = builder.paths(paths);
        }
        builder.build()
    };
    assert!(build("/v1/chat/completions", None).is_ok());
    assert!(build("/llm/v1/chat/completions", None).is_ok());
    let error = build("/flush_cache", None).unwrap_err();
    assert_eq!(error.mistakes()[0].kind(), &MistakeKind::UnknownPath);
    assert_eq!(
        error.to_string(),
        "1 mistake in the route table\n\
         - ModelRoute \"route\", rule \"rule\", uri: no inference API has this path, so no request \
         with it is let through: add it to the table's paths"
    );
    let added = ApiPaths::none().and("/flush_cache").unwrap();
    assert!(build("/flush_cache", Some(added)).is_ok());
    let error = build("/x/../v1/chat/completions", None).unwrap_err();
    assert!(
        matches!(error.mistakes()[0].kind(), MistakeKind::InvalidPath(_)),
        "{error}"
    );
}
