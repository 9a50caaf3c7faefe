//! What limits cost a request.
//!
//! `cargo bench --bench limits`
#![allow(missing_docs)]

mod support;

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use support::{BATCH, chat, request};
use tower::{Layer, Service, service_fn};
use tower_model_route::{
    LimitKey, ModelRoute, ModelRouteLayer, ModelRouteService, ModelServer, Per, RateLimit,
    RouteBody, RouteTable, Rule,
};

const MANY: u64 = 1 << 50;
const ANSWER: &str = r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"A weighted split sends each target its share of the requests."}}],"usage":{"prompt_tokens":250,"completion_tokens":12,"total_tokens":262}}"#;

type Inner =
    fn(Request<RouteBody>) -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>;

fn inner(
    request: Request<RouteBody>,
) -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>> {
    black_box(&request);
    let answer = Response::builder()
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    std::future::ready(Ok(answer.expect("a valid answer")))
}

fn service(limits: &[RateLimit]) -> ModelRouteService<tower::util::ServiceFn<Inner>> {
    let route = ModelRoute::new("chat")
        .model_name(support::MODEL)
        .rule(Rule::new("all").target("v1"));
    let table = RouteTable::builder()
        .model_server(ModelServer::new("v1").endpoint("http://127.0.0.1:8001"))
        .model_route(limits.iter().cloned().fold(route, ModelRoute::rate_limit));
    let layer = ModelRouteLayer::new(table.build().expect("a valid table"));
    // Only one tenant has this limit.
    let layer = layer.limit_key("over", |head, _| {
        let key = head.headers.get("x-api-key")?;
        (key == "over").then(|| "over".to_owned())
    });
    layer.layer(service_fn(inner as Inner))
}

fn request_of(key: &HeaderValue, body: &Bytes) -> Request<Full<Bytes>> {
    let mut request = request().map(|()| Full::new(body.clone()));
    request.headers_mut().insert("x-api-key", key.clone());
    request
}

/// From the head to the end of the answer's body.
fn call(
    service: &mut ModelRouteService<tower::util::ServiceFn<Inner>>,
    request: Request<Full<Bytes>>,
) -> StatusCode {
    let Some(Ok(answer)) = service.call(request).now_or_never() else {
        panic!("there is an answer at once");
    };
    let (head, body) = answer.into_parts();
    let body = body.collect().now_or_never();
    assert!(body.is_some_and(|body| body.is_ok()), "it has an end");
    head.status
}

fn by_key(limit: RateLimit) -> RateLimit {
    limit
        .key(LimitKey::Header("x-api-key".into()))
        .max_keys(20_000)
}

fn limits(c: &mut Criterion) {
    let mut group = c.benchmark_group("limits");
    let body = Bytes::from(chat(1 << 10, true));
    let month = Per::Month;
    let tokens = RateLimit::total_tokens(MANY, month);
    let spent = RateLimit::requests(1, month);
    for (name, keys, status, limits) in [
        ("none", 1, 200, vec![]),
        ("requests", 1, 200, vec![RateLimit::requests(MANY, month)]),
        ("tokens", 1, 200, vec![tokens.clone()]),
        ("tokens_by_1_key", 1, 200, vec![by_key(tokens.clone())]),
        (
            "tokens_by_10000_keys",
            10_000,
            200,
            vec![by_key(tokens.clone())],
        ),
        ("refused", 1, 429, vec![tokens.clone(), spent]),
    ] {
        let mut service = service(&limits);
        let keys: Vec<_> = (0..keys).map(|key| HeaderValue::from(key as u64)).collect();
        for key in &keys {
            call(&mut service, request_of(key, &body));
        }
        let mut turn = keys.iter().cycle();
        group.bench_function(name, |b| {
            b.iter_batched(
                || request_of(turn.next().expect("there is one"), &body),
                |request| assert_eq!(call(&mut service, request), status),
                BATCH,
            );
        });
    }
    group.finish();
}

/// Another tenant of the same route asks on and on, in a thread of its own: within its limit, and
/// over it.
fn beside_another(c: &mut Criterion) {
    let mut group = c.benchmark_group("limits_beside_another");
    let body = Bytes::from(chat(1 << 10, true));
    let limits = [
        by_key(RateLimit::total_tokens(MANY, Per::Month)),
        RateLimit::requests(1 << 40, Per::Month),
        RateLimit::requests(1, Per::Month).key(LimitKey::Named("over".into())),
    ];
    for (name, is_over) in [
        ("tenant_within_its_limit", false),
        ("tenant_over_its_limit", true),
    ] {
        let mut mine = service(&limits);
        let mut theirs = mine.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let other = thread::spawn({
            let (stop, body) = (Arc::clone(&stop), body.clone());
            move || {
                let key = HeaderValue::from_static(if is_over { "over" } else { "within" });
                // One is free.
                call(&mut theirs, request_of(&key, &body));
                while !stop.load(Ordering::Relaxed) {
                    let status = call(&mut theirs, request_of(&key, &body));
                    assert_eq!(status, if is_over { 429 } else { 200 });
                }
            }
        });
        let key = HeaderValue::from_static("mine");
        group.bench_function(name, |b| {
            b.iter_batched(
                || request_of(&key, &body),
                |request| assert_eq!(call(&mut mine, request), StatusCode::OK),
                BATCH,
            );
        });
        stop.store(true, Ordering::Relaxed);
        other.join().expect("the other ends");
    }
    group.finish();
}

criterion_group!(benches, limits, beside_another);
criterion_main!(benches);
