//! Tables that several subjects use as they are.

use tower_model_route::{
    Endpoint, ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, TargetModel,
    TrafficPolicy,
};

/// The one endpoint of [`simple`].
pub const ENDPOINT: &str = "http://engine:8000";

/// The model `asked` goes to one server, whose engines call it `real`.
pub fn simple() -> RouteTable {
    super::table(
        [ModelServer::new("server").model("real").endpoint(ENDPOINT)],
        Rule::new("rule").target("server"),
    )
}

/// A name that clients of [`of_each_kind`] ask for.
pub const ALIAS: &str = "alias";
/// The name that the engine gets for it.
pub const REAL: &str = "org/real";

/// One of each kind of route, all to one engine.
pub fn of_each_kind(engine: &str) -> RouteTable {
    let to = |name: &str, server: &str| {
        ModelRoute::new(name)
            .model_name(name)
            .rule(Rule::new("all").target(server))
    };
    let gold = ModelMatch::new().header("x-tier", StringMatch::exact("gold"));
    RouteTable::builder()
        .model_server(ModelServer::new("real").model(REAL).endpoint(engine))
        .model_server(
            ModelServer::new("other")
                .model("org/other")
                .endpoint(engine),
        )
        .model_server(ModelServer::new("odd").model("\"q\\\n😀").endpoint(engine))
        .model_server(ModelServer::new("as-it-is").endpoint(engine))
        .model_server(ModelServer::new("down"))
        .model_route(to(ALIAS, "real").lora_adapter("lora-A"))
        .model_route(to("an-alias-longer-than-the-real-name", "real"))
        .model_route(to("😀", "real"))
        .model_route(to(REAL, "real"))
        .model_route(to("second", "other"))
        .model_route(to("odd", "odd"))
        .model_route(to("plain", "as-it-is"))
        .model_route(to("down", "down"))
        .model_route(
            ModelRoute::new("gated")
                .model_name("gated")
                .rule(Rule::new("gold").when(gold).target("real")),
        )
        .build()
        .unwrap()
}

/// A name that a page must not take for markup.
pub const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'&";

/// A table in which such a name is everywhere, and a header with a credential.
pub fn hostile_names() -> RouteTable {
    let premium = ModelMatch::new()
        .header("user-type", StringMatch::exact("premium"))
        .header("authorization", StringMatch::exact("Bearer sk-1"));
    RouteTable::builder()
        .model_server(
            ModelServer::new("small")
                .model("org/small")
                .endpoint("http://s1:8000")
                .endpoint(Endpoint::new("http://s2:8000").weight(3))
                .traffic_policy(TrafficPolicy::new().max_in_flight(8)),
        )
        .model_server(ModelServer::new(HOSTILE).endpoint("http://large"))
        .model_server(ModelServer::new("spare"))
        .model_route(
            ModelRoute::new(HOSTILE)
                .model_name("gpt")
                .lora_adapters(["sql", "sum"])
                .rule(Rule::new("premium").when(premium).target(HOSTILE))
                .rule(
                    Rule::new("default")
                        .target(TargetModel::new("small").weight(70))
                        .target(TargetModel::new(HOSTILE).weight(30))
                        .fallback("spare"),
                ),
        )
        .build()
        .unwrap()
}
