//! What the benches share: bodies, heads and tables.
#![allow(dead_code, unreachable_pub, reason = "each bench uses a part of it")]

pub mod bodies;
pub mod floor;
pub mod forward;
pub mod frames;

use http::request::Parts;
use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, TargetModel,
};

pub use bodies::*;

/// So many requests are made before they are sent: as from a socket they are in the cache. (Criterion's
/// own batches are thousands, and measure how fast memory is.)
pub const BATCH: criterion::BatchSize = criterion::BatchSize::NumIterations(16);

/// The head of a request as SDKs send it, with the header that rules look at.
pub fn head() -> Parts {
    request().into_parts().0
}

/// `routes` routes of simple names, and one with two header rules, a split and a rewrite.
pub fn table(routes: usize) -> RouteTable {
    let mut builder = RouteTable::builder()
        .model_server(server("v1").model("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B-v1"))
        .model_server(server("v2").model("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B-v2"))
        .model_route(
            ModelRoute::new("multi")
                .model_name(MODEL)
                .rule(
                    Rule::new("premium")
                        .when(ModelMatch::new().header("user-type", StringMatch::exact("premium")))
                        .target("v1"),
                )
                .rule(
                    Rule::new("beta")
                        .when(ModelMatch::new().header("x-beta", StringMatch::exact("on")))
                        .target("v2"),
                )
                .rule(
                    Rule::new("default")
                        .target(TargetModel::new("v1").weight(70))
                        .target(TargetModel::new("v2").weight(30)),
                ),
        );
    for name in names(routes) {
        builder = builder.model_route(
            ModelRoute::new(name.clone())
                .model_name(name)
                .rule(Rule::new("default").target("v1")),
        );
    }
    builder.build().expect("a valid table")
}

pub fn names(n: usize) -> Vec<String> {
    (0..n)
        .map(|i| format!("organisation-{}/model-{i:05}-instruct", i % 97))
        .collect()
}

fn server(name: &str) -> ModelServer {
    ModelServer::new(name)
        .endpoint("http://127.0.0.1:8001")
        .endpoint("http://127.0.0.1:8002")
}
