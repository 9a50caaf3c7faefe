//! The options of the checks, and their task.

use std::time::Duration;

use http::{Request, Response};
use tower_service::Service;

use super::verdicts::Verdicts;
use crate::{
    attempt::RouteBody,
    config::{BuildError, MistakeKind},
    policy::poll::{PollOptions, Task, run},
    route::RouteTableHandle,
};

/// Probes every endpoint of a table at regular intervals.
///
/// A check is a GET without a body for the [path](Self::new) below the endpoint's own, with the
/// endpoint's `Host`, the headers of its ModelServer (its API key) and those of
/// [`header`](Self::header), and no others. The first round begins at once. A check passes if a
/// head with a status from 200 to 299 arrives within the [`timeout`](Self::timeout); the body is
/// not read, and a redirect is a failure. Checks don't count in an endpoint's requests, failures
/// or load.
///
/// After [`unhealthy_after`](Self::unhealthy_after) failed checks in a row an endpoint is
/// unhealthy: it gets no requests while another endpoint can take them, until it has passed
/// [`healthy_after`](Self::healthy_after) checks in a row. Passing these also ends an
/// ejection for refused connections, but no other ejection: a vLLM that is draining, or
/// whose core has died, still answers 200 to `/health` (measured with 0.32).
///
/// The checks are off until you call [`start`](Self::start), and end when its handle is
/// stopped or dropped; then they no longer count any endpoint as unhealthy. Several
/// checks of one table are independent: an endpoint must pass all of them. Apart from
/// these checks, endpoints that fail requests are ejected; see
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
    poll: PollOptions,
    unhealthy_after: u32,
    healthy_after: u32,
}

impl HealthCheck {
    /// Checks that GET `path`, such as `/health`, which is appended to the endpoint's path prefix.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            poll: PollOptions::new("HealthCheck", path.into()),
            unhealthy_after: 3,
            healthy_after: 2,
        }
    }

    /// Sends a header with each check, to every endpoint of the table.
    ///
    /// A check has the headers of the endpoint's own [`ModelServer::header`], and so its API key;
    /// if several ModelServers share the endpoint, those of the first. A header set here replaces
    /// one of the same name. The value is treated as a secret, and not shown by `Debug`.
    ///
    /// [`ModelServer::header`]: crate::ModelServer::header
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.poll.header(name.into(), value.into());
        self
    }

    /// The time from the start of one round of checks to the next, 5 s by default;
    /// at least 1 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.poll.interval(interval);
        self
    }

    /// How long a check may take, 2 s by default; a slower one fails.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.poll.timeout = timeout;
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
    /// Each check has a [`ForModelServer`](crate::ForModelServer) in its extensions, for clients
    /// with certificates for single ModelServers, such as `engine_client`. It names the
    /// endpoint's ModelServer, or the first of those that share it.
    ///
    /// With a [`RouteTableHandle`], each round checks the endpoints of the
    /// current table.
    ///
    /// # Errors
    ///
    /// If the path is not a valid path that begins with a slash, if a header is invalid,
    /// duplicate or set by the gateway, or if the timeout or one of the numbers of checks is
    /// zero.
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
        let question = self.poll.question()?;
        if self.unhealthy_after == 0 || self.healthy_after == 0 {
            return Err(BuildError::other(self.poll.who, MistakeKind::ZeroLimit));
        }
        let verdicts = Verdicts::new(self.unhealthy_after, self.healthy_after);
        let polling = run(verdicts, self.poll.interval, question, table.into(), client);
        Ok(HealthCheckHandle(Task::spawn(polling)))
    }
}

/// The task of a [`HealthCheck`]; when it is dropped, the checks stop.
#[derive(Debug)]
#[must_use = "the checks stop when it is dropped"]
pub struct HealthCheckHandle(Task);

impl HealthCheckHandle {
    /// Stops the checks, and waits until their task has ended.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}
