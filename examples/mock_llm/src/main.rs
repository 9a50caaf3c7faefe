//! A stand-alone LLM engine for tests and demos: vLLM's OpenAI-compatible HTTP interface,
//! without a model behind it.
//!
//! ```text
//! cargo run -p mock_llm -- --model llama --adapter llama-sql --token-delay-ms 50
//! ```

use std::{error::Error, net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use clap::Parser;
use mock_llm::{Engine, Fault};
use serde_json::json;

/// An LLM engine that generates nothing: vLLM's OpenAI-compatible HTTP interface (HTTP/1.1
/// and h2c), answering every prompt with "This is simulated message from MODEL!".
///
/// It serves POST /v1/completions, /v1/chat/completions, /v1/responses, /v1/messages and
/// /v1/embeddings, and GET /v1/models, /metrics and /health. A model that it does not serve is answered with 404.
#[derive(Debug, Parser)]
#[command(version, name = "mock_llm")]
struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,

    /// Model to serve; repeat it to serve several
    #[arg(long = "model", value_name = "NAME", default_value = "mock-model")]
    models: Vec<String>,

    /// LoRA adapter of the first model to serve; repeat it to serve several
    #[arg(long = "adapter", value_name = "NAME")]
    adapters: Vec<String>,

    /// Serve whatever model is asked for
    #[arg(long)]
    any_model: bool,

    /// Name of this engine, sent in the response header x-mock-engine
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,

    /// Milliseconds before an answer begins
    #[arg(long, value_name = "MS", default_value_t = 0)]
    header_delay_ms: u64,

    /// Milliseconds between tokens
    #[arg(long, value_name = "MS", default_value_t = 0)]
    token_delay_ms: u64,

    /// Tokens to generate; the message is repeated or cut short [default: those of the message]
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,

    /// Answer inference requests with this error status
    #[arg(long, value_name = "STATUS", value_parser = error_status)]
    fail_with: Option<StatusCode>,

    /// Fail every Nth inference request only (with 500 unless --fail-with says otherwise)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    fail_every: Option<u64>,

    /// Milliseconds of silence between the head of a stream and its first event
    #[arg(long, value_name = "MS", default_value_t = 0)]
    first_event_delay_ms: u64,

    /// Milliseconds of silence before the first token of a stream
    #[arg(long, value_name = "MS", default_value_t = 0)]
    first_token_delay_ms: u64,

    /// Send a comment (or ping) every so many milliseconds while a stream is silent
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    comments_ms: Option<u64>,

    /// What /metrics and load reports tell beside its own requests: RUNNING,WAITING,KV_CACHE, the
    /// last from 0 to 1
    #[arg(long, value_name = "LOAD", value_parser = load)]
    load_of_others: Option<(u64, u64, f64)>,

    #[command(flatten)]
    fault: FaultArgs,
}

fn load(text: &str) -> Result<(u64, u64, f64), String> {
    let read = || {
        let mut parts = text.split(',');
        let (running, waiting, cache) = (parts.next()?, parts.next()?, parts.next()?);
        let load = (
            running.parse().ok()?,
            waiting.parse().ok()?,
            cache.parse().ok()?,
        );
        parts.next().is_none().then_some(load)
    };
    read().ok_or_else(|| "expected RUNNING,WAITING,KV_CACHE, such as 8,3,0.7".to_owned())
}

/// How streams fail.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
struct FaultArgs {
    /// Break the connection after N events of a stream
    #[arg(long, value_name = "N")]
    break_after: Option<usize>,

    /// Say nothing more after N events of a stream, and keep the connection
    #[arg(long, value_name = "N")]
    hang_after: Option<usize>,

    /// End a stream after N events, without its last
    #[arg(long, value_name = "N")]
    end_after: Option<usize>,

    /// Cut the event after N events of a stream short
    #[arg(long, value_name = "N")]
    malformed_after: Option<usize>,

    /// Send an error with a status after N events of a stream, as in 0:503
    #[arg(long, value_name = "N:STATUS", value_parser = error_after)]
    error_after: Option<(usize, StatusCode)>,
}

impl FaultArgs {
    fn fault(self) -> Option<(usize, Fault)> {
        let after = |events: Option<usize>, fault| Some((events?, fault));
        after(self.break_after, Fault::Break)
            .or_else(|| after(self.hang_after, Fault::Hang))
            .or_else(|| after(self.end_after, Fault::End))
            .or_else(|| after(self.malformed_after, Fault::Malformed))
            .or_else(|| {
                self.error_after
                    .map(|(n, status)| (n, Fault::Error(status)))
            })
    }
}

fn error_after(text: &str) -> Result<(usize, StatusCode), String> {
    let (events, status) = text.split_once(':').ok_or("expected N:STATUS")?;
    let events = events.parse().map_err(|error| format!("{error}"))?;
    Ok((events, error_status(status)?))
}

impl Args {
    /// The engine asked for, or nothing if there is no model to serve.
    fn engine(&self) -> Option<Engine> {
        let (first, more) = self.models.split_first()?;
        let mut engine = Engine::new(first)
            .header_delay(Duration::from_millis(self.header_delay_ms))
            .token_delay(Duration::from_millis(self.token_delay_ms))
            .first_event_delay(Duration::from_millis(self.first_event_delay_ms))
            .first_token_delay(Duration::from_millis(self.first_token_delay_ms));
        engine = more.iter().fold(engine, Engine::model);
        engine = self.adapters.iter().fold(engine, Engine::adapter);
        if self.any_model {
            engine = engine.any_model();
        }
        if let Some(label) = &self.label {
            engine = engine.label(label);
        }
        if let Some(tokens) = self.tokens {
            engine = engine.tokens(tokens);
        }
        if let Some(status) = self.fail_with {
            engine = engine.fail_with(status);
        }
        if let Some(n) = self.fail_every {
            engine = engine.fail_every(n);
        }
        if let Some(interval) = self.comments_ms {
            engine = engine.comments(Duration::from_millis(interval));
        }
        if let Some((running, waiting, kv_cache)) = self.load_of_others {
            engine = engine.load_of_others(running, waiting, kv_cache);
        }
        if let Some((events, fault)) = self.fault.fault() {
            engine = engine.fault_after(events, fault);
        }
        Some(engine)
    }
}

fn error_status(text: &str) -> Result<StatusCode, String> {
    text.parse()
        .ok()
        .filter(|status: &StatusCode| status.is_client_error() || status.is_server_error())
        .ok_or_else(|| "expected a status from 400 to 599".to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let engine = args.engine().ok_or("there is no model to serve")?;
    let running = engine
        .spawn_on(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    introduce(&args, &running.url());

    tokio::signal::ctrl_c().await?;
    println!("Stopping after {} inference requests.", running.requests());
    running.shutdown().await;
    Ok(())
}

fn introduce(args: &Args, url: &str) {
    println!("Listening on {url}");
    println!("Models:   {}", args.models.join(", "));
    if !args.adapters.is_empty() {
        println!("Adapters: {}", args.adapters.join(", "));
    }
    if args.any_model {
        println!("Any other model is served too.");
    }
    let model = json!(args.models.first());
    let body =
        format!(r#"{{"model": {model}, "messages": [{{"role": "user", "content": "Hello"}}]}}"#);
    println!("Try it:   curl {url}/v1/chat/completions --json '{body}'");
}
