//! Questions are answered by the options of the layer.

use serde_json::{Value, json};
use test_kit::table::hostile_names;
use tower_model_route::{
    Admin, ApiPaths, ExtractModel, Extraction, ModelRouteLayer, ModelSources, WithoutModel,
};

use super::view::{self, JSON};

async fn explain(admin: Admin, question: Value) -> Value {
    let answer = view::explain(admin, "/_explain", [JSON], question.to_string()).await;
    answer.json()
}

#[derive(Debug)]
struct Engine;

impl ExtractModel for Engine {
    fn begin(&self, head: &http::request::Parts) -> Extraction {
        match head.uri.path() {
            "/own" => Extraction::json_field("engine"),
            _ => Extraction::none(),
        }
    }

    fn reads_path(&self, path: &str) -> bool {
        path == "/own"
    }
}

fn layer() -> ModelRouteLayer {
    let sources = ModelSources::new().or(Engine).or(ModelSources::standard());
    ModelRouteLayer::new(hostile_names())
        .extract_model(sources.map_name(|_, name| Ok(name.to_lowercase())))
        .without_model(WithoutModel::Model("sql".to_owned()))
}

#[tokio::test]
async fn a_model_is_named_where_the_extractor_reads_it() {
    for question in [
        json!({"model": "GPT"}),
        json!({"body": {"model": "GPT"}}),
        json!({"path": "/own", "model": "GPT"}),
        json!({"path": "/own", "body": {"engine": "GPT", "model": "other"}}),
        json!({"path": "/v1/models/GPT:predict", "model": "GPT"}),
    ] {
        let explained = explain(layer().admin(), question.clone()).await;
        assert_eq!(explained["model"], "gpt", "{question}");
        assert_eq!(explained["requested_model"], "GPT", "{question}");
        assert_eq!(explained["without_model"], Value::Null);
    }
}

#[tokio::test]
async fn so_is_what_names_none() {
    let explained = explain(layer().admin(), json!({"body": {}})).await;
    assert_eq!(explained["model"], "sql");
    assert_eq!(explained["requested_model"], "");
    assert_eq!(explained["without_model"], json!({"model": "sql"}));
    let forwarding = || layer().without_model(WithoutModel::Forward).admin();
    let question = json!({"method": "GET", "path": "/health"});
    let explained = explain(forwarding(), question).await;
    assert_eq!(explained["verdict"], "forwarded");
    let refused = explain(forwarding(), json!({"body": {}})).await;
    assert_eq!(refused["error"]["code"], "missing_model");
}

#[tokio::test]
async fn the_options_can_be_told_one_by_one() {
    let admin = Admin::new(hostile_names())
        .extract_model(Engine)
        .without_model(WithoutModel::Model("sql".to_owned()));
    let question = json!({"path": "/own", "body": {"engine": "gpt"}});
    assert_eq!(explain(admin.clone(), question).await["model"], "gpt");
    let question = json!({"path": "/own", "body": {}});
    assert_eq!(explain(admin.clone(), question).await["model"], "sql");
    let question = json!({"path": "/other", "model": "gpt"});
    let refused = explain(admin.clone(), question.clone()).await;
    assert_eq!(refused["error"]["code"], "unknown_path");
    let wider = admin.paths(ApiPaths::none().and("/other").unwrap());
    assert_eq!(explain(wider, question).await["verdict"], "sent");
}
