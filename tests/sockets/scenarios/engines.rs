//! The engines and the table of the four scenarios.

use mock_llm::{Engine, RunningEngine};
use tower_model_route::{
    ModelMatch, ModelRoute, ModelServer, RouteTable, Rule, StringMatch, TargetModel,
};

pub(super) const SMALL: &str = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B";
pub(super) const LARGE: &str = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B";

/// Two engines of the small model, which know the adapters too, one of the large model, and
/// one of each of two versions of the small.
///
/// An engine answers 404 for any other name: what went to the wrong one, or under the wrong
/// name, fails there.
#[derive(Debug)]
pub(super) struct Engines {
    pub(super) small: [RunningEngine; 2],
    pub(super) large: RunningEngine,
    pub(super) v1: RunningEngine,
    pub(super) v2: RunningEngine,
}

impl Engines {
    pub(super) async fn spawn() -> Self {
        Self::like(|engine| engine).await
    }

    /// Engines with something else in common.
    pub(super) async fn like(change: impl Fn(Engine) -> Engine) -> Self {
        let spawn =
            async |engine: Engine, label: &str| change(engine.label(label)).spawn().await.unwrap();
        let small = || Engine::new(SMALL).adapter("lora-A").adapter("lora-B");
        Self {
            small: [
                spawn(small(), "small-1").await,
                spawn(small(), "small-2").await,
            ],
            large: spawn(Engine::new(LARGE), "large").await,
            v1: spawn(Engine::new("v1"), "v1").await,
            v2: spawn(Engine::new("v2"), "v2").await,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &RunningEngine> {
        self.small.iter().chain([&self.large, &self.v1, &self.v2])
    }

    pub(super) fn requests(&self) -> u64 {
        self.all().map(RunningEngine::requests).sum()
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.all().map(RunningEngine::in_flight).sum()
    }

    pub(super) fn table(&self) -> RouteTable {
        let premium = ModelMatch::new().header("user-type", StringMatch::exact("premium"));
        RouteTable::builder()
            .model_server(
                ModelServer::new("small")
                    .model(SMALL)
                    .endpoints(self.small.iter().map(RunningEngine::url)),
            )
            .model_server(
                ModelServer::new("large")
                    .model(LARGE)
                    .endpoint(self.large.url()),
            )
            .model_server(ModelServer::new("v1").model("v1").endpoint(self.v1.url()))
            .model_server(ModelServer::new("v2").model("v2").endpoint(self.v2.url()))
            .model_route(
                ModelRoute::new("simple")
                    .model_name("deepseek-simple")
                    .rule(Rule::new("default").target("small")),
            )
            .model_route(
                ModelRoute::new("lora")
                    .model_name("deepseek-lora")
                    .lora_adapters(["lora-A", "lora-B"])
                    .rule(Rule::new("default").target("small")),
            )
            .model_route(
                ModelRoute::new("weighted")
                    .model_name("deepseek-subset")
                    .rule(
                        Rule::new("split")
                            .target(TargetModel::new("v1").weight(70))
                            .target(TargetModel::new("v2").weight(30)),
                    ),
            )
            .model_route(
                ModelRoute::new("by header")
                    .model_name("deepseek-multi-models")
                    .rule(Rule::new("premium").when(premium).target("large"))
                    .rule(Rule::new("default").target("small")),
            )
            .build()
            .unwrap()
    }
}
