//! A table with a bit of everything, and heads of requests.

use http::request::Parts;
use test_kit::request::head;
use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, RouteTable, RouteTableBuilder, Rule, StringMatch,
    TargetModel,
};

/// A chat with these headers.
pub(super) fn chat(headers: &[(&str, &str)]) -> Parts {
    head("/v1/chat/completions", headers)
}

/// Two servers, of which the small one rewrites the model.
pub(super) fn servers() -> RouteTableBuilder {
    RouteTable::builder()
        .model_server(
            ModelServer::new("small")
                .model("org/small")
                .endpoint("http://s1:8000")
                .endpoint("http://s2:8000/engine"),
        )
        .model_server(ModelServer::new("large").endpoint("http://large"))
        .model_server(ModelServer::new("empty"))
}

/// The route `chat`, by header, with an adapter.
pub(super) fn table() -> RouteTable {
    let premium = ModelMatch::new()
        .header("user-type", StringMatch::exact("premium"))
        .uri(StringMatch::prefix("/v1/chat/"));
    servers()
        .model_route(
            ModelRoute::new("chat")
                .model_name("gpt")
                .lora_adapter("sql")
                .rule(Rule::new("premium").when(premium).target("large"))
                .rule(
                    Rule::new("default")
                        .target(TargetModel::new("small").weight(70))
                        .target(TargetModel::new("large").weight(30)),
                ),
        )
        .build()
        .unwrap()
}

/// A table with one rule, for the model `m`.
pub(super) fn one(rule: Rule) -> RouteTable {
    servers()
        .model_route(ModelRoute::new("r").model_name("m").rule(rule))
        .build()
        .unwrap()
}
