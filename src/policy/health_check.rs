//! Active health checks.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response, Uri, uri::PathAndQuery};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tower_service::Service;

use crate::{
    attempt::RouteBody,
    config::{BuildError, MistakeKind},
    route::RouteTableHandle,
    server::Endpoint,
    wire::rewrite,
};

/// Probes every endpoint of a table at regular intervals.
///
/// A check is a GET; it passes if the endpoint answers with a status from 200
/// to 299 within the [`timeout`](Self::timeout). After
/// [`unhealthy_after`](Self::unhealthy_after) failed checks in a row an endpoint
/// is unhealthy: it gets no requests while another endpoint can take them, until
/// it has passed [`healthy_after`](Self::healthy_after) checks in a row.
///
/// The checks are off until you call [`start`](Self::start), and end when its
/// handle is stopped or dropped; then no endpoint counts as unhealthy any more.
/// Independently of these checks, endpoints that fail requests are ejected; see
/// [`OutlierDetection`](crate::OutlierDetection).
///
/// ```
/// use std::time::Duration;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower_model_route::{HealthCheck, RouteBody, RouteTable, stack};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let table = RouteTable::builder().build()?;
/// let client = Client::builder(TokioExecutor::new()).build_http::<RouteBody>();
/// let checks = HealthCheck::new("/health")
///     .interval(Duration::from_secs(2))
///     .start(table.clone(), client.clone())?;
/// let app: axum::Router = axum::Router::new().fallback_service(stack(table).service(client));
/// // ... and when it is over
/// checks.stop().await;
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct HealthCheck {
    path: String,
    interval: Duration,
    timeout: Duration,
    unhealthy_after: u32,
    healthy_after: u32,
}

impl HealthCheck {
    /// How many endpoints are checked at the same time.
    const AT_ONCE: usize = 64;

    /// Checks that GET `path`, such as `/health`, which is appended to the endpoint's path prefix.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_after: 3,
            healthy_after: 2,
        }
    }

    /// The time from the start of one round of checks to the next, 5 s by default;
    /// at least 1 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How long a check may take, 2 s by default; a slower one has failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// After how many failed checks in a row an endpoint is unhealthy, 3 by default.
    pub fn unhealthy_after(mut self, checks: u32) -> Self {
        self.unhealthy_after = checks;
        self
    }

    /// After how many passed checks in a row an endpoint is healthy again, 2 by default.
    pub fn healthy_after(mut self, checks: u32) -> Self {
        self.healthy_after = checks;
        self
    }

    /// Starts a task that checks the endpoints of `table` with `client`, which may
    /// be any HTTP client.
    ///
    /// With a [`RouteTableHandle`] each round checks the endpoints of the current
    /// table.
    ///
    /// # Errors
    ///
    /// If the path is not a valid path that begins with a slash, or if the
    /// timeout or one of the numbers of checks is zero.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    pub fn start<S, R>(
        self,
        table: impl Into<RouteTableHandle>,
        client: S,
    ) -> Result<HealthCheckHandle, BuildError>
    where
        S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        R: Send + 'static,
    {
        let path = self.checked()?;
        let task = tokio::spawn(self.run(path, table.into(), client));
        Ok(HealthCheckHandle(task))
    }

    /// The path, if all options are valid.
    fn checked(&self) -> Result<PathAndQuery, BuildError> {
        let mistake = match PathAndQuery::try_from(&self.path) {
            _ if !self.path.starts_with('/') => {
                MistakeKind::InvalidPath("it does not begin with a slash".into())
            }
            Err(error) => MistakeKind::InvalidPath(error.to_string().into()),
            Ok(_) if self.timeout.is_zero() => MistakeKind::ZeroTime,
            Ok(_) if self.unhealthy_after == 0 || self.healthy_after == 0 => MistakeKind::ZeroLimit,
            Ok(path) => return Ok(path),
        };
        Err(BuildError::other("HealthCheck", mistake))
    }

    async fn run<S, R>(self, path: PathAndQuery, table: RouteTableHandle, client: S)
    where
        S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        R: Send + 'static,
    {
        let mut verdicts = Verdicts::default();
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let endpoints = table.load().endpoints();
            verdicts.keep(&endpoints);
            let mut checks = JoinSet::new();
            for endpoint in endpoints {
                if checks.len() >= Self::AT_ONCE
                    && let Some(Ok((endpoint, passed))) = checks.join_next().await
                {
                    verdicts.count(&self, endpoint, passed);
                }
                let request = request(&path, &endpoint);
                let client = client.clone();
                let timeout = self.timeout;
                checks.spawn(async move {
                    let passed = match request {
                        Some(request) => passes(client, request, timeout).await,
                        None => false,
                    };
                    (endpoint, passed)
                });
            }
            while let Some(checked) = checks.join_next().await {
                if let Ok((endpoint, passed)) = checked {
                    verdicts.count(&self, endpoint, passed);
                }
            }
        }
    }
}

fn request(path: &PathAndQuery, endpoint: &Endpoint) -> Option<Request<RouteBody>> {
    let request = Request::new(RouteBody::default());
    let (mut head, body) = request.into_parts();
    head.uri = Uri::from(path.clone());
    rewrite::address(&mut head, &endpoint.address).ok()?;
    Some(Request::from_parts(head, body))
}

async fn passes<S, R>(mut client: S, request: Request<RouteBody>, timeout: Duration) -> bool
where
    S: Service<Request<RouteBody>, Response = Response<R>>,
{
    let answer = async {
        std::future::poll_fn(|cx| client.poll_ready(cx)).await?;
        client.call(request).await
    };
    let answer = tokio::time::timeout(timeout, answer).await;
    matches!(answer, Ok(Ok(response)) if response.status().is_success())
}

/// The results of the checks so far, keyed by the endpoint's address in memory.
///
/// Dropping it marks every endpoint as healthy again.
#[derive(Default)]
struct Verdicts(HashMap<usize, Verdict>);

struct Verdict {
    endpoint: Arc<Endpoint>,
    passed: bool,
    /// How many checks in a row have had this result.
    times: u32,
}

impl Verdicts {
    /// Forgets the endpoints that are not in the table any more.
    fn keep(&mut self, endpoints: &[Arc<Endpoint>]) {
        let present: HashSet<usize> = endpoints.iter().map(address).collect();
        self.0.retain(|address, _| present.contains(address));
    }

    fn count(&mut self, check: &HealthCheck, endpoint: Arc<Endpoint>, passed: bool) {
        let verdict = self.0.entry(address(&endpoint)).or_insert_with(|| Verdict {
            endpoint,
            passed,
            times: 0,
        });
        if verdict.passed != passed {
            verdict.passed = passed;
            verdict.times = 0;
        }
        verdict.times = verdict.times.saturating_add(1);
        let enough = if passed {
            check.healthy_after
        } else {
            check.unhealthy_after
        };
        if verdict.times >= enough {
            verdict.endpoint.health.checked(passed);
        }
    }
}

fn address(endpoint: &Arc<Endpoint>) -> usize {
    Arc::as_ptr(endpoint).addr()
}

impl Drop for Verdicts {
    fn drop(&mut self) {
        for verdict in self.0.values() {
            verdict.endpoint.health.checked(true);
        }
    }
}

/// The task of a [`HealthCheck`]; when it is dropped, the checks stop.
#[derive(Debug)]
#[must_use = "the checks stop when it is dropped"]
pub struct HealthCheckHandle(JoinHandle<()>);

impl HealthCheckHandle {
    /// Stops the checks, and waits until their task has ended.
    pub async fn stop(mut self) {
        self.0.abort();
        _ = (&mut self.0).await;
    }
}

impl Drop for HealthCheckHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}
