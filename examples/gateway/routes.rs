//! The routes of the scenarios.

use tower_model_route::{
    BuildError, ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, TargetModel,
    TrafficPolicy,
};

use crate::engines::{Engines, QWEN_1_5B, QWEN_1_5B_V1, QWEN_1_5B_V2, QWEN_7B};

/// A scenario, for people.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What to ask for to see it.
    pub(crate) model: &'static str,
    /// A header that it takes.
    pub(crate) header: Option<(&'static str, &'static str)>,
}

pub(crate) const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "simple",
        about: "deepseek-simple goes to deepseek-r1-1-5b, whose engines get the request with their \
                own name of the model",
        model: "deepseek-simple",
        header: None,
    },
    Scenario {
        name: "LoRA",
        about: "the adapters lora-A and lora-B go to deepseek-r1-1-5b with their names unchanged",
        model: "lora-A",
        header: None,
    },
    Scenario {
        name: "weighted",
        about: "of 100 requests for deepseek-subset 70 go to deepseek-r1-1-5b-v1 and 30 to \
                deepseek-r1-1-5b-v2",
        model: "deepseek-subset",
        header: None,
    },
    Scenario {
        name: "header",
        about: "deepseek-multi-models goes to deepseek-r1-7b for premium users, else to \
                deepseek-r1-1-5b",
        model: "deepseek-multi-models",
        header: Some(("user-type", "premium")),
    },
];

/// The ModelServers, with the endpoints of their engines, and the ModelRoutes.
pub(crate) fn table(engines: &Engines) -> Result<RouteTable, BuildError> {
    let server = |name, model| {
        ModelServer::new(name)
            .model(model)
            .endpoints(engines.urls(name))
            .traffic_policy(TrafficPolicy::new().max_retries(1))
    };
    RouteTable::builder()
        .model_server(server("deepseek-r1-1-5b", QWEN_1_5B))
        .model_server(server("deepseek-r1-1-5b-v1", QWEN_1_5B_V1))
        .model_server(server("deepseek-r1-1-5b-v2", QWEN_1_5B_V2))
        .model_server(server("deepseek-r1-7b", QWEN_7B))
        .model_route(simple())
        .model_route(lora())
        .model_route(weighted())
        .model_route(by_header())
        .build()
}

fn simple() -> ModelRoute {
    ModelRoute::new("deepseek-simple")
        .model_name("deepseek-simple")
        .rule(Rule::new("default").target("deepseek-r1-1-5b"))
}

/// The base model has a name too, which is rewritten like any other.
fn lora() -> ModelRoute {
    ModelRoute::new("deepseek-lora")
        .model_name("deepseek-lora")
        .lora_adapters(["lora-A", "lora-B"])
        .rule(Rule::new("default").target("deepseek-r1-1-5b"))
}

fn weighted() -> ModelRoute {
    ModelRoute::new("deepseek-subset")
        .model_name("deepseek-subset")
        .rule(
            Rule::new("split")
                .target(TargetModel::new("deepseek-r1-1-5b-v1").weight(70))
                .target(TargetModel::new("deepseek-r1-1-5b-v2").weight(30)),
        )
}

fn by_header() -> ModelRoute {
    let premium = ModelMatch::new().header("user-type", StringMatch::exact("premium"));
    ModelRoute::new("deepseek-multi-models")
        .model_name("deepseek-multi-models")
        .rule(Rule::new("premium").when(premium).target("deepseek-r1-7b"))
        .rule(Rule::new("default").target("deepseek-r1-1-5b"))
}
