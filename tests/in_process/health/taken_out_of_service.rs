//! Endpoints that are drained by hand.

use http::Request;
use test_kit::{
    engines::{Act, Engines, fails, status},
    gateway::{Gateway, Rig},
    paused::settle,
    request::{asked, chat_of},
    table::{endpoint, one_server, server, single, table},
};
use tokio::time::Instant;
use tower::ServiceExt;
use tower_model_route::{
    Balance, EndpointHealth, HashKey, HealthCheck, MistakeKind, ModelServer, RouteTableHandle,
    Rule, TrafficPolicy, stack,
};

use crate::{SECOND, telemetry::collect::collecting};

fn queueing() -> TrafficPolicy {
    TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(5)
        .queue_timeout(30 * SECOND)
}

fn handle(rig: &Rig) -> RouteTableHandle {
    RouteTableHandle::from(rig.table.clone())
}

#[tokio::test(start_paused = true)]
async fn it_gets_nothing_new_and_what_is_in_flight_ends() {
    let rig = Rig::one(2, TrafficPolicy::new());
    rig.engines.at("e0", [status(200).late(SECOND)]);
    let before = rig.spawn();
    settle().await;
    handle(&rig).drain("http://e0").unwrap();
    let drained = rig.endpoint("e0");
    assert_eq!(drained.health(), EndpointHealth::Draining);
    assert_eq!(
        (drained.health().as_str(), drained.in_flight()),
        ("draining", 1)
    );
    rig.engines.attempts();
    for _ in 0..20 {
        assert_eq!(rig.ask().await.status(), 200);
    }
    assert!(rig.engines.hosts().iter().all(|host| host == "e1"));
    assert_eq!(before.await.unwrap().status(), 200);
    assert_eq!(rig.endpoint("e0").in_flight(), 0);

    // The answer that has ended brings nothing back.
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Draining);
    handle(&rig).undrain("http://e0").unwrap();
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
    rig.ask().await;
    rig.ask().await;
    assert!(rig.engines.hosts().contains(&"e0".to_owned()));
}

/// Cordon means cordon: it is no last resort either, nor where a retry goes.
#[tokio::test(start_paused = true)]
async fn it_gets_nothing_where_nothing_else_is_healthy() {
    let rig = Rig::one(2, TrafficPolicy::new().max_retries(3));
    handle(&rig).drain("http://e0").unwrap();
    rig.engines.always("e1", || status(502));
    rig.eject("e1").await;
    assert_eq!(rig.endpoint("e1").health(), EndpointHealth::Ejected);
    for _ in 0..20 {
        assert_eq!(rig.ask().await.status(), 502);
    }
    assert!(rig.engines.hosts().iter().all(|host| host == "e1"));
}

#[tokio::test(start_paused = true)]
async fn it_gets_nothing_where_the_others_are_out_and_full() {
    let rig = Rig::one(2, TrafficPolicy::new().max_in_flight(1));
    handle(&rig).drain("http://e0").unwrap();
    rig.engines.at("e1", [(); 5].map(|()| status(502)));
    rig.eject("e1").await;
    rig.engines.at("e1", [Act::Hang]);
    let busy = rig.spawn();
    settle().await;
    assert_eq!(rig.ask().await.code(), "overloaded");
    assert!(!rig.engines.hosts().contains(&"e0".to_owned()));
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn a_request_with_nowhere_to_go_is_told_so_at_once() {
    for policy in [TrafficPolicy::new(), queueing()] {
        let rig = Rig::one(2, policy);
        handle(&rig).drain("http://e0").unwrap();
        handle(&rig).drain("http://e1").unwrap();
        let start = Instant::now();
        let answer = rig.ask().await;
        assert_eq!(
            (answer.status().as_u16(), answer.code()),
            (503, "no_endpoint".to_owned())
        );
        assert!(
            answer.text().contains("out of service"),
            "{}",
            answer.text()
        );
        assert!(answer.header("retry-after").is_some());
        assert_eq!(
            (start.elapsed().as_secs(), rig.engines.hosts().len()),
            (0, 0)
        );
        let (head, ()) = Request::post("/v1/chat/completions")
            .body(())
            .unwrap()
            .into_parts();
        let text = rig.table.explain(&head, "asked").to_string();
        assert!(text.contains("takes none now, draining"), "{text}");
        assert!(
            text.contains("503 no_endpoint") && text.contains("out of service"),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_target_leaves_its_share_to_the_others() {
    let servers = ["a", "b", "c"].map(|name| single(name, TrafficPolicy::new()));
    let rule = Rule::new("rule").target("a").target("b").fallback("c");
    let rig = Rig::new(table(servers, rule));
    handle(&rig).drain("http://a").unwrap();
    rig.ask().await;
    rig.ask().await;
    assert_eq!(rig.engines.hosts(), ["b", "b"]);
    handle(&rig).drain("http://b").unwrap();
    rig.ask().await;
    assert_eq!(rig.engines.hosts(), ["c"]);
}

/// A conversation moves on, and comes back.
#[tokio::test(start_paused = true)]
async fn an_affinity_goes_elsewhere_meanwhile() {
    let affine =
        server(3, TrafficPolicy::new()).balance(Balance::ConsistentHash(HashKey::User.into()));
    let rig = Rig::new(table([affine], Rule::new("rule").target("server")));
    let ask = async || {
        let chat = chat_of(r#"{"model": "asked", "user": "ada", "messages": []}"#);
        rig.send(chat).await;
        rig.engines.hosts().remove(0)
    };
    let home = ask().await;
    handle(&rig).drain(&format!("http://{home}")).unwrap();
    let elsewhere = ask().await;
    assert!(elsewhere != home && ask().await == elsewhere);
    handle(&rig).undrain(&format!("http://{home}")).unwrap();
    assert_eq!(ask().await, home);
}

#[tokio::test(start_paused = true)]
async fn a_queue_goes_on_when_it_is_back() {
    let rig = Rig::one(2, queueing());
    handle(&rig).drain("http://e0").unwrap();
    rig.engines.at("e1", [Act::Hang]);
    let busy = rig.spawn();
    settle().await;
    let (start, waiting) = (Instant::now(), rig.spawn());
    settle().await;
    assert_eq!(rig.engines.hosts(), ["e1"]);
    tokio::time::sleep(5 * SECOND).await;
    handle(&rig).undrain("http://e0").unwrap();
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(
        (start.elapsed().as_secs(), rig.engines.hosts()),
        (5, vec!["e0".to_owned()])
    );
    busy.abort();
}

/// One that is drained while requests wait for it gets none of them.
#[tokio::test(start_paused = true)]
async fn a_queue_passes_it_over() {
    let rig = Rig::one(1, queueing());
    rig.engines.at("e0", [status(200).late(SECOND)]);
    let busy = rig.spawn();
    settle().await;
    let waiting = rig.spawn();
    settle().await;
    handle(&rig).drain("http://e0").unwrap();
    assert_eq!(busy.await.unwrap().status(), 200);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(rig.engines.hosts(), ["e0"]);
    handle(&rig).undrain("http://e0").unwrap();
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn its_health_is_checked_meanwhile() {
    let rig = Rig::one(2, TrafficPolicy::new());
    let engines = Engines::default();
    engines.always("e0", fails);
    let checks = HealthCheck::new("/health").interval(SECOND);
    let checks = checks.start(rig.table.clone(), engines.service()).unwrap();
    handle(&rig).drain("http://e0").unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Draining);
    handle(&rig).undrain("http://e0").unwrap();
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Unhealthy);
    checks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_stays_so_through_reloads() {
    let handle = RouteTableHandle::new(one_server(2, TrafficPolicy::new()));
    let engines = Engines::default();
    let gateway = Gateway::over(&engines, stack(handle.clone()));
    let health = || endpoint(&handle.table(), "http://e0").health();
    handle.drain("http://e0").unwrap();
    handle.replace(one_server(3, TrafficPolicy::new().max_in_flight(9)));
    assert_eq!(health(), EndpointHealth::Draining);
    let own = ["http://e0", "http://e1", "http://e4"];
    handle.set_endpoints("server", own).unwrap();
    assert_eq!(health(), EndpointHealth::Draining);
    handle
        .update(|config| config.model_server(ModelServer::new("other").endpoint("http://e0:80/")))
        .unwrap();
    assert_eq!(health(), EndpointHealth::Draining);
    for _ in 0..20 {
        let Ok(answer) = gateway.clone().oneshot(asked()).await;
        assert_eq!(answer.status(), 200);
    }
    assert!(!engines.hosts().contains(&"e0".to_owned()));
    handle.undrain("http://e0").unwrap();
    assert_eq!(health(), EndpointHealth::Healthy);
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_named() {
    let handle = RouteTableHandle::new(one_server(1, TrafficPolicy::new()));
    for set in [RouteTableHandle::drain, RouteTableHandle::undrain] {
        // In any way of writing it, and as often as one likes.
        set(&handle, "HTTP://E0:80/").unwrap();
        set(&handle, "http://e0").unwrap();
        let error = set(&handle, "http://e1").unwrap_err();
        assert_eq!(*error.mistakes()[0].kind(), MistakeKind::UnknownEndpoint);
        let words = r#"endpoint "http://e1": no ModelServer has this endpoint"#;
        assert!(error.to_string().contains(words), "{error}");
        let error = set(&handle, "e0").unwrap_err();
        assert!(matches!(
            error.mistakes()[0].kind(),
            MistakeKind::InvalidEndpoint(_)
        ));
    }
    // A table as it was is not blamed for it.
    assert!(handle.last_error().is_none());
}

#[test]
fn the_log_says_it_once() {
    let (seen, _guard) = collecting();
    let handle = RouteTableHandle::new(one_server(1, TrafficPolicy::new()));
    for _ in 0..2 {
        handle.drain("http://e0").unwrap();
    }
    for _ in 0..2 {
        handle.undrain("http://e0").unwrap();
    }
    let events = seen.events();
    let said = |n: usize, field| events[n].fields.get(field);
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(said(0, "message"), Some("endpoint is draining"));
    assert_eq!(said(1, "message"), Some("endpoint takes requests again"));
    assert_eq!(said(1, "endpoint"), Some("http://e0"));
}
