//! Which models the engines say they serve.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use serde_json::Value;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    bounded::read_up_to,
    poll::{Listener, PollOptions, Task, run},
};
use crate::{
    attempt::RouteBody,
    config::BuildError,
    route::{CompiledTable, RouteTableHandle},
    server::{Endpoint, Server},
};

/// The longest list that is read: some 1,000 models, as vLLM lists them.
const MAX_BYTES: usize = 512 << 10;

/// Asks every endpoint of a table at regular intervals which models it has, so that a request goes
/// where its model or LoRA adapter is.
///
/// It sends `GET /v1/models` below the endpoint's own path, with the headers of its ModelServer;
/// see [`HealthCheck`](crate::HealthCheck), which has the same options. An endpoint is known to
/// have what it lists (of Ollama's `llama3:latest` also `llama3`). For a model or adapter that it
/// does not list, it gets no requests as long as another endpoint may have it. A list is valid for
/// three intervals; a failed poll changes nothing.
///
/// A list is believed only if it has a name that the table has: a ModelServer's
/// [`model`](crate::ModelServer::model), a route's model, or a route's adapter. A list larger than
/// 512 KiB is ignored. Of more than 1,024 models, only the first 1,024 count, and the list then
/// says nothing about models that are not among them.
///
/// Without it the gateway learns the same from the engines' 404s
/// ([`retry_unknown_model`](crate::TrafficPolicy::retry_unknown_model)).
///
/// ```
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower_model_route::{RouteBody, RouteTable, ServedModels, stack};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let table = RouteTable::builder().build()?;
/// let client = Client::builder(TokioExecutor::new()).build_http::<RouteBody>();
/// let polling = ServedModels::new().start(table.clone(), client.clone())?;
/// let app: axum::Router = axum::Router::new().fallback_service(stack(table).service(client));
/// # let _ = app;
/// polling.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ServedModels {
    poll: PollOptions,
}

impl ServedModels {
    /// Polls `/v1/models` every 10 s, for at most 2 s.
    pub fn new() -> Self {
        let mut poll = PollOptions::new("ServedModels", "/v1/models".to_owned());
        poll.interval(Duration::from_secs(10));
        Self { poll }
    }

    /// Another path, whose answer is a list in OpenAI's form.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.poll.path = path.into();
        self
    }

    /// Sends a header with each poll, to every endpoint of the table, in place of one of the same
    /// name of its [`ModelServer`](crate::ModelServer::header). The value is treated as a secret.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.poll.header(name.into(), value.into());
        self
    }

    /// The time from the start of one round to the next, 10 s by default; at least 1 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.poll.interval(interval);
        self
    }

    /// How long an answer may take, 2 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.poll.timeout = timeout;
        self
    }

    /// Starts a task that polls the endpoints of `table` with `client`, which may be any HTTP
    /// client. With a [`RouteTableHandle`], each round polls those of the current table.
    ///
    /// # Errors
    ///
    /// If the path is not a valid path that begins with a slash, if a header is invalid, duplicate
    /// or set by the gateway, or if the timeout is zero.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    pub fn start<S, R>(
        self,
        table: impl Into<RouteTableHandle>,
        client: S,
    ) -> Result<ServedModelsHandle, BuildError>
    where
        S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        R: Body + Send + 'static,
        R::Data: Send,
        R::Error: Send,
    {
        let question = self.poll.question()?;
        let table = table.into();
        let lists = Lists {
            known: None,
            table: table.clone(),
            fresh: self.poll.interval.saturating_mul(3),
            timeout: self.poll.timeout,
        };
        let polling = run(lists, self.poll.interval, question, table, client);
        Ok(ServedModelsHandle(Task::spawn(polling)))
    }
}

impl Default for ServedModels {
    fn default() -> Self {
        Self::new()
    }
}

/// The task of [`ServedModels`]; when it is dropped, the polling stops.
#[derive(Debug)]
#[must_use = "the polling stops when it is dropped"]
pub struct ServedModelsHandle(Task);

impl ServedModelsHandle {
    /// Stops the polling, and waits until its task has ended.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// What to make of the lists.
struct Lists {
    table: RouteTableHandle,
    /// The table of this round, and the names of its ModelServers' models.
    known: Option<(Arc<CompiledTable>, HashSet<Arc<str>>)>,
    fresh: Duration,
    timeout: Duration,
}

impl<R> Listener<R> for Lists
where
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Send,
{
    type Reading = Vec<String>;

    async fn read(answer: Response<R>) -> Option<Vec<String>> {
        if !answer.status().is_success() {
            return None;
        }
        names(&read_up_to(answer.into_body(), MAX_BYTES).await?)
    }

    fn begin(&mut self, _: &[(Arc<Endpoint>, Arc<Server>)]) {
        let table = self.table.load();
        if !matches!(&self.known, Some((known, _)) if Arc::ptr_eq(known, &table)) {
            let models = table
                .servers
                .iter()
                .filter_map(|server| server.model.as_ref());
            let models = models.map(|model| Arc::clone(&model.name)).collect();
            self.known = Some((table, models));
        }
    }

    fn heard(&mut self, endpoint: Arc<Endpoint>, names: Option<Vec<String>>) {
        let (Some(names), Some((table, models))) = (names, &self.known) else {
            return;
        };
        let is_ours = |name: &String| models.contains(&**name) || table.has_name(name);
        if names.iter().any(is_ours) {
            // It has been asked later than that.
            let now = Instant::now();
            let asked = now.checked_sub(self.timeout).unwrap_or(now);
            let names = names.iter().map(String::as_str);
            endpoint.adapters.listed(names, asked, self.fresh);
        }
    }
}

/// The names in a list of OpenAI's form. What Ollama lists as `llama3:latest`, it serves as `llama3`
/// too.
fn names(body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let models = body.get("data")?.as_array()?.iter();
    let names = models.filter_map(|model| model.get("id")?.as_str());
    let names = names.flat_map(|name| [Some(name), name.strip_suffix(":latest")]);
    Some(names.flatten().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_or_says_nothing() {
        // Of vLLM 0.32, shortened.
        let list = r#"{"object":"list","data":[{"id":"org/base-v1","object":"model","owned_by":"vllm","parent":null,"max_model_len":512},{"id":"lora-A","root":"/srv/engine/lora-A","parent":"org/base-v1"},{"no":1},7]}"#;
        let expected = ["org/base-v1", "lora-A"].map(str::to_owned);
        assert_eq!(names(list.as_bytes()).unwrap(), expected);
        let ollama = r#"{"object":"list","data":[{"id":"llama3:latest","object":"model","created":1,"owned_by":"library"},{"id":"qwen3:8b"}]}"#;
        let expected = ["llama3:latest", "llama3", "qwen3:8b"].map(str::to_owned);
        assert_eq!(names(ollama.as_bytes()).unwrap(), expected);
        for none in ["", "[]", "{}", r#"{"data":7}"#, "<html>"] {
            assert_eq!(names(none.as_bytes()), None, "{none}");
        }
    }
}
