//! What the balance knows about each endpoint, for explanations.

use std::time::Duration;

use tokio::time::Instant;

use super::{ask::Ask, endpoint::Endpoint, model_server::Server, reported::ReportSource};

/// A number by which the balance compares an endpoint with others.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// Who has said so, if not the gateway itself.
    pub(crate) source: Option<ReportSource>,
    /// How long ago; `None` if it is counted at this moment.
    pub(crate) age: Option<Duration>,
}

/// What an endpoint costs, of which the least is chosen, and what that is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    /// `None` if the balance compares nothing.
    pub(crate) cost: Option<f64>,
    pub(crate) figures: Vec<Figure>,
}

impl Figure {
    pub(super) fn own(name: &'static str, value: f64) -> Self {
        Self {
            name,
            value,
            source: None,
            age: None,
        }
    }
}

impl Server {
    /// What the endpoint at this position would cost a request that asks for this.
    pub(crate) fn score(&self, position: usize, ask: &Ask) -> Score {
        self.at_scene(false, |scene| self.balancer.score(scene, ask, position))
    }
}

impl Endpoint {
    /// What makes its [`load`](Self::load).
    pub(super) fn figures_of_load(&self) -> Vec<Figure> {
        let mut figures = vec![Figure::own("requests in flight", self.in_flight() as f64)];
        figures.extend(self.figures_of_others());
        figures
    }

    /// The figures of what counts as load beside those.
    pub(super) fn figures_of_others(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        let foreign = self.foreign(Instant::now);
        if foreign > 0 {
            // Of several reports the one with the most requests counts.
            let fresh = self.reported().into_iter().filter(|load| load.is_fresh());
            let most = fresh.max_by_key(|load| {
                let report = load.report();
                report.get_running().unwrap_or(0) + report.get_waiting().unwrap_or(0)
            });
            figures.push(Figure {
                name: "requests of others",
                value: foreign as f64,
                source: most.map(|load| load.source()),
                age: most.map(|load| load.age()),
            });
        }
        match self.health.burden() {
            0 => {}
            burden => figures.push(Figure::own("for recent failures", burden as f64)),
        }
        figures
    }
}
