//! A router above that strips a prefix of the path does not send requests elsewhere.

use axum::{Router, extract::OriginalUri};
use http::{Request, Uri};
use http_body_util::Full;
use test_kit::{
    answer::Answer,
    engines::{Engines, says},
    request::{ASKED, post},
    table::servers,
};
use tower::ServiceExt;
use tower_model_route::{
    ModelMatch, ModelRoute, ModelRouteLayer, RouteTable, Rule, StringMatch, stack,
};

/// Chat goes to `chat`, and everything else to `other`.
fn by_path() -> RouteTable {
    let chat = ModelMatch::new().uri(StringMatch::exact("/v1/chat/completions"));
    servers(&["chat", "other"])
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("chat").when(chat).target("chat"))
                .rule(Rule::new("other").target("other")),
        )
        .build()
        .unwrap()
}

/// Where a request for `path` goes through axum's router that nests the stack below `prefix`.
async fn nested(prefix: &str, layer: ModelRouteLayer, path: &str) -> Result<Uri, Answer> {
    let engines = Engines::default();
    engines.everywhere(|| says(200, ""));
    let service = stack(layer).service(engines.service());
    let app: Router = Router::new().nest_service(prefix, service);
    let answer = app
        .oneshot(post(path, ASKED).map(axum::body::Body::new))
        .await;
    let answer = Answer::of(answer.unwrap()).await;
    match engines.attempts().pop() {
        Some(attempt) => Ok(attempt.head.uri),
        None => Err(answer),
    }
}

fn layer() -> ModelRouteLayer {
    ModelRouteLayer::new(by_path())
}

/// What axum strips is a part of the API's path.
#[tokio::test]
async fn the_original_path_counts_where_the_own_is_no_api() {
    for path in ["/v1/chat/completions", "/v1/chat/completions?a=1"] {
        let sent = nested("/v1", layer(), path).await.unwrap();
        assert_eq!(sent.to_string(), format!("http://chat{path}"));
    }
    let sent = nested("/v1", layer(), "/v1/completions").await.unwrap();
    assert_eq!(sent, "http://other/v1/completions");
}

/// What axum strips is a prefix in front of the API.
#[tokio::test]
async fn the_own_path_counts_where_it_is_an_api() {
    let sent = nested("/llm", layer(), "/llm/v1/chat/completions").await;
    assert_eq!(sent.unwrap(), "http://chat/v1/chat/completions");
}

#[tokio::test]
async fn the_404_names_both() {
    let answer = nested("/v1", layer(), "/v1/flush_cache").await.unwrap_err();
    assert_eq!(answer.status(), 404);
    assert_eq!(
        answer.json()["error"]["message"],
        "no inference API has the path `/flush_cache`, nor `/v1/flush_cache`, with which the \
         request came"
    );
}

#[tokio::test]
async fn dot_segments_are_refused_in_the_original_too() {
    let layer = layer().original_path(|_| Some(Uri::from_static("/v1/%2e%2e/v1/completions")));
    let answer = nested("/v1", layer, "/v1/completions").await.unwrap_err();
    assert_eq!(answer.json()["error"]["code"], "invalid_target");
}

/// A request keeps everything of its URI but the path and the query.
#[tokio::test]
async fn a_closure_tells_the_original_path() {
    let layer = layer().original_path(|head| {
        let path = head.headers.get("x-original-path")?;
        path.to_str().ok()?.parse().ok()
    });
    let engines = Engines::default();
    engines.everywhere(|| says(200, ""));
    let service = stack(layer).service(engines.service());
    let request = Request::post("http://gateway.test/chat/completions?a=1")
        .header("x-original-path", "/v1/chat/completions?a=2")
        .body(Full::<bytes::Bytes>::from(ASKED))
        .unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
    let sent = engines.attempts().remove(0);
    assert_eq!(sent.head.uri, "http://chat/v1/chat/completions?a=2");
}

#[tokio::test]
async fn the_models_are_listed_below_a_nested_router() {
    let service = stack(layer()).service(Engines::default().service());
    let app: Router = Router::new().nest_service("/v1", service);
    let mut request = Request::get("/v1/models")
        .body(axum::body::Body::empty())
        .unwrap();
    // axum's own, or the same from a router of another kind.
    request
        .extensions_mut()
        .insert(OriginalUri(Uri::from_static("/v1/models")));
    let answer = Answer::of(app.oneshot(request).await.unwrap()).await;
    assert_eq!(answer.json()["data"][0]["id"], "asked");
}
