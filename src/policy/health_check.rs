//! Active health checks.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, Uri, uri::PathAndQuery};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout_at},
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
/// it has passed [`healthy_after`](Self::healthy_after) checks in a row. These also end the
/// ejection of an endpoint that refused connections.
///
/// The checks are off until you call [`start`](Self::start), and end when its
/// handle is stopped or dropped; then no endpoint counts as unhealthy by them any more.
/// Several checks of one table are independent: an endpoint must pass all of them.
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
    /// How many checks begin at the same time; those of more endpoints are spread over the
    /// interval.
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
        let mut round = Round {
            verdicts: Verdicts::new(&self),
            checks: JoinSet::new(),
            under_way: HashSet::new(),
        };
        let mut next = Instant::now();
        loop {
            let endpoints = table.load().endpoints();
            round.verdicts.keep(&endpoints);
            let batches = endpoints.len().div_ceil(Self::AT_ONCE).max(1);
            let step = self.interval / u32::try_from(batches).unwrap_or(u32::MAX);
            for batch in 0..batches {
                let endpoints = endpoints
                    .iter()
                    .skip(batch * Self::AT_ONCE)
                    .take(Self::AT_ONCE);
                for endpoint in endpoints {
                    round.check(endpoint, &path, client.clone(), self.timeout);
                }
                next = next
                    .checked_add(step)
                    .unwrap_or(next + Duration::from_secs(86400));
                round.collect_until(next).await;
            }
            // Rounds that were missed are not caught up on.
            next = next.max(Instant::now());
        }
    }
}

/// The checks that are under way, and what they have said so far.
struct Round {
    verdicts: Verdicts,
    checks: JoinSet<(Arc<Endpoint>, bool)>,
    /// The endpoints whose check has not ended, by their address in memory.
    under_way: HashSet<usize>,
}

impl Round {
    /// Begins to check an endpoint, unless its last check has not ended.
    fn check<S, R>(
        &mut self,
        endpoint: &Arc<Endpoint>,
        path: &PathAndQuery,
        client: S,
        timeout: Duration,
    ) where
        S: Service<Request<RouteBody>, Response = Response<R>> + Send + 'static,
        S::Future: Send,
        R: Send + 'static,
    {
        if !self.under_way.insert(address(endpoint)) {
            return;
        }
        let endpoint = Arc::clone(endpoint);
        let request = request(path, &endpoint);
        self.checks.spawn(async move {
            let passed = match request {
                Some(request) => passes(client, request, timeout).await,
                None => false,
            };
            (endpoint, passed)
        });
    }

    /// Takes what the checks say, until this time.
    async fn collect_until(&mut self, until: Instant) {
        loop {
            match timeout_at(until, self.checks.join_next()).await {
                Err(_) => return,
                Ok(None) => return sleep_until(until).await,
                // A client that panics says nothing; its endpoint is not checked again.
                Ok(Some(Err(_))) => {}
                Ok(Some(Ok((endpoint, passed)))) => {
                    self.under_way.remove(&address(&endpoint));
                    self.verdicts.count(endpoint, passed);
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
/// Dropping it takes them back.
struct Verdicts {
    /// Tells these checks from others of the same endpoints.
    number: usize,
    unhealthy_after: u32,
    healthy_after: u32,
    known: HashMap<usize, Verdict>,
}

struct Verdict {
    endpoint: Arc<Endpoint>,
    passed: bool,
    /// How many checks in a row have had this result.
    times: u32,
}

impl Verdicts {
    fn new(check: &HealthCheck) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            unhealthy_after: check.unhealthy_after,
            healthy_after: check.healthy_after,
            known: HashMap::new(),
        }
    }

    /// Forgets the endpoints that are not in the table any more.
    fn keep(&mut self, endpoints: &[Arc<Endpoint>]) {
        let present: HashSet<usize> = endpoints.iter().map(address).collect();
        let number = self.number;
        self.known.retain(|address, verdict| {
            let is_present = present.contains(address);
            if !is_present {
                verdict.endpoint.health.unchecked(number);
            }
            is_present
        });
    }

    fn count(&mut self, endpoint: Arc<Endpoint>, passed: bool) {
        let verdict = self
            .known
            .entry(address(&endpoint))
            .or_insert_with(|| Verdict {
                endpoint,
                passed,
                times: 0,
            });
        if verdict.passed != passed {
            verdict.passed = passed;
            verdict.times = 0;
        }
        verdict.times = verdict.times.saturating_add(1);
        let enough = match passed {
            true => self.healthy_after,
            false => self.unhealthy_after,
        };
        if verdict.times >= enough {
            verdict.endpoint.health.checked(self.number, passed);
            if passed {
                verdict.endpoint.wake_all();
            }
        }
    }
}

fn address(endpoint: &Arc<Endpoint>) -> usize {
    Arc::as_ptr(endpoint).addr()
}

impl Drop for Verdicts {
    fn drop(&mut self) {
        for verdict in self.known.values() {
            verdict.endpoint.health.unchecked(self.number);
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
