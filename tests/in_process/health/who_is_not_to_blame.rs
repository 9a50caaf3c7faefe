//! What says nothing of an endpoint, and what says more than it seems.

use std::{io, time::Duration};

use axum::body::Body;
use http::{Request, Response};
use test_kit::{
    answer::Answer,
    body::{script, script_of},
    engines::{Act, Engines, answers, fails, resets, status},
    gateway::{Gateway, Rig},
    paused::{settle, within},
    request::{asked, chat, chat_of},
    table::{failures, one_server, single, table},
};
use tower::{
    BoxError, Layer, ServiceBuilder, ServiceExt,
    buffer::Buffer,
    load_shed::{LoadShedLayer, error::Overloaded},
    service_fn,
    timeout::TimeoutLayer,
};
use tower_model_route::{
    AnswerErrorsLayer, ConnectionFailure, ConnectionFailureKind::NotConnected, EndpointHealth,
    ModelRoute, ModelRouteLayer, ModelServer, OutlierDetection, RouteBody, RouteError,
    RouteErrorKind, RouteTable, Rule, TrafficPolicy, stack,
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
    let engines = Engines::default();
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
        // As any client says it, and as the crate's own does.
        let of_connection = ConnectionFailure::new(NotConnected, shortage());
        for error in [shortage().into(), of_connection.into()] {
            let rig = Rig::one(1, strict());
            rig.engines.next([Act::Fail(error)]);
            assert_eq!(rig.ask().await.code(), "overloaded");
            assert_eq!(failures(&rig.table), 0, "{}", shortage());
        }
    }
    // What the engine's machine or the way to it lacks is none of the gateway's.
    for kind in [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::PermissionDenied,
    ] {
        let rig = Rig::one(1, strict());
        let error = ConnectionFailure::new(NotConnected, io::Error::from(kind));
        rig.engines.next([Act::Fail(error.into())]);
        assert_eq!(rig.ask().await.code(), "upstream_unreachable");
        assert_eq!(failures(&rig.table), 1, "{kind:?}");
    }
}

/// The errors themselves, of whatever layer is below.
#[tokio::test(start_paused = true)]
async fn a_full_or_closed_layer_of_the_caller() {
    let refusals: [fn() -> BoxError; 2] = [
        || Overloaded::new().into(),
        || io::Error::other(Overloaded::new()).into(),
    ];
    for refusal in refusals {
        let rig = Rig::one(1, strict());
        for _ in 0..28 {
            rig.engines.next([Act::Fail(refusal())]);
            let answer = rig.ask().await;
            assert_eq!(
                (answer.status().as_u16(), &*answer.code()),
                (503, "overloaded")
            );
        }
        let endpoint = rig.endpoint("e0");
        assert_eq!((endpoint.failures(), endpoint.ejections()), (0, 0));
        assert_eq!(rig.ask().await.status(), 200);
    }
    let table = one_server(1, strict());
    let (closed, worker) = Buffer::pair(Engines::default().service(), 1);
    drop(worker);
    let gateway = Gateway::new(stack(table.clone()).service(closed));
    for _ in 0..28 {
        let Ok(answer) = within(gateway.clone().oneshot(asked())).await;
        let answer = Answer::of(answer).await;
        assert_eq!(
            (answer.status().as_u16(), &*answer.code()),
            (503, "overloaded")
        );
    }
    assert_eq!(failures(&table), 0);
}

/// A filter or a circuit breaker says why with a `RouteError`, which the client reads.
#[tokio::test(start_paused = true)]
async fn a_layer_of_the_caller_that_refuses_with_an_error_of_ours() {
    for (kind, attempts) in [
        (RouteErrorKind::Forbidden, 1),
        (RouteErrorKind::RateLimited, 1),
        (RouteErrorKind::BodyTooLarge, 1),
        // Another engine may have room.
        (RouteErrorKind::Overloaded, 2),
    ] {
        let refusal = || RouteError::new(kind, "not now");
        let is_wrapped: [fn(RouteError) -> BoxError; 2] =
            [|error| error.into(), |error| io::Error::other(error).into()];
        for (wrapped, status) in is_wrapped.into_iter().zip([Some(kind.status()), None]) {
            let policy = strict().max_retries(1).retry_interval(Duration::ZERO);
            let rig = Rig::one(2, policy);
            for _ in 0..10 {
                let refusals = (0..attempts).map(|_| Act::Fail(wrapped(refusal())));
                rig.engines.next(refusals);
                let answer = rig.ask().await;
                if let Some(status) = status {
                    assert_eq!(answer.status(), status);
                    assert!(answer.text().contains("not now"), "{}", answer.text());
                }
                assert_eq!(rig.engines.attempts().len(), attempts, "{kind:?}");
            }
            assert_eq!(failures(&rig.table), 0, "{kind:?}");
        }
    }
    // What such an error says of the engine still counts.
    for kind in [
        RouteErrorKind::UpstreamUnreachable,
        RouteErrorKind::UpstreamTimeout,
    ] {
        let rig = Rig::one(1, strict());
        let error = RouteError::new(kind, "gone");
        rig.engines.next([Act::Fail(error.into())]);
        assert_eq!(rig.ask().await.status(), kind.status());
        assert_eq!(failures(&rig.table), 1, "{kind:?}");
    }
}

/// Nor where nothing but the layer that routes is there to see it.
#[tokio::test(start_paused = true)]
async fn a_service_whose_error_is_one_of_ours() {
    let table = one_server(1, strict());
    let refuses = service_fn(|_: Request<RouteBody>| async {
        let error = RouteError::new(RouteErrorKind::Forbidden, "not you");
        Err::<Response<Body>, _>(error)
    });
    let service = ModelRouteLayer::new(table.clone()).layer(refuses);
    for _ in 0..3 {
        assert!(service.clone().oneshot(asked()).await.is_err());
    }
    assert_eq!(failures(&table), 0);
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

/// A JSON body of at most 4 KiB is read for it, and passed on as it was.
#[tokio::test(start_paused = true)]
async fn only_a_short_answer_in_json_says_that_it_is_busy() {
    let busy = |bytes: usize| {
        let begin = r#"{"error":{"message":"busy"},"more":""#;
        format!(r#"{begin}{}"}}"#, "x".repeat(bytes - begin.len() - 2))
    };
    let plain = |text: &str| json(503, text).header("content-type", "text/plain");
    let unknown_length = |text: &str| {
        let (script, body) = script();
        script.send(text).end();
        answers(503, body).header("content-type", "application/json")
    };
    for (act, text, failed) in [
        (json(503, &busy(4096)), busy(4096), 0),
        (json(503, &busy(4097)), busy(4097), 1),
        (json(503, &busy(100)), busy(100), 0),
        (plain(&busy(100)), busy(100), 1),
        (unknown_length(&busy(100)), busy(100), 1),
        (json(500, &busy(100)), busy(100), 1),
        (json(503, ""), String::new(), 1),
    ] {
        let rig = Rig::one(1, strict());
        rig.engines.next([act]);
        let answer = rig.ask().await;
        assert!(answer.status().is_server_error());
        assert_eq!(answer.text(), text);
        assert_eq!(failures(&rig.table), failed, "{} bytes", text.len());
    }
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
            ModelServer::new("base")
                .endpoint("http://shared")
                .traffic_policy(policy.clone()),
            ModelServer::new("chat")
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

/// It is one engine: each compares its count with a limit of its own, and judges it by its own
/// policy.
#[tokio::test(start_paused = true)]
async fn and_each_has_its_own_limit_and_patience() {
    let server = |name: &str, limit: usize, failures: u32| {
        let detection = OutlierDetection::new().consecutive_failures(failures);
        let policy = TrafficPolicy::new()
            .max_in_flight(limit)
            .max_queue(1)
            .queue_timeout(100 * SECOND)
            .outlier_detection(detection);
        ModelServer::new(name)
            .endpoint("http://shared")
            .traffic_policy(policy)
    };
    let route = |name: &str| {
        let rule = Rule::new("rule").target(name);
        ModelRoute::new(name).model_name(name).rule(rule)
    };
    let table = RouteTable::builder()
        .model_server(server("patient", 3, 10))
        .model_server(server("strict", 1, 2))
        .model_route(route("patient"))
        .model_route(route("strict"));
    let rig = Rig::new(table.build().unwrap());
    let ask = |model: &str| {
        let request = chat_of(format!(r#"{{"model":"{model}"}}"#));
        let gateway = rig.gateway.clone();
        tokio::spawn(async move {
            let Ok(answer) = gateway.oneshot(request).await;
            Answer::of(answer).await.status().as_u16()
        })
    };
    // Two are there: the one takes a third, and with the other it waits.
    let (held, scripted): (Vec<_>, Vec<_>) = (0..3).map(|_| script()).unzip();
    rig.engines
        .next(scripted.into_iter().map(|body| answers(200, body)));
    let first = [ask("patient"), ask("patient")];
    settle().await;
    let waits = ask("strict");
    settle().await;
    assert_eq!(rig.engines.attempts().len(), 2);
    let third = ask("patient");
    settle().await;
    assert_eq!(rig.engines.attempts().len(), 1);
    // Slots that requests of the one leave wake who waits with the other, once it has room.
    held[0].end();
    held[1].end();
    settle().await;
    assert!(!waits.is_finished());
    assert_eq!(rig.engines.attempts().len(), 0);
    held[2].end();
    assert_eq!(within(waits).await.unwrap(), 200);
    for ended in first.into_iter().chain([third]) {
        assert_eq!(within(ended).await.unwrap(), 200);
    }
    // The second failure in a row ejects it by the policy of the one, whoever met the first.
    rig.engines.at("shared", [status(502), status(502)]);
    within(ask("patient")).await.unwrap();
    assert_eq!(rig.endpoint("shared").ejections(), 0);
    within(ask("strict")).await.unwrap();
    assert_eq!(rig.endpoint("shared").ejections(), 1);
}
