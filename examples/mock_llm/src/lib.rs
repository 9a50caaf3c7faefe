//! An LLM engine that generates nothing: vLLM's interface over HTTP/1.1 and h2c (OpenAI's chats,
//! completions, responses and embeddings, Anthropic's messages), with answers made of a fixed
//! sentence and faults on demand.
//!
//! ```
//! use mock_llm::Engine;
//!
//! # async fn spawn() -> std::io::Result<()> {
//! let running = Engine::new("llama").adapter("llama-sql").spawn().await?;
//! println!("{} serves llama", running.url());
//! # Ok(())
//! # }
//! ```

mod answer;
mod fault;
mod load;
mod messages;
mod monitor;
mod question;
mod responses;
mod routes;
mod server;
mod stream;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, http::StatusCode};

pub use fault::Fault;
pub use monitor::Received;
pub use server::RunningEngine;

/// What an engine serves, how fast, and how it fails.
#[derive(Debug, Clone)]
#[must_use = "an engine serves nothing before it is spawned"]
pub struct Engine {
    models: Vec<String>,
    adapters: Vec<String>,
    any_model: bool,
    label: Option<String>,
    header_delay: Duration,
    token_delay: Duration,
    tokens: Option<usize>,
    fail_with: Option<StatusCode>,
    fail_every: Option<u64>,
    first_event_delay: Duration,
    first_token_delay: Duration,
    comments: Option<Duration>,
    fault: Option<(usize, Fault)>,
    load: load::Load,
}

impl Engine {
    /// An engine that serves `model`, at once and without fault.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            models: vec![model.into()],
            adapters: Vec::new(),
            any_model: false,
            label: None,
            header_delay: Duration::ZERO,
            token_delay: Duration::ZERO,
            tokens: None,
            fail_with: None,
            fail_every: None,
            first_event_delay: Duration::ZERO,
            first_token_delay: Duration::ZERO,
            comments: None,
            fault: None,
            load: load::Load::default(),
        }
    }

    /// Serves one more model name.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.models.push(name.into());
        self
    }

    /// Serves a LoRA adapter, a child of the first model.
    pub fn adapter(mut self, name: impl Into<String>) -> Self {
        self.adapters.push(name.into());
        self
    }

    /// Serves whatever name is asked for. `/v1/models` still lists only those given.
    pub fn any_model(mut self) -> Self {
        self.any_model = true;
        self
    }

    /// Names this engine in the header `x-mock-engine` of every answer.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Waits this long, once the request is received, before it answers: the time to the
    /// first token.
    pub fn header_delay(mut self, delay: Duration) -> Self {
        self.header_delay = delay;
        self
    }

    /// Waits this long between the events of a stream. An answer that is not streamed takes
    /// as long as its tokens do.
    pub fn token_delay(mut self, delay: Duration) -> Self {
        self.token_delay = delay;
        self
    }

    /// Generates `count` tokens, repeating the message or cutting it short. Without this, an
    /// answer has exactly the tokens of the message.
    pub fn tokens(mut self, count: usize) -> Self {
        self.tokens = Some(count);
        self
    }

    /// Answers every inference request with `status`, or those that
    /// [`fail_every`](Self::fail_every) selects.
    pub fn fail_with(mut self, status: StatusCode) -> Self {
        self.fail_with = Some(status);
        self
    }

    /// Fails every `n`th inference request, with the status of
    /// [`fail_with`](Self::fail_with) or 500. Zero selects none.
    pub fn fail_every(mut self, n: u64) -> Self {
        self.fail_every = Some(n);
        self
    }

    /// Says nothing for this long between the head of a stream and its first event.
    pub fn first_event_delay(mut self, delay: Duration) -> Self {
        self.first_event_delay = delay;
        self
    }

    /// Says nothing for this long before the first token of a stream, when it has been announced.
    pub fn first_token_delay(mut self, delay: Duration) -> Self {
        self.first_token_delay = delay;
        self
    }

    /// While a stream says nothing, sends a comment (on `/v1/messages`, a ping) at this interval.
    /// They are no events.
    pub fn comments(mut self, interval: Duration) -> Self {
        self.comments = Some(interval);
        self
    }

    /// Makes each stream that has more than `events` events fail after that many: with 0, in place
    /// of the first.
    pub fn fault_after(mut self, events: usize, fault: Fault) -> Self {
        self.fault = Some((events, fault));
        self
    }

    /// What `/metrics` and load reports tell beside the requests that it really has: so many run,
    /// so many wait, and this share of the KV cache is in use.
    pub fn load_of_others(mut self, running: u64, waiting: u64, kv_cache: f64) -> Self {
        self.load = load::Load {
            running,
            waiting,
            kv_cache,
        };
        self
    }

    /// The HTTP interface as a service, for a server of the caller's own.
    pub fn router(&self) -> Router {
        routes::router(self.clone(), Arc::default())
    }

    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn spawn(self) -> io::Result<RunningEngine> {
        self.spawn_on((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Serves on `addr`.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn spawn_on(self, addr: SocketAddr) -> io::Result<RunningEngine> {
        RunningEngine::start(self, addr).await
    }

    fn serves(&self, name: &str) -> bool {
        self.any_model
            || self
                .models
                .iter()
                .chain(&self.adapters)
                .any(|own| own == name)
    }

    /// The status with which the `number`th inference request (from 1) is to fail.
    fn failure(&self, number: u64) -> Option<StatusCode> {
        match self.fail_every {
            None => self.fail_with,
            Some(n) if n > 0 && number.is_multiple_of(n) => {
                Some(self.fail_with.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            }
            Some(_) => None,
        }
    }
}
