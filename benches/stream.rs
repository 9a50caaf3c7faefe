//! Reading the events of a stream beside its bytes, for each event of about 200 bytes: against
//! looking for the ends of its lines, and against parsing it. And what it costs to forward a
//! stream of 1,000 events: the body alone, below the layer with nothing on, with the defaults,
//! and below the stack with all that can be on.
//!
//! `cargo bench --bench stream`
#![allow(missing_docs)]

mod support;

use std::{collections::VecDeque, convert::Infallible, hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response};
use serde_json::Value;
use support::{
    forward::forward_by,
    frames::{Frames, drain},
};
use tokio::runtime::Builder;
use tower::{Layer, service_fn};
use tower_model_route::{
    ModelRoute, ModelRouteLayer, ModelServer, OnInterruption, RouteBody, RouteTable, Rule,
    TrafficPolicy,
    internal::{Dialect, Format, Kinds, Reader},
    stack,
};

const EVENTS: usize = 1000;

const WORDS: [&str; 8] = [
    " the",
    " quick",
    " brown",
    "\\n\\n",
    " fox",
    " says",
    "é",
    " \\\"hi\\\"",
];

/// The chunks of a stream, an event each, as engines send them.
fn stream(event: impl Fn(usize, &str) -> String) -> Vec<String> {
    (0..EVENTS)
        .map(|n| event(n, WORDS[n % WORDS.len()]))
        .collect()
}

fn chat(n: usize, word: &str, usage: &str) -> String {
    let index = n % 2;
    format!(
        "data: {{\"id\":\"chatcmpl-a1598ab13fcbac04\",\"object\":\"chat.completion.chunk\",\
         \"created\":1795833026,\"model\":\"org/base\",\"choices\":[{{\"index\":0,\
         \"delta\":{{\"content\":\"{word}\"}},\"logprobs\":null,\"finish_reason\":null}}]{usage}}}\n\n"
    )
    .replace("\"index\":0", &format!("\"index\":{}", if usage == ",\"n\":2" { index } else { 0 }))
}

fn streams() -> Vec<(&'static str, Dialect, Vec<String>)> {
    let message = |_, word: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":\"{word}\"}}}}\n\n"
        )
    };
    let response = |n, word: &str| {
        format!(
            "event: response.output_text.delta\ndata: {{\"content_index\":0,\"delta\":\"{word}\",\
             \"item_id\":\"msg_bd1a40848609ca2b\",\"logprobs\":[],\"output_index\":0,\
             \"sequence_number\":{n},\"type\":\"response.output_text.delta\"}}\n\n"
        )
    };
    let counted = |n, word: &str| {
        let usage = format!(
            ",\"usage\":{{\"prompt_tokens\":9,\"total_tokens\":{},\"completion_tokens\":{n}}}",
            n + 9
        );
        chat(n, word, &usage)
    };
    // Nothing of these is known before: each is parsed.
    let parsed = |n, word: &str| {
        let logprob = n as f64 / -100.0;
        let logprobs = format!("{{\"content\":[{{\"token\":\"{word}\",\"logprob\":{logprob}}}]}}");
        chat(n, word, "").replace("\"logprobs\":null", &format!("\"logprobs\":{logprobs}"))
    };
    vec![
        ("chat_logprobs", Dialect::Chat, stream(parsed)),
        ("chat", Dialect::Chat, stream(|n, word| chat(n, word, ""))),
        ("messages", Dialect::Messages, stream(message)),
        ("responses", Dialect::Responses, stream(response)),
        (
            "chat_two_choices",
            Dialect::Chat,
            stream(|n, word| chat(n, word, ",\"n\":2")),
        ),
        ("chat_continuous_usage", Dialect::Chat, stream(counted)),
    ]
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, dialect, chunks) in streams() {
        let bytes: usize = chunks.iter().map(String::len).sum();
        println!("{name}: {} bytes an event", bytes / EVENTS);
        let id = |way| BenchmarkId::new(name, way);
        group.bench_function(id("reader"), |b| {
            b.iter(|| {
                let mut reader = Reader::new(dialect, Format::Sse);
                let mut contents = 0;
                for chunk in &chunks {
                    let mut rest = black_box(chunk.as_bytes());
                    while let Some(event) = reader.next(&mut rest) {
                        contents += usize::from(event.is(Kinds::CONTENT));
                    }
                }
                assert_eq!(contents, EVENTS);
            });
        });
        group.bench_function(id("ends_of_lines"), |b| {
            b.iter(|| {
                let chunks = chunks.iter().map(|chunk| black_box(chunk.as_bytes()));
                chunks
                    .map(|chunk| memchr::memchr_iter(b'\n', chunk).count())
                    .sum::<usize>()
            });
        });
        group.bench_function(id("serde_json"), |b| {
            b.iter(|| {
                for chunk in &chunks {
                    let (_, data) = black_box(chunk).split_once("data: ").unwrap();
                    black_box(serde_json::from_str::<Value>(data).unwrap());
                }
            });
        });
    }
    group.finish();
}

fn events() -> VecDeque<Bytes> {
    let mut events: VecDeque<_> = (0..EVENTS)
        .map(|n| Bytes::from(chat(n, WORDS[n % WORDS.len()], "")))
        .collect();
    events.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn table(policy: TrafficPolicy) -> RouteTable {
    RouteTable::builder()
        .model_server(
            ModelServer::new("s")
                .endpoint("http://e")
                .traffic_policy(policy),
        )
        .model_route(
            ModelRoute::new("r")
                .model_name("m")
                .rule(Rule::new("all").target("s")),
        )
        .build()
        .unwrap()
}

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let events = events();
    group.bench_function("body_alone", |b| {
        b.iter_batched(
            || events.clone(),
            |events| assert_eq!(drain(Frames(events)), EVENTS + 1),
            BatchSize::SmallInput,
        );
    });
    let engine = move |_: Request<RouteBody>| {
        let body = Frames(events.clone());
        let answer = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    };
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let nothing = TrafficPolicy::new()
        .stream_idle_timeout(Duration::ZERO)
        .on_interruption(OnInterruption::Pass);
    let second = Duration::from_secs(1);
    let all = TrafficPolicy::new()
        .first_event_timeout(100 * second)
        .first_event_slow(50 * second)
        .sse_keepalive(10 * second);
    for (name, policy) in [("nothing_on", nothing), ("defaults", TrafficPolicy::new())] {
        let service = ModelRouteLayer::new(table(policy)).layer(service_fn(engine.clone()));
        forward_by(&mut group, name, service, EVENTS + 1);
    }
    let service = stack(table(all)).service(service_fn(engine));
    forward_by(&mut group, "all_on", service, EVENTS + 1);
    group.finish();
}

criterion_group!(benches, read, forward);
criterion_main!(benches);
