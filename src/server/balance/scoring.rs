//! What each strategy compares, for explanations.

use tokio::time::Instant;

use super::{
    balancer::{Balancer, Strategy},
    scene::Scene,
};
use crate::server::{
    ask::Ask,
    scores::{Figure, Score},
};

/// The place on the ring decides, as long as the load lets it.
fn at_place(place: usize, mut score: Score) -> Score {
    let figure = Figure::own("place from the key on", place as f64);
    score.figures.insert(0, figure);
    Score {
        cost: Some(place as f64),
        ..score
    }
}

impl Balancer {
    /// What the endpoint at this position costs, and what that is made of.
    pub(crate) fn score(&self, scene: &Scene<'_>, ask: &Ask, position: usize) -> Score {
        let Some(endpoint) = scene.endpoints.get(position) else {
            return Score::default();
        };
        let weight = self.weight(position).max(1) as f64;
        let requests = || Score {
            cost: Some(endpoint.load() as f64 / weight),
            figures: endpoint.figures_of_load(),
        };
        let tokens = || Score {
            cost: Some(scene.tokens(position) as f64 / weight),
            figures: self.figures_of_tokens(scene, position),
        };
        match &self.strategy {
            Strategy::RoundRobin | Strategy::Random => Score::default(),
            Strategy::LeastRequest => requests(),
            Strategy::LeastTokens => tokens(),
            Strategy::PeakEwma => self.score_of_latency(scene, position),
            Strategy::Affinity(affinity) => match (ask.key, affinity.weighs_tokens()) {
                (None, _) => requests(),
                (Some(key), true) => at_place(affinity.place(key, position), tokens()),
                (Some(key), false) => at_place(affinity.place(key, position), requests()),
            },
            Strategy::PrefixCache(prefixes) => {
                let mut score = tokens();
                if let Some(prompt) = &ask.prompt {
                    let cached = prefixes.cached(prompt, position) as f64;
                    score.cost = score.cost.map(|cost| cost - cached);
                    let figure = Figure::own("tokens of the prompt in its cache", cached);
                    score.figures.push(figure);
                }
                score
            }
            Strategy::Custom(custom) => {
                let mut score = requests();
                if custom.chooses().counts_tokens() {
                    score
                        .figures
                        .extend(self.figures_of_tokens(scene, position));
                }
                Score {
                    cost: None,
                    ..score
                }
            }
        }
    }

    fn figures_of_tokens(&self, scene: &Scene<'_>, position: usize) -> Vec<Figure> {
        let Some(endpoint) = scene.endpoints.get(position) else {
            return Vec::new();
        };
        let known = endpoint.tokens(0);
        let mut figures = vec![Figure::own("tokens in flight", known as f64)];
        // What others have sent, and failures, count as this many typical
        // requests. A request may have ended since `known` was read.
        let others = endpoint.tokens((scene.typical)()).saturating_sub(known);
        if others > 0 {
            figures.push(Figure::own("tokens of requests not read", others as f64));
            figures.extend(endpoint.figures_of_others());
        }
        figures
    }

    fn score_of_latency(&self, scene: &Scene<'_>, position: usize) -> Score {
        let Some(endpoint) = scene.endpoints.get(position) else {
            return Score::default();
        };
        let (now, weight) = (Instant::now(), self.weight(position).max(1) as f64);
        let mut figures = endpoint.figures_of_load();
        if let Some(latency) = endpoint.latency.average() {
            figures.insert(
                0,
                Figure {
                    age: Some(endpoint.latency.age()),
                    ..Figure::own("seconds to the first content", latency.as_secs_f64())
                },
            );
        }
        Score {
            cost: Some(scene.cost_of_latency(position, now) / weight),
            figures,
        }
    }
}
