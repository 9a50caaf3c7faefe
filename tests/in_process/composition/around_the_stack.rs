//! tower's and tower-http's layers above and below the stack, as its docs recommend them.

use std::time::Duration;

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use test_kit::{
    answer::Answer,
    engines::{Act, Engines, status},
    gateway::Gateway,
    paused::{settle, within},
    request::asked,
    table::{failures, in_flight, one_server, retries},
};
use tower::{
    BoxError, ServiceBuilder, ServiceExt,
    buffer::BufferLayer,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    load_shed::LoadShedLayer,
    timeout::TimeoutLayer,
};
use tower_http::{
    ServiceBuilderExt, compression::CompressionLayer, cors::CorsLayer,
    decompression::RequestDecompressionLayer, request_id::MakeRequestUuid, trace::TraceLayer,
};
use tower_model_route::{AnswerErrorsLayer, RouteDecision, RouteTable, TrafficPolicy, stack};

use crate::SECOND;

fn table() -> RouteTable {
    one_server(2, TrafficPolicy::new().max_retries(1))
}

async fn ask(service: &Gateway) -> Answer {
    let Ok(answer) = within(service.clone().oneshot(asked())).await;
    Answer::of(answer).await
}

fn spawn(service: &Gateway) -> tokio::task::JoinHandle<Answer> {
    let service = service.clone();
    tokio::spawn(async move { ask(&service).await })
}

/// As the docs of `stack` have it.
#[tokio::test(start_paused = true)]
async fn below_a_load_shed_over_a_limit() {
    let (engines, table) = (Engines::default(), table());
    engines.everywhere(|| status(200).late(SECOND));
    let service = Gateway::over(
        &engines,
        ServiceBuilder::new()
            .layer(stack(table.clone()))
            .load_shed()
            .concurrency_limit(2),
    );
    let calls: Vec<_> = (0..5).map(|_| spawn(&service)).collect();
    settle().await;
    assert_eq!(engines.under_way(), 2);
    let mut codes = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status() != 200 {
            assert_eq!(
                (&*answer.code(), answer.header("retry-after")),
                ("overloaded", Some("1"))
            );
            // It was refused at the other endpoint too.
            assert_eq!(answer.decision().attempts(), 2);
        }
        codes.push(answer.status().as_u16());
    }
    assert_eq!(codes, [200, 200, 503, 503, 503]);
    assert_eq!((failures(&table), in_flight(&table)), (0, 0));
    assert_eq!(ask(&service).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn below_limits_that_wait() {
    for global in [true, false] {
        let (engines, table) = (Engines::default(), table());
        engines.everywhere(|| status(200).late(SECOND));
        let service = if global {
            Gateway::over(
                &engines,
                stack(table.clone()).layer(GlobalConcurrencyLimitLayer::new(1)),
            )
        } else {
            Gateway::over(
                &engines,
                stack(table.clone()).layer(ConcurrencyLimitLayer::new(1)),
            )
        };
        let calls: Vec<_> = (0..5).map(|_| spawn(&service)).collect();
        settle().await;
        assert_eq!(engines.under_way(), 1);
        for call in calls {
            assert_eq!(call.await.unwrap().status(), 200);
        }
        // A retry gets the permit of the attempt before.
        engines.next([status(503), status(200)]);
        assert_eq!(ask(&service).await.decision().attempts(), 2);
        assert_eq!(in_flight(&table), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn below_towers_timeout() {
    let (engines, table) = (Engines::default(), table());
    let service = Gateway::over(
        &engines,
        stack(table.clone()).layer(TimeoutLayer::new(SECOND)),
    );
    engines.next([Act::Hang]);
    assert_eq!(ask(&service).await.status(), 200);
    engines.everywhere(|| Act::Hang);
    let answer = ask(&service).await;
    assert_eq!(
        (answer.status().as_u16(), &*answer.code()),
        (504, "upstream_timeout")
    );
    assert_eq!(
        (failures(&table), in_flight(&table), engines.under_way()),
        (3, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn below_tower_https_timeout_and_trace() {
    let (engines, table) = (Engines::default(), table());
    let layers = stack(table.clone())
        .layer(TraceLayer::new_for_http())
        .layer(tower_http::timeout::TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            SECOND,
        ));
    let service = Gateway::over(&engines, layers);
    engines.next([Act::Hang]);
    let answer = ask(&service).await;
    assert_eq!(
        (answer.status().as_u16(), answer.decision().attempts()),
        (200, 2)
    );
    assert_eq!((failures(&table), in_flight(&table)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn below_a_rate_limit_in_a_buffer() {
    let (engines, table) = (Engines::default(), table());
    let layers = ServiceBuilder::new()
        .layer(stack(table.clone()))
        .layer(BufferLayer::new(16))
        .rate_limit(2, Duration::from_secs(10));
    let service = Gateway::over(&engines, layers);
    let calls: Vec<_> = (0..6).map(|_| spawn(&service)).collect();
    tokio::time::sleep(SECOND).await;
    assert_eq!(engines.attempts().len(), 2);
    for call in calls {
        assert_eq!(call.await.unwrap().status(), 200);
    }
    assert_eq!(in_flight(&table), 0);
}

/// What fails above the stack has an AnswerErrorsLayer around it.
#[tokio::test(start_paused = true)]
async fn above_load_shed_limits_and_a_timeout() {
    let (engines, table) = (Engines::default(), table());
    engines.everywhere(|| status(200).late(2 * SECOND));
    let layers = ServiceBuilder::new()
        .layer(AnswerErrorsLayer::new())
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(2))
        .layer(TimeoutLayer::new(3 * SECOND))
        .map_err(|error: std::convert::Infallible| -> BoxError { match error {} })
        .layer(stack(table.clone()));
    let service = Gateway::over(&engines, layers);
    let calls: Vec<_> = (0..3).map(|_| spawn(&service)).collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 503]);
    engines.everywhere(|| Act::Hang);
    assert_eq!(ask(&service).await.code(), "upstream_timeout");
    assert_eq!((in_flight(&table), engines.under_way()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn above_a_buffer_with_a_rate_limit() {
    let (engines, table) = (Engines::default(), table());
    let inner = Gateway::new(stack(table.clone()).service(engines.service()));
    let service: Gateway = Gateway::new(
        ServiceBuilder::new()
            .layer(AnswerErrorsLayer::new())
            .layer(BufferLayer::new(16))
            .rate_limit(1, SECOND)
            .service(inner),
    );
    let calls: Vec<_> = (0..3).map(|_| spawn(&service)).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().status(), 200);
    }
    assert_eq!(in_flight(&table), 0);
}

#[tokio::test(start_paused = true)]
async fn above_tower_https_layers_in_axum() {
    let engines = Engines::default();
    let table = one_server(2, retries(1));
    let service = stack(table.clone()).service(engines.service());
    let app = Router::new().fallback_service(service).layer(
        ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .set_x_request_id(MakeRequestUuid)
            .propagate_x_request_id()
            .layer(CorsLayer::permissive())
            .layer(tower_http::timeout::TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                SECOND,
            ))
            .layer(CompressionLayer::new())
            .layer(RequestDecompressionLayer::new()),
    );
    let request = || {
        let request = Request::post("/v1/chat/completions")
            .header("origin", "https://x")
            .header("content-encoding", "gzip");
        request.body(Body::from(GZIPPED)).unwrap()
    };
    engines.next([status(503)]);
    let Ok(answer) = app.clone().oneshot(request()).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("x-request-id"));
    assert!(answer.headers().contains_key("access-control-allow-origin"));
    assert_eq!(
        answer
            .extensions()
            .get::<RouteDecision>()
            .unwrap()
            .attempts(),
        2
    );
    drop(answer);
    let attempts = engines.attempts();
    assert_eq!(attempts.len(), 2);
    for attempt in &attempts {
        assert_eq!(attempt.text(), r#"{"model":"real"}"#);
        assert_eq!(
            attempt.header("x-request-id"),
            attempts[0].header("x-request-id")
        );
    }
    engines.next([Act::Hang]);
    let Ok(answer) = within(app.oneshot(request())).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!((in_flight(&table), engines.under_way()), (0, 0));
}

/// `{"model":"asked"}` in gzip.
const GZIPPED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\xcd\x4f\x49\xcd\x51\xb2\x52\x4a\x2c\xce\x4e\x4d\x51\xaa\x05\x00\x51\x7b\x13\x07\x11\x00\x00\x00";
