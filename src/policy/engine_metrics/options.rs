//! The options of the readers, and their task.

use std::time::Duration;

use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::scrape::Scraper;
use crate::{
    attempt::RouteBody,
    config::BuildError,
    policy::poll::{PollOptions, Task, run},
    route::RouteTableHandle,
};

/// Reads the load of every endpoint of a table from its metrics, at regular intervals.
///
/// A reading is a GET for `/metrics` (or another [`path`](Self::path)) below the endpoint's own
/// path, sent as a [`HealthCheck`](crate::HealthCheck) is. From the page, in Prometheus' text
/// format, it takes the gauges of vLLM, SGLang, TensorRT-LLM (its own server, and in Triton) and
/// llama.cpp for running and waiting requests and for the KV cache, and vLLM's active LoRA
/// adapters. If an engine has several series of one, as with data parallelism, requests add up,
/// and of the caches the fullest counts. Of SGLang's series for priorities and for GPUs that run the
/// same requests, each request is counted once.
///
/// A reading counts for two seconds, in addition to the gateway's own load, as a
/// [report](crate::ModelServer::load_reports) in an answer does, in every balance that compares
/// loads. vLLM's gauges lag by 3 to 6 s and read 0 for about 18 s after a start (measured with
/// 0.32), so the most that the gateway itself has had in flight there in the last six seconds is
/// subtracted from a page's requests as its own; SGLang's stand still for up to 30 s once it is
/// idle, so there it is the last 35 seconds.
///
/// If an endpoint has no metrics, or its page is late, larger than 4 MiB, cut off or not
/// understood, only the gateway's own counts are used. No reading makes an endpoint
/// unhealthy.
///
/// A page costs vLLM 8 to 30 ms of work. The readings are off until you call
/// [`start`](Self::start), and end when its handle is stopped or dropped.
///
/// ```
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower_model_route::{EngineMetrics, RouteBody, RouteTable, stack};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let table = RouteTable::builder().build()?;
/// let client = Client::builder(TokioExecutor::new()).build_http::<RouteBody>();
/// let metrics = EngineMetrics::new().start(table.clone(), client.clone())?;
/// let app: axum::Router = axum::Router::new().fallback_service(stack(table).service(client));
/// // ... and when it is over
/// metrics.stop().await;
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct EngineMetrics {
    poll: PollOptions,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl EngineMetrics {
    /// Readings of `/metrics`, once a second.
    pub fn new() -> Self {
        let mut poll = PollOptions::new("EngineMetrics", "/metrics".into());
        poll.interval = Duration::from_secs(1);
        poll.timeout = Duration::from_secs(1);
        Self { poll }
    }

    /// The path of the page, appended to the endpoint's path prefix; `/metrics` by default. For
    /// `trtllm-serve` it is `/prometheus/metrics`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.poll.path = path.into();
        self
    }

    /// Sends a header with each reading, to every endpoint of the table, as
    /// [`HealthCheck::header`](crate::HealthCheck::header) does.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.poll.header(name.into(), value.into());
        self
    }

    /// The time from one reading of an endpoint to the next, 1 s by default; at least 1 ms. With
    /// more than two seconds, which is how long a reading counts, there are gaps.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.poll.interval(interval);
        self
    }

    /// How long a reading may take, 1 s by default; a slower one is ignored.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.poll.timeout = timeout;
        self
    }

    /// Starts a task that reads the metrics of the endpoints of `table` with `client`, which may be
    /// any HTTP client.
    ///
    /// Each request has a [`ForModelServer`](crate::ForModelServer) in its extensions. With a
    /// [`RouteTableHandle`], each round reads the endpoints of the current table.
    ///
    /// # Errors
    ///
    /// If the path is not a valid path that begins with a slash, if a header is invalid,
    /// duplicate or set by the gateway, or if the timeout is zero.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    pub fn start<S, R>(
        self,
        table: impl Into<RouteTableHandle>,
        client: S,
    ) -> Result<EngineMetricsHandle, BuildError>
    where
        S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        R: Body<Data: Buf + Send> + Send + 'static,
    {
        let question = self.poll.question()?;
        let scraper = Scraper::default();
        let polling = run(scraper, self.poll.interval, question, table.into(), client);
        Ok(EngineMetricsHandle(Task::spawn(polling)))
    }
}

/// The task of [`EngineMetrics`]; when it is dropped, the readings stop.
#[derive(Debug)]
#[must_use = "the readings stop when it is dropped"]
pub struct EngineMetricsHandle(Task);

impl EngineMetricsHandle {
    /// Stops the readings, and waits until their task has ended.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}
