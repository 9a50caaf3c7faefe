//! A trace, sent through the layer to engines under tokio's paused clock.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes},
};
use futures_util::{StreamExt, future, stream};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc::unbounded_channel,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tower::{ServiceExt, service_fn};
use tower_model_route::{Balance, ModelRoute, ModelServer, RouteBody, RouteTable, Rule, stack};

use crate::{
    Result,
    engine::{CONTENT, Engine},
    oracle::Oracle,
    trace::{Session, Trace, Turn},
};

const TURN: &str = "x-turn";
pub const SESSION: &str = "x-session";
/// Longer prompts are documents.
pub const SHORT: usize = 10_000;

/// Who chooses.
pub enum Chooser {
    Balance(Balance),
    Oracle,
}

/// What the clients have seen, and what the engines know.
pub struct Figures {
    /// Times to the first content, in ascending order.
    first: Vec<Duration>,
    /// Of these, those of short prompts.
    short: Vec<Duration>,
    /// Tokens of answers in a second.
    pub throughput: f64,
    /// The share of the prompts' tokens that engines had in their caches.
    pub hits: f64,
    /// The share of turns that went where the first turn of their session had gone.
    pub stay: f64,
}

impl Figures {
    /// Of the times to the first content, in seconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.first, percent)
    }

    /// Of those of prompts of up to [`SHORT`] tokens.
    pub fn percentile_of_short(&self, percent: usize) -> f64 {
        percentile(&self.short, percent)
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, Duration::as_secs_f64)
}

/// The turn that a request is.
pub fn turn(headers: &HeaderMap) -> Option<usize> {
    headers.get(TURN)?.to_str().ok()?.parse().ok()
}

/// The engine whose host this is: `e3`.
pub fn engine(host: &str) -> Option<usize> {
    host.strip_prefix('e')?.parse().ok()
}

/// Runs a trace to its end.
pub fn run(trace: &Trace, chooser: &Chooser) -> Result<Figures> {
    fastrand::seed(7);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(send_all(trace, chooser))
}

async fn send_all(trace: &Trace, chooser: &Chooser) -> Result<Figures> {
    let engines: Vec<Arc<Engine>> = (0..trace.engines).map(|_| Arc::default()).collect();
    let turns: Vec<Arc<Turn>> = trace.turns().cloned().collect();
    let working: JoinSet<()> = engines.iter().map(|it| Arc::clone(it).run()).collect();

    let balance = match chooser {
        Chooser::Balance(balance) => balance.clone(),
        Chooser::Oracle => {
            let (engines, turns) = (engines.clone(), turns.clone());
            Balance::custom("oracle", Oracle { engines, turns })
        }
    };
    let went = Arc::new(Mutex::new(vec![0; turns.len()]));
    let service = stack(table(trace.engines, balance)?).service(service_fn({
        let went = Arc::clone(&went);
        move |request| {
            let answer = answer(request, &engines, &turns, &went);
            future::ready(answer.map_err(io::Error::other))
        }
    }));

    let begun = Instant::now();
    let mut clients = JoinSet::new();
    let mut first_turn = 0;
    for (number, session) in trace.sessions.iter().enumerate() {
        let Session { start, turns } = session;
        let (start, turns, service) = (begun + *start, turns.clone(), service.clone());
        clients.spawn(async move {
            sleep_until(start).await;
            let mut first = Vec::with_capacity(turns.len());
            for (turn, at) in turns.iter().zip(first_turn..) {
                sleep(turn.think).await;
                let request = Request::post("/v1/chat/completions")
                    .header("content-type", "application/json")
                    .header("content-length", turn.body.len())
                    .header(SESSION, number)
                    .header(TURN, at)
                    .body(Body::from(turn.body.clone()))?;
                let sent = Instant::now();
                let answer = service.clone().oneshot(request).await?;
                let time = read(sent, Body::new(answer.into_body())).await?;
                first.push((time, turn.prompt));
            }
            Result::Ok(first)
        });
        first_turn += session.turns.len();
    }
    let mut first = Vec::with_capacity(first_turn);
    while let Some(of_session) = clients.join_next().await {
        first.extend(of_session??);
    }
    first.sort_unstable();
    let short = first.iter().filter(|(_, prompt)| *prompt <= SHORT);
    let short = short.map(|(time, _)| *time).collect();
    let first = first.into_iter().map(|(time, _)| time).collect();
    let time = begun.elapsed().as_secs_f64();
    drop(working);

    let went = went.lock().unwrap_or_else(PoisonError::into_inner);
    let sum = |of: fn(&Turn) -> usize| trace.turns().map(|turn| of(turn)).sum::<usize>() as f64;
    Ok(Figures {
        first,
        short,
        throughput: sum(|turn| turn.output) / time,
        hits: sum(Turn::cached) / sum(|turn| turn.prompt),
        stay: stay(trace, &went),
    })
}

fn stay(trace: &Trace, went: &[usize]) -> f64 {
    let (mut stayed, mut later, mut at) = (0, 0, 0);
    for session in &trace.sessions {
        let of_session = &went[at..at + session.turns.len()];
        at += of_session.len();
        stayed += of_session[1..]
            .iter()
            .filter(|&it| *it == of_session[0])
            .count();
        later += of_session.len() - 1;
    }
    stayed as f64 / later as f64
}

fn table(engines: usize, balance: Balance) -> Result<RouteTable> {
    let server = ModelServer::new("s").balance(balance);
    let server = (0..engines).fold(server, |server, i| server.endpoint(format!("http://e{i}")));
    let route = ModelRoute::new("r").model_name("m");
    let table = RouteTable::builder()
        .model_server(server)
        .model_route(route.rule(Rule::new("all").target("s")));
    Ok(table.build()?)
}

/// What an engine does with a request: it reads it, and writes events as they are made.
fn answer(
    request: Request<RouteBody>,
    engines: &[Arc<Engine>],
    turns: &[Arc<Turn>],
    went: &Mutex<Vec<usize>>,
) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let host = head.uri.host().unwrap_or_default();
    let to = engine(host).ok_or("no engine")?;
    let at = turn(&head.headers).ok_or("no turn")?;
    went.lock().unwrap_or_else(PoisonError::into_inner)[at] = to;

    let (events, answer) = unbounded_channel();
    engines[to].begin(Arc::clone(&turns[at]), events);
    // All of a body is there at once, so that to read it takes no time.
    let read = stream::once(body.collect())
        .filter_map(|read| future::ready(read.err().map(Err::<Bytes, BoxError>)));
    let answer = stream::unfold(answer, async |mut answer| {
        Some((Ok(answer.recv().await?), answer))
    });
    Ok(Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(read.chain(answer)))?)
}

/// The time to the first content of an answer, which is read to its end.
async fn read(sent: Instant, answer: Body) -> Result<Duration> {
    let mut answer = answer.into_data_stream();
    let mut first = None;
    while let Some(data) = answer.next().await {
        if first.is_none() && data?.starts_with(CONTENT.as_bytes()) {
            first = Some(sent.elapsed());
        }
    }
    first.ok_or_else(|| "an answer without content".into())
}
