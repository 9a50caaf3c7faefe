//! Builders of tables; the model is `asked` unless a parameter says otherwise.

use std::time::Duration;

use tower_model_route::{
    ModelRoute, ModelServer, OutlierDetection, RouteTable, RouteTableBuilder, Rule, TrafficPolicy,
};

/// The model `asked` goes by `rule`.
pub fn table(servers: impl IntoIterator<Item = ModelServer>, rule: Rule) -> RouteTable {
    builder(servers, rule).build().unwrap()
}

/// The same, to go on with.
pub fn builder(servers: impl IntoIterator<Item = ModelServer>, rule: Rule) -> RouteTableBuilder {
    servers
        .into_iter()
        .fold(RouteTable::builder(), RouteTableBuilder::model_server)
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .lora_adapter("lora")
                .rule(rule),
        )
}

/// The model `asked` goes to one server, whose engines call it `real`.
pub fn one_server(endpoints: usize, policy: TrafficPolicy) -> RouteTable {
    table(
        [server(endpoints, policy)],
        Rule::new("rule").target("server"),
    )
}

/// The server `server` with the endpoints `e0`, `e1` and so on, which call the model `real`.
pub fn server(endpoints: usize, policy: TrafficPolicy) -> ModelServer {
    ModelServer::new("server")
        .model("real")
        .endpoints((0..endpoints).map(|n| format!("http://e{n}")))
        .traffic_policy(policy)
}

/// The server `name` with the one endpoint `http://name`, which calls the model `name-model`.
pub fn single(name: &str, policy: TrafficPolicy) -> ModelServer {
    ModelServer::new(name)
        .model(format!("{name}-model"))
        .endpoint(format!("http://{name}"))
        .traffic_policy(policy)
}

/// A table that begins with servers of these names, each with one endpoint.
pub fn servers(names: &[&str]) -> RouteTableBuilder {
    names.iter().fold(RouteTable::builder(), |table, name| {
        table.model_server(ModelServer::new(*name).endpoint(format!("http://{name}")))
    })
}

/// A policy of retries that follow at once, so that the clock tells of nothing else.
pub fn retries(n: u32) -> TrafficPolicy {
    TrafficPolicy::new()
        .max_retries(n)
        .retry_interval(Duration::ZERO)
        .outlier_detection(OutlierDetection::off())
}
