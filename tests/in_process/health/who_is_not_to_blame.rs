//! What says nothing of an endpoint, and what says more than it seems.

use std::{io, time::Duration};

use axum::body::Body;
use test_kit::{
    answer::Answer,
    body::{script, script_of},
    engines::{Act, answers, fails, resets, status},
    gateway::{Gateway, Rig},
    paused::{settle, within},
    request::{asked, chat, chat_of},
    table::{one_server, single, table},
};
use tower::{ServiceBuilder, ServiceExt, load_shed::LoadShedLayer, timeout::TimeoutLayer};
use tower_model_route::{
    AnswerErrorsLayer, EndpointHealth, ModelRouteLayer, OutlierDetection, Rule, TrafficPolicy,
};

use crate::SECOND;

fn strict() -> TrafficPolicy {
    TrafficPolicy::new().outlier_detection(OutlierDetection::new().consecutive_failures(1))
}

/// A vLLM says so without `Retry-After`.
const BUSY: &str = r#"{"error":{"message":"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.","type":"Service Unavailable","param":null,"code":503}}"#;

fn json(status: u16, text: &str) -> Act {
    let (script, body) = script_of(Some(text.len() as u64));
    script.send(text).end();
    answers(status, body).header("content-type", "application/json")
}

fn busy() -> Act {
    json(503, BUSY)
}

#[tokio::test(start_paused = true)]
async fn the_engine_answers_early_and_the_client_fails() {
    let rig = Rig::one(1, strict());
    let (answer_body, scripted) = script();
    rig.engines.next([answers(200, scripted).at_a_glance()]);
    let (client, upload) = script();
    client.data(r#"{"model":"asked","#);
    let answer = rig.send(chat(Body::new(upload))).await;
    assert_eq!(answer.status(), 200);
    // The connection to the engine breaks because the client names a second model.
    client.data(r#""model":"other"}"#).end();
    answer_body.fail("user body write aborted");
    assert!(Answer::of(answer).await.body.is_err());
    let endpoint = rig.endpoint("e0");
    assert_eq!((endpoint.failures(), endpoint.ejections()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_failure_after_a_thousand_successes_is_one_failure() {
    let rig = Rig::one(1, TrafficPolicy::new());
    rig.engines.next((0..4).map(|_| status(502)));
    for _ in 0..4 {
        assert_eq!(rig.ask().await.status(), 502);
    }
    let (body, scripted) = script();
    rig.engines.next([answers(200, scripted)]);
    let stream = rig.answer().await;
    body.data("begun");
    for _ in 0..1000 {
        assert_eq!(rig.ask().await.status(), 200);
    }
    body.fail("reset");
    assert!(Answer::of(stream).await.body.is_err());
    let endpoint = rig.endpoint("e0");
    assert_eq!(
        (endpoint.consecutive_failures(), endpoint.ejections()),
        (1, 0)
    );
}

/// Its head alone is no success for long.
#[tokio::test(start_paused = true)]
async fn an_engine_that_breaks_off_every_answer_is_ejected() {
    let rig = Rig::one(1, TrafficPolicy::new());
    for _ in 0..5 {
        let (body, scripted) = script();
        body.data("half").fail("reset");
        rig.engines.next([answers(200, scripted)]);
        rig.ask().await;
    }
    assert_eq!(rig.endpoint("e0").ejections(), 1);
}

#[tokio::test(start_paused = true)]
async fn too_little_time_is_left() {
    let policy = strict()
        .total_timeout(10 * SECOND)
        .max_retries(1)
        .retry_interval(Duration::ZERO);
    let rig = Rig::one(2, policy);
    rig.engines
        .at("e0", [status(502).late(Duration::from_millis(9950))]);
    rig.engines
        .always("e1", || status(200).late(Duration::from_millis(50)));
    while rig.endpoint("e0").requests() == 0 {
        rig.ask().await;
    }
    rig.engines.attempts();
    assert_eq!(rig.endpoint("e1").failures(), 0);
    // An attempt that the total timeout ends is not begun to blame.
    rig.engines.next([Act::Hang]);
    assert_eq!(rig.ask().await.status(), 504);
    assert_eq!(rig.endpoint("e1").failures(), 0);
}

/// An attempt that can't come to its end is not begun.
#[tokio::test(start_paused = true)]
async fn the_queue_has_left_a_first_attempt_too_little_time() {
    let left = Duration::from_millis(50);
    let policy = strict()
        .max_in_flight(1)
        .max_queue(1)
        .queue_timeout(100 * SECOND)
        .timeout(3 * SECOND)
        .total_timeout(10 * SECOND);
    let rig = Rig::one(1, policy);
    let (held, scripted) = script();
    rig.engines.next([answers(200, scripted)]);
    let first = rig.answer().await;
    let call = rig.spawn();
    tokio::time::sleep(10 * SECOND - left).await;
    held.end();
    Answer::of(first).await;
    assert_eq!(call.await.unwrap().status(), 503);
    let endpoint = rig.endpoint("e0");
    assert_eq!((endpoint.requests(), endpoint.failures()), (1, 0));
    assert_eq!(endpoint.health(), EndpointHealth::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_the_caller_refuses_or_gives_up() {
    let engines = test_kit::engines::Engines::default();
    engines.everywhere(|| Act::Hang);
    let limits_of_the_caller = [
        Gateway::over(&engines, {
            ServiceBuilder::new()
                .layer(ModelRouteLayer::new(one_server(1, strict())))
                .layer(AnswerErrorsLayer::new())
                .layer(TimeoutLayer::new(SECOND))
        }),
        Gateway::over(&engines, {
            ServiceBuilder::new()
                .layer(ModelRouteLayer::new(one_server(1, strict())))
                .layer(AnswerErrorsLayer::new())
                .layer(LoadShedLayer::new())
                .concurrency_limit(0)
        }),
    ];
    for gateway in limits_of_the_caller {
        let Ok(answer) = within(gateway.oneshot(asked())).await;
        assert!(answer.status().is_server_error());
    }
    // Without AnswerErrors, the error itself.
    let table = one_server(1, strict());
    let service = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(TimeoutLayer::new(SECOND))
        .service(engines.service());
    for _ in 0..3 {
        assert!(service.clone().oneshot(asked()).await.is_err());
    }
    let endpoint = test_kit::table::endpoint(&table, "http://e0");
    assert_eq!((endpoint.failures(), endpoint.ejections()), (0, 0));
}

/// EMFILE, ENFILE, no port, no memory.
#[tokio::test(start_paused = true)]
async fn the_gateway_itself_is_short_of_something() {
    let shortages: [fn() -> io::Error; 4] = [
        || io::Error::from_raw_os_error(24),
        || io::Error::from_raw_os_error(23),
        || io::ErrorKind::AddrNotAvailable.into(),
        || io::ErrorKind::OutOfMemory.into(),
    ];
    for shortage in shortages {
        let rig = Rig::one(1, strict());
        rig.engines.next([Act::Fail(shortage().into())]);
        assert_eq!(rig.ask().await.code(), "overloaded");
        assert_eq!(rig.endpoint("e0").failures(), 0, "{}", shortage());
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_busy_is_set_aside_for_a_second() {
    let rig = Rig::one(2, strict());
    rig.engines.next([busy()]);
    let answer = rig.ask().await;
    assert_eq!((answer.status().as_u16(), answer.text()), (503, BUSY));
    let host = rig.engines.hosts().remove(0);
    assert_eq!(rig.endpoint(&host).health(), EndpointHealth::Cooling);
    assert_eq!(rig.endpoint(&host).failures(), 0);
    for _ in 0..20 {
        assert_eq!(rig.ask().await.status(), 200);
    }
    assert!(!rig.engines.hosts().contains(&host));
    tokio::time::sleep(SECOND).await;
    assert_eq!(rig.endpoint(&host).health(), EndpointHealth::Healthy);
    // Any other 503 is a failure.
    rig.engines
        .next([json(503, r#"{"error":{"message":"EngineCore has died"}}"#)]);
    rig.ask().await;
    let failures: u64 = ["e0", "e1"]
        .map(|host| rig.endpoint(host).failures())
        .iter()
        .sum();
    assert_eq!(failures, 1);
}

/// As a vLLM does while it drains: `cannot schedule new futures after shutdown`.
#[tokio::test(start_paused = true)]
async fn a_500_counts_where_another_endpoint_answers_the_request() {
    let rig = Rig::one(2, TrafficPolicy::new().max_retries(1));
    rig.engines.always("e0", || status(500));
    for _ in 0..100 {
        assert_eq!(rig.ask().await.status(), 200);
        tokio::time::sleep(SECOND / 2).await;
    }
    assert!(rig.endpoint("e0").ejections() >= 1);
    assert_eq!(rig.endpoint("e1").failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_answered_500_everywhere_is_itself_at_fault() {
    let rig = Rig::one(2, strict().max_retries(1));
    rig.engines.everywhere(|| status(500));
    for _ in 0..10 {
        assert_eq!(rig.ask().await.status(), 500);
    }
    for host in ["e0", "e1"] {
        assert_eq!(rig.endpoint(host).failures(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_500_that_is_not_retried_counts_once_for_each_body() {
    let detection = OutlierDetection::new().consecutive_failures(3);
    let rig = Rig::one(1, TrafficPolicy::new().outlier_detection(detection));
    rig.engines.everywhere(|| status(500));
    let ask = async |text: &str| {
        let body = format!(r#"{{"model":"asked","prompt":"{text}"}}"#);
        rig.send(chat_of(body)).await
    };
    for _ in 0..10 {
        ask("poison").await;
    }
    let endpoint = rig.endpoint("e0");
    assert_eq!((endpoint.failures(), endpoint.ejections()), (1, 0));
    ask("other").await;
    ask("third").await;
    let endpoint = rig.endpoint("e0");
    assert_eq!((endpoint.failures(), endpoint.ejections()), (3, 1));
    // A success begins anew.
    rig.engines.next([status(200)]);
    ask("good").await;
    ask("poison").await;
    assert_eq!(rig.endpoint("e0").failures(), 4);
}

/// One engine, two names: what is known of it by one is known by the other.
#[tokio::test(start_paused = true)]
async fn two_model_servers_of_one_engine_share_what_is_known_of_it() {
    let policy = strict().max_in_flight(1).max_queue(1);
    let rig = Rig::new(table(
        [
            tower_model_route::ModelServer::new("base")
                .endpoint("http://shared")
                .traffic_policy(policy.clone()),
            tower_model_route::ModelServer::new("chat")
                .endpoint("http://shared")
                .endpoint("http://own")
                .traffic_policy(policy),
            single("other", TrafficPolicy::new()),
        ],
        Rule::new("rule").target("base").fallback("chat"),
    ));
    rig.engines.at("shared", [status(200).late(SECOND)]);
    let first = rig.spawn();
    settle().await;
    let servers = rig.table.servers();
    let in_flight = |server: usize| servers[server].endpoints()[0].in_flight();
    assert_eq!((in_flight(0), in_flight(1)), (1, 1));
    // Full for the one is full for the other.
    assert_eq!(rig.ask().await.decision().endpoint(), "http://own");
    assert_eq!(first.await.unwrap().status(), 200);
    rig.engines.at("shared", [resets(), fails()]);
    rig.ask().await;
}
