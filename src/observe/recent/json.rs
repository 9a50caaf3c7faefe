//! The last minute as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;

use super::{
    figures::{Figures, Sums, TokenSums, VerdictSums, Verdicts},
    histogram::Counted,
    recorder::Recent,
    ring::{Ring, Slot},
};

/// A [`Recent`] as `/_routes` has it.
#[derive(Serialize)]
pub(crate) struct RecentJson {
    /// The length of the window in seconds, up to now.
    seconds: f64,
    all: FiguresJson,
    /// Requests that no route was found for, of unknown models for example.
    unrouted: FiguresJson,
    /// Those that had requests, most of them first.
    routes: Vec<NamedJson>,
    model_servers: Vec<NamedJson>,
    /// Those that were asked, by their routes.
    limits: Vec<LimitJson>,
}

#[derive(Serialize)]
struct NamedJson {
    name: String,
    #[serde(flatten)]
    figures: FiguresJson,
}

#[derive(Serialize)]
struct FiguresJson {
    requests: u64,
    requests_per_second: f64,
    to_head_seconds: Percentiles,
    to_first_token_seconds: Percentiles,
    input_tokens_per_second: TokensJson,
    output_tokens_per_second: TokensJson,
    /// By their code.
    errors: BTreeMap<&'static str, u64>,
}

/// All are null where nothing was measured.
#[derive(Serialize)]
struct Percentiles {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

#[derive(Serialize)]
struct TokensJson {
    exact: f64,
    estimated: f64,
}

#[derive(Serialize)]
struct LimitJson {
    route: String,
    limit: String,
    allowed: u64,
    refused: u64,
    /// Those that a limit which only observes would have refused.
    observed: u64,
}

/// A moment, and the time up to it that is known.
#[derive(Clone, Copy)]
struct Window {
    now: Slot,
    seconds: f64,
}

impl RecentJson {
    pub(crate) fn new(recent: &Recent) -> Self {
        let age = recent.age(Instant::now());
        let window = Window {
            now: Slot::at(age),
            seconds: Slot::covered(age).as_secs_f64(),
        };
        let rows = recent.rows();
        let routes = rows.routes.iter().map(|(name, row)| (name, &*row.figures));
        let servers = rows.servers.iter().map(|(name, row)| (name, &**row));
        let limits = rows.routes.iter().flat_map(|(route, row)| {
            let limits = row.limits.iter();
            limits.filter_map(|(limit, verdicts)| window.limit(route, limit, verdicts))
        });
        let mut limits: Vec<_> = limits.collect();
        limits.sort_unstable_by(|a, b| (&a.route, &a.limit).cmp(&(&b.route, &b.limit)));
        Self {
            seconds: window.seconds,
            all: window.figures(recent.all()),
            unrouted: window.figures(recent.unrouted()),
            routes: window.busy(routes),
            model_servers: window.busy(servers),
            limits,
        }
    }
}

impl Window {
    fn figures(self, ring: &Ring<Figures>) -> FiguresJson {
        let mut sums = Sums::default();
        ring.each(self.now, |figures| sums.add(figures));
        let tokens = |sums: &TokenSums| TokensJson {
            exact: sums.exact as f64 / self.seconds,
            estimated: sums.estimated as f64 / self.seconds,
        };
        FiguresJson {
            requests: sums.requests,
            requests_per_second: sums.requests as f64 / self.seconds,
            to_head_seconds: percentiles(&sums.to_head),
            to_first_token_seconds: percentiles(&sums.to_first_token),
            input_tokens_per_second: tokens(&sums.input),
            output_tokens_per_second: tokens(&sums.output),
            errors: sums.errors,
        }
    }

    fn busy<'r, N: ToString>(
        self,
        rows: impl Iterator<Item = (N, &'r Ring<Figures>)>,
    ) -> Vec<NamedJson> {
        let named = rows.map(|(name, row)| NamedJson {
            name: name.to_string(),
            figures: self.figures(row),
        });
        let mut busy: Vec<_> = named.filter(|row| row.figures.requests > 0).collect();
        busy.sort_unstable_by(|a, b| {
            let requests = b.figures.requests.cmp(&a.figures.requests);
            requests.then_with(|| a.name.cmp(&b.name))
        });
        busy
    }

    fn limit(self, route: &str, limit: &str, verdicts: &Ring<Verdicts>) -> Option<LimitJson> {
        let mut sums = VerdictSums::default();
        verdicts.each(self.now, |verdicts| sums.add(verdicts));
        (!sums.is_empty()).then(|| LimitJson {
            route: route.to_owned(),
            limit: limit.to_owned(),
            allowed: sums.allowed,
            refused: sums.refused,
            observed: sums.observed,
        })
    }
}

fn percentiles(counted: &Counted) -> Percentiles {
    Percentiles {
        p50: counted.percentile(50),
        p90: counted.percentile(90),
        p99: counted.percentile(99),
    }
}
