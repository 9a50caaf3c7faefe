//! What a compressed body costs, and for how long it keeps other tasks of its worker waiting.
//!
//! `cargo bench --bench inflate`; `-- --quick` takes smaller bodies, and each a few times only.
//!
//! For each way of a body through the stack: the CPU of the whole request, and its longest poll, both
//! in ms. A poll does the same in each run, so the least time of each counts: what is above that is the
//! machine's other work.
#![allow(missing_docs)]

mod support;

use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use async_compression::{
    Level,
    tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use support::{MODEL, base64, chat};
use tokio::io::{AsyncRead, AsyncReadExt};
use tower::{Service, service_fn};
use tower_model_route::{
    Balance, Encoding, HashKey, ModelRoute, ModelRouteLayer, ModelServer, RouteBody, RouteTable,
    Rule, TrafficPolicy, stack,
};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (size, runs) = if quick { (2 << 20, 3) } else { (31 << 20, 15) };
    let chat = dense_chat(size, 1500);
    // zstd and brotli would make too little of that: more than 100 times as much comes out.
    let prose = dense_chat(size, 40);
    // What an image is in base64: hardly any codec makes less than three quarters of it.
    let image = base64_noise(size / 4);
    println!(
        "{:<34} {:>9} {:>8} {:>7} {:>9} {:>9}",
        "body", "sent", "inflated", "polls", "CPU ms", "longest ms"
    );
    for (coding, name) in [
        (Coding::Gzip, "gzip"),
        (Coding::Zstd, "zstd"),
        (Coding::Brotli, "br"),
    ] {
        let text = if name == "gzip" { &chat } else { &prose };
        for (kind, body) in [("chat", text), ("image", &image)] {
            let sent = coding.encode(body);
            for way in Way::ALL {
                let label = format!("{name}, {kind}, {}", way.label());
                let sample = measure(&way.layer(), name, &sent, runs);
                report(&label, sent.len(), body.len(), &sample);
            }
        }
    }
    let sample = measure(&Way::Plain.layer(), "identity", chat.as_bytes(), runs);
    report("none, chat, in one chunk", chat.len(), chat.len(), &sample);
    let sample = measure(&Way::Keys.layer(), "identity", chat.as_bytes(), runs);
    report("none, chat, with a key", chat.len(), chat.len(), &sample);
}

/// What is done with a body.
#[derive(Clone, Copy)]
enum Way {
    /// The engine reads no coding, and calls the model otherwise.
    Plain,
    /// The same, and the endpoint is chosen by a key in the body.
    Keys,
    /// The engine reads the coding.
    AsItIs,
    /// It does, and calls the model otherwise.
    Again,
    /// The same after an engine that gets the body as it is, and fails.
    Retried,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::Plain,
        Self::Keys,
        Self::AsItIs,
        Self::Again,
        Self::Retried,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Plain => "inflated",
            Self::Keys => "with a key",
            Self::AsItIs => "as it is",
            Self::Again => "compressed again",
            Self::Retried => "retried",
        }
    }

    fn layer(self) -> ModelRouteLayer {
        let server = |name: &str, endpoint: &str| ModelServer::new(name).endpoint(endpoint);
        let reading = |server: ModelServer| {
            [Encoding::Gzip, Encoding::Zstd, Encoding::Brotli]
                .into_iter()
                .fold(server, ModelServer::accepts_encoding)
        };
        let retrying = TrafficPolicy::new()
            .max_retries(1)
            .retry_interval(Duration::ZERO);
        let free = server("free", "http://127.0.0.1:8001");
        let (free, full) = match self {
            Self::Plain => (free.model("real"), None),
            Self::Keys => {
                let by_user = Balance::ConsistentHash(HashKey::User.into());
                (free.model("real").balance(by_user), None)
            }
            Self::AsItIs => (reading(free), None),
            Self::Again => (reading(free.model("real")), None),
            Self::Retried => {
                let full = reading(server("full", FULL)).traffic_policy(retrying);
                (reading(free.model("real")), Some(full))
            }
        };
        let rule = Rule::new("all");
        let rule = match &full {
            Some(_) => rule.target("full").fallback("free"),
            None => rule.target("free"),
        };
        let table = full
            .into_iter()
            .fold(RouteTable::builder(), |table, full| {
                table.model_server(full)
            })
            .model_server(free)
            .model_route(ModelRoute::new("route").model_name(MODEL).rule(rule));
        let layer = ModelRouteLayer::new(table.build().expect("a valid table"));
        match self {
            // All that is sent can be sent again.
            Self::Retried => layer.replay_bytes(32 << 20),
            _ => layer,
        }
    }
}

const FULL: &str = "http://127.0.0.1:9001";

#[derive(Default)]
struct Sample {
    /// The least time of each poll.
    polls: Vec<Duration>,
    /// The least time of all polls of a run.
    all: Option<Duration>,
}

fn measure(layer: &ModelRouteLayer, coding: &str, sent: &[u8], runs: usize) -> Sample {
    let mut service = stack(layer.clone()).service(service_fn(engine));
    let mut sample = Sample::default();
    for _ in 0..runs {
        let request = Request::post("/v1/chat/completions")
            .header("content-type", "application/json")
            .header("content-encoding", coding)
            .header("content-length", sent.len())
            .body(Full::new(Bytes::copy_from_slice(sent)))
            .expect("a valid request");
        let polls = polls(service.call(request));
        sample.all = sample.all.into_iter().chain([polls.iter().sum()]).min();
        sample.polls = match sample.polls.is_empty() {
            true => polls,
            false => std::iter::zip(polls, &sample.polls)
                .map(|(now, least)| now.min(*least))
                .collect(),
        };
    }
    sample
}

/// The time of each poll until there is an answer.
fn polls(call: impl Future<Output = Result<Response<impl Sized>, Infallible>>) -> Vec<Duration> {
    let mut call = pin!(call);
    let mut cx = Context::from_waker(Waker::noop());
    let mut polls = Vec::new();
    loop {
        let start = Instant::now();
        let polled = call.as_mut().poll(&mut cx);
        polls.push(start.elapsed());
        if let Poll::Ready(Ok(response)) = polled {
            assert_eq!(response.status(), 200);
            return polls;
        }
    }
}

/// Reads what it gets as a socket does: in steps, between which others run.
async fn engine(request: Request<RouteBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_full = request.uri().port_u16() == Some(9001);
    let mut body = pin!(request.into_body());
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.expect("the body is whole").into_data();
        read += data.map_or(0, |data| black_box(data).len());
        if read > 64 << 10 {
            read = 0;
            tokio::task::yield_now().await;
        }
    }
    let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
    if is_full {
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

fn report(label: &str, sent: usize, inflated: usize, sample: &Sample) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{label:<34} {:>6} KB {:>5.1} MB {:>7} {:>9.1} {:>9.2}",
        sent / 1000,
        inflated as f64 / 1e6,
        sample.polls.len(),
        ms(sample.all.unwrap_or_default()),
        ms(sample.polls.iter().copied().max().unwrap_or_default()),
    );
}

/// Turns that are all but the same, with a number `every` so many bytes: at 1500 gzip makes a 72nd.
fn dense_chat(bytes: usize, every: usize) -> String {
    let mut body = chat(bytes, true);
    let mut number = 0_u64;
    for at in (200..body.len() - 200).step_by(every) {
        number += 1;
        let digits = format!("{:08}", number * number % 100_000_000);
        let is_text = body.as_bytes()[at..at + 8]
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || *byte == b' ');
        if is_text {
            body.replace_range(at..at + 8, &digits);
        }
    }
    body
}

/// A chat with an image that no codec finds a repetition in.
fn base64_noise(bytes: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut seed = 1_u64;
    let noise: String = (0..bytes)
        .map(|_| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            char::from(alphabet[(seed >> 58) as usize])
        })
        .collect();
    let template = base64(80, true);
    let at = template.find("iVBOR").expect("it has an image");
    [&template[..at], &noise, &template[at..]].concat()
}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Zstd,
    Brotli,
}

impl Coding {
    fn encode(self, body: &str) -> Vec<u8> {
        let (body, level) = (body.as_bytes(), Level::Fastest);
        match self {
            Self::Gzip => read(GzipEncoder::with_quality(body, level)),
            Self::Zstd => read(ZstdEncoder::with_quality(body, level)),
            Self::Brotli => read(BrotliEncoder::with_quality(body, level)),
        }
    }
}

fn read(mut codec: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut read = Vec::new();
    let end = codec.read_to_end(&mut read).now_or_never();
    end.expect("all of it is there").expect("it is sound");
    read
}
