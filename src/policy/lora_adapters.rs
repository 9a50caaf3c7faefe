//! Loading adapters on all engines of a ModelServer.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    uri::PathAndQuery,
};
use http_body::Body;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower_service::Service;

use super::{bounded::read_up_to, to_engine::to_engine};
use crate::{
    attempt::RouteBody,
    config::BuildError,
    error::{BoxError, Chain},
    pieces::{Chunks, Edits},
    route::RouteTableHandle,
    server::{Endpoint, Server},
};

/// The longest answer that is read.
const MAX_BYTES: usize = 16 << 10;
/// How much of its text is told.
const MAX_TEXT: usize = 1000;

/// Loads and unloads LoRA adapters on all endpoints of a ModelServer.
///
/// An engine loads an adapter only for itself, so a call through a balancer would reach one of
/// many; and clients can't make such calls, since the gateway does not route these paths. This type
/// calls every endpoint of the ModelServer, even those that are ejected or taken out of service,
/// since they will come back. It sends what vLLM expects (`POST /v1/load_lora_adapter`, which needs
/// `VLLM_ALLOW_RUNTIME_LORA_UPDATING=1`), below the endpoint's own path, with the ModelServer's
/// [headers](crate::ModelServer::header), and so its API key. The gateway knows of a loaded adapter
/// at once.
///
/// ```
/// # use tower_model_route::{RouteBody, RouteTableHandle};
/// # async fn load(handle: RouteTableHandle) -> Result<(), tower_model_route::BuildError> {
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower_model_route::{LoadAdapter, LoraAdapters};
///
/// let client = Client::builder(TokioExecutor::new()).build_http::<RouteBody>();
/// let adapters = LoraAdapters::new(handle, client);
/// let report = adapters.load("small", LoadAdapter::new("sql", "/adapters/sql")).await?;
/// for endpoint in report.failed() {
///     eprintln!("{endpoint}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct LoraAdapters<S> {
    table: RouteTableHandle,
    client: S,
    prefix: &'static str,
    timeout: Duration,
    at_once: usize,
}

/// An adapter to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct LoadAdapter {
    name: String,
    path: String,
    in_place: bool,
}

impl LoadAdapter {
    /// The name that clients ask for, and the path or the repository from which engines load it.
    pub fn new(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            in_place: false,
        }
    }

    /// Replaces an adapter of the same name that is already loaded (vLLM's `load_inplace`); by
    /// default an engine that has one keeps it.
    pub fn in_place(mut self, on: bool) -> Self {
        self.in_place = on;
        self
    }
}

impl<S> LoraAdapters<S> {
    /// Calls the endpoints of the current `table` at each call, with `client`, which may be any
    /// HTTP client.
    pub fn new(table: impl Into<RouteTableHandle>, client: S) -> Self {
        Self {
            table: table.into(),
            client,
            prefix: "/v1",
            timeout: Duration::from_secs(60),
            at_once: 8,
        }
    }

    /// The engines are SGLang's, whose paths have no `/v1`.
    pub fn sglang(mut self) -> Self {
        self.prefix = "";
        self
    }

    /// How long each endpoint may take, 60 s by default: it has to read the adapter.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many endpoints are called at the same time, 8 by default, and at least 1: they may
    /// read from the same storage.
    pub fn at_once(mut self, endpoints: usize) -> Self {
        self.at_once = endpoints.max(1);
        self
    }

    /// Loads an adapter on all endpoints of this ModelServer. An adapter that is already loaded
    /// is fine.
    ///
    /// # Errors
    ///
    /// There is no such ModelServer. What endpoints say is in the report.
    pub async fn load<R>(
        &self,
        model_server: &str,
        adapter: LoadAdapter,
    ) -> Result<AdapterReport, BuildError>
    where
        S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        R: Body + Send,
        R::Data: Send,
        R::Error: Send,
    {
        let mut body = json!({"lora_name": adapter.name, "lora_path": adapter.path});
        if adapter.in_place {
            body["load_inplace"] = Value::Bool(true);
        }
        self.call(model_server, Call::Load, &adapter.name, &body)
            .await
    }

    /// Unloads an adapter on all endpoints of this ModelServer. An adapter that is not loaded
    /// is fine.
    ///
    /// # Errors
    ///
    /// There is no such ModelServer. What endpoints say is in the report.
    pub async fn unload<R>(
        &self,
        model_server: &str,
        name: &str,
    ) -> Result<AdapterReport, BuildError>
    where
        S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        R: Body + Send,
        R::Data: Send,
        R::Error: Send,
    {
        let body = json!({"lora_name": name});
        self.call(model_server, Call::Unload, name, &body).await
    }

    async fn call<R>(
        &self,
        model_server: &str,
        call: Call,
        name: &str,
        body: &Value,
    ) -> Result<AdapterReport, BuildError>
    where
        S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        R: Body + Send,
        R::Data: Send,
        R::Error: Send,
    {
        let table = self.table.load();
        let mut servers = table.servers.iter();
        let server = servers.find(|server| *server.name == *model_server);
        let server = server.ok_or_else(|| BuildError::unknown_model_server(model_server))?;
        let body = Bytes::from(body.to_string());
        let path = format!("{}{}", self.prefix, call.path());
        let mut waiting = server.endpoints.iter().enumerate();
        let mut asked = JoinSet::new();
        let mut answers: Vec<Option<Answer>> = server.endpoints.iter().map(|_| None).collect();
        loop {
            while asked.len() < self.at_once
                && let Some((position, endpoint)) = waiting.next()
            {
                let request = request(&path, endpoint, server, body.clone());
                let (client, timeout) = (self.client.clone(), self.timeout);
                asked.spawn(async move {
                    let answer = async {
                        match request {
                            Some(request) => ask(client, request).await,
                            None => Answer::failed("it has no path for this call".to_owned()),
                        }
                    };
                    let answer = tokio::time::timeout(timeout, answer).await;
                    let late = || Answer::failed(format!("no answer in {timeout:?}"));
                    (position, answer.unwrap_or_else(|_| late()))
                });
            }
            match asked.join_next().await {
                None => break,
                // A client that panics says nothing.
                Some(Err(_)) => {}
                Some(Ok((position, answer))) => {
                    if let Some(place) = answers.get_mut(position) {
                        *place = Some(answer);
                    }
                }
            }
        }
        let both = server.endpoints.iter().zip(answers);
        let endpoints = both.map(|(endpoint, answer)| {
            let answer =
                answer.unwrap_or_else(|| Answer::failed("the client has failed".to_owned()));
            AdapterOutcome::new(call, name, endpoint, answer)
        });
        Ok(AdapterReport {
            endpoints: endpoints.collect(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Load,
    Unload,
}

impl Call {
    fn path(self) -> &'static str {
        match self {
            Self::Load => "/load_lora_adapter",
            Self::Unload => "/unload_lora_adapter",
        }
    }

    /// Whether an engine says with this answer that there is nothing to do.
    fn is_done_already(self, answer: &Answer) -> bool {
        let words: &[&str] = match self {
            Self::Load => &["already been loaded", "already loaded"],
            Self::Unload => &["cannot be found", "not loaded", "does not exist"],
        };
        answer.status.is_some_and(|status| status.is_client_error())
            && words.iter().any(|words| answer.text.contains(words))
    }
}

/// What an endpoint answered, or why it did not.
struct Answer {
    status: Option<StatusCode>,
    text: String,
}

impl Answer {
    fn failed(why: String) -> Self {
        Self {
            status: None,
            text: why,
        }
    }
}

fn request(
    path: &str,
    endpoint: &Endpoint,
    server: &Server,
    body: Bytes,
) -> Option<Request<RouteBody>> {
    let length = HeaderValue::from(body.len());
    let mut chunks = Chunks::default();
    chunks.push(body);
    let body = RouteBody::whole(chunks, None, Edits::default(), 0);
    let (mut head, body) = Request::new(body).into_parts();
    head.method = Method::POST;
    let path = PathAndQuery::try_from(path).ok()?;
    let json = HeaderValue::from_static("application/json");
    head.headers.insert(CONTENT_TYPE, json);
    head.headers.insert(CONTENT_LENGTH, length);
    to_engine(&mut head, &path, (endpoint, server), &[])?;
    Some(Request::from_parts(head, body))
}

async fn ask<S, R>(mut client: S, request: Request<RouteBody>) -> Answer
where
    S: Service<Request<RouteBody>, Response = Response<R>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body,
{
    let answer = async {
        let ready = std::future::poll_fn(|cx| client.poll_ready(cx));
        ready.await.map_err(Into::<BoxError>::into)?;
        client.call(request).await.map_err(Into::into)
    };
    let answer = match answer.await {
        Ok(answer) => answer,
        Err(error) => return Answer::failed(Chain(&*error).to_string()),
    };
    let status = answer.status();
    let body = read_up_to(answer.into_body(), MAX_BYTES).await;
    let text = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    Answer {
        status: Some(status),
        text: message(&text).chars().take(MAX_TEXT).collect(),
    }
}

/// The message of an error, or else all of the text.
fn message(text: &str) -> String {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let message = json.pointer("/error/message").or(json.get("message"));
    let message = message.and_then(Value::as_str);
    message.unwrap_or(text).to_owned()
}

/// What the endpoints of a ModelServer answered to a call of [`LoraAdapters`].
#[derive(Clone, Debug)]
#[must_use = "some endpoints may have failed"]
pub struct AdapterReport {
    endpoints: Vec<AdapterOutcome>,
}

impl AdapterReport {
    /// All endpoints, in the order in which the ModelServer has them.
    pub fn endpoints(&self) -> &[AdapterOutcome] {
        &self.endpoints
    }

    /// Whether all endpoints are now as requested; true if there are none.
    pub fn is_complete(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The endpoints that are not as requested.
    pub fn failed(&self) -> impl Iterator<Item = &AdapterOutcome> {
        self.endpoints.iter().filter(|endpoint| !endpoint.is_done)
    }
}

/// What one endpoint answered.
#[derive(Clone, Debug)]
pub struct AdapterOutcome {
    endpoint: Arc<str>,
    status: Option<StatusCode>,
    message: String,
    is_done: bool,
    was_done: bool,
}

impl AdapterOutcome {
    fn new(call: Call, name: &str, endpoint: &Endpoint, answer: Answer) -> Self {
        let was_done = call.is_done_already(&answer);
        let is_done = was_done || answer.status.is_some_and(|status| status.is_success());
        match call {
            Call::Load if is_done => endpoint.adapters.has(name),
            Call::Unload if is_done => endpoint.adapters.lacks(name),
            Call::Load | Call::Unload => {}
        }
        Self {
            endpoint: Arc::clone(endpoint.uri()),
            status: answer.status,
            message: answer.text,
            is_done,
            was_done,
        }
    }

    /// The endpoint's URI.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether it is now as requested.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether it was so already.
    pub fn was_done(&self) -> bool {
        self.was_done
    }

    /// The status of its answer, if it has answered.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Its answer, cut to 1,000 characters, or why there is none.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// In words, for people.
impl fmt::Display for AdapterOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.endpoint)?;
        match (self.was_done, self.is_done, self.status) {
            (true, ..) => f.write_str("nothing to do"),
            (false, true, _) => f.write_str("done"),
            (false, false, Some(status)) => {
                write!(f, "{} {:?}", status.as_u16(), self.message)
            }
            (false, false, None) => f.write_str(&self.message),
        }
    }
}
