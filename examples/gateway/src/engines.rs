//! The mock engines behind the gateway, on free ports of 127.0.0.1.
//!
//! Each serves the names it should be asked for and no others, so that a wrong route or a
//! missing rewrite is a 404.

use std::{io, time::Duration};

use mock_llm::{Engine, RunningEngine};

pub(crate) const QWEN_1_5B: &str = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B";
pub(crate) const QWEN_1_5B_V1: &str = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B-v1";
pub(crate) const QWEN_1_5B_V2: &str = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B-v2";
pub(crate) const QWEN_7B: &str = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B";

/// What is started: a ModelServer, how many engines it has, and what they serve.
const PLAN: [(&str, usize, &str, &[&str]); 4] = [
    (
        "default/deepseek-r1-1-5b",
        2,
        QWEN_1_5B,
        &["lora-A", "lora-B"],
    ),
    ("default/deepseek-r1-1-5b-v1", 1, QWEN_1_5B_V1, &[]),
    ("default/deepseek-r1-1-5b-v2", 1, QWEN_1_5B_V2, &[]),
    ("default/deepseek-r1-7b", 1, QWEN_7B, &[]),
];

/// All engines; they stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Engines(Vec<Group>);

/// The engines of one ModelServer.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) server: &'static str,
    pub(crate) model: &'static str,
    pub(crate) adapters: &'static [&'static str],
    pub(crate) engines: Vec<MockEngine>,
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct MockEngine {
    /// What it calls itself in the header `x-mock-engine` of its answers.
    pub(crate) label: String,
    pub(crate) running: RunningEngine,
}

impl Engines {
    /// Starts them all, each to take `token_delay` for a token.
    pub(crate) async fn start(token_delay: Duration) -> io::Result<Self> {
        let mut groups = Vec::new();
        for (server, count, model, adapters) in PLAN {
            let mut engines = Vec::new();
            for number in 1..=count {
                let label = format!("{server}#{number}");
                let engine = Engine::new(model).label(&label).token_delay(token_delay);
                let engine = adapters.iter().copied().fold(engine, Engine::adapter);
                let running = engine.spawn().await?;
                engines.push(MockEngine { label, running });
            }
            groups.push(Group {
                server,
                model,
                adapters,
                engines,
            });
        }
        Ok(Self(groups))
    }

    /// Kills the last engine of the ModelServer of this name, with its connections; and which it was.
    pub(crate) fn kill(&mut self, server: &str) -> Option<String> {
        let group = self.0.iter_mut().find(|group| group.server == server)?;
        Some(group.engines.pop()?.label)
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.0
    }

    /// The engines of the ModelServer of this name.
    pub(crate) fn of(&self, server: &str) -> impl Iterator<Item = &MockEngine> {
        self.0
            .iter()
            .filter(move |group| group.server == server)
            .flat_map(|group| &group.engines)
    }

    /// The URLs of the engines of the ModelServer of this name.
    pub(crate) fn urls(&self, server: &str) -> impl Iterator<Item = String> {
        self.of(server).map(|engine| engine.running.url())
    }
}
