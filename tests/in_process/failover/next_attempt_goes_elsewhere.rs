//! Where the next attempt goes.

use http::Request;
use test_kit::{
    engines::{Engines, fails, says, status},
    gateway::{Gateway, Rig},
    request::{ASKED, asked},
    table::{endpoint, in_flight, one_server, retries, server, single, table},
};
use tower::{ServiceBuilder, ServiceExt};
use tower_model_route::{
    AnswerErrorsLayer, AttemptTimeoutLayer, Balance, Failover, ModelRouteLayer, ModelServer,
    OutlierDetection, PrefixCache, RouteTable, Rule, TargetModel,
};

use crate::SECOND;

fn weighted(name: &str, weight: u32) -> TargetModel {
    TargetModel::new(name).weight(weight)
}

#[tokio::test(start_paused = true)]
async fn the_same_servers_endpoints_then_the_heaviest_targets_then_the_fallbacks() {
    let many = |name: &str| {
        ModelServer::new(name)
            .endpoints((0..3).map(|n| format!("http://{name}{n}")))
            .traffic_policy(retries(20))
    };
    // The first to be chosen is the one that alone has a weight.
    let rule = Rule::new("rule")
        .target(weighted("zero", 0))
        .target(weighted("light", 1))
        .target(weighted("heavy", 100))
        .target(weighted("middle", 50))
        .fallback("second")
        .fallback("first");
    let servers = ["zero", "light", "heavy", "middle", "first", "second"].map(many);
    let rig = Rig::new(table(servers, rule));
    rig.engines.everywhere(|| status(503));
    // No more often than the budget of retries allows.
    for _ in 0..5 {
        let answer = rig.ask().await;
        assert_eq!(answer.decision().attempts(), 18);
        assert!(answer.decision().is_fallback());
        let hosts = rig.engines.hosts();
        let servers: Vec<&str> = hosts
            .chunks(3)
            .map(|of| of[0].trim_end_matches(char::is_numeric))
            .collect();
        for of in hosts.chunks(3) {
            let server = of[0].trim_end_matches(char::is_numeric);
            assert!(of.iter().all(|host| host.starts_with(server)), "{hosts:?}");
        }
        // Whatever target's turn it was, the others follow by weight.
        let mut expected = vec!["heavy", "middle", "light", "zero"];
        expected.retain(|&server| server != servers[0]);
        expected.insert(0, servers[0]);
        expected.extend(["second", "first"]);
        assert_eq!(servers, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_servers_policy_says_how_often() {
    let rule = Rule::new("rule")
        .target("patient")
        .fallback("b")
        .fallback("c");
    let servers = [
        single("patient", retries(1)),
        single("b", retries(9)),
        single("c", retries(9)),
    ];
    let rig = Rig::new(table(servers, rule));
    rig.engines.everywhere(|| status(503));
    rig.ask().await;
    assert_eq!(rig.engines.hosts(), ["patient", "b"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_sound_comes_before_what_is_not() {
    // `a1` is ejected: from `a0` the request goes to `b` first.
    let detection = OutlierDetection::new()
        .consecutive_failures(1)
        .base_ejection_time(100 * SECOND)
        .max_ejection_percent(100);
    let policy = retries(5).outlier_detection(detection);
    let a = ModelServer::new("a")
        .endpoints(["http://a0", "http://a1"])
        .traffic_policy(policy);
    let rule = Rule::new("rule").target("a").fallback("b");
    let rig = Rig::new(table([a, single("b", retries(5))], rule));
    rig.engines.always("a1", fails);
    rig.eject("a1").await;
    rig.engines.attempts();
    rig.engines.everywhere(|| status(503));
    rig.ask().await;
    assert_eq!(rig.engines.hosts(), ["a0", "b", "a1"]);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_the_uri_the_host_and_the_length_of_its_endpoint() {
    let server = |name: &str, model: Option<&str>, uri: &str| {
        let server = ModelServer::new(name)
            .endpoint(uri)
            .traffic_policy(retries(5));
        match model {
            Some(model) => server.model(model),
            None => server,
        }
    };
    let servers = [
        server(
            "a",
            Some("a much longer name than that"),
            "http://A:80/x/y/",
        ),
        server("b", None, "https://b:8443"),
        server("c", Some("c"), "http://[::1]:8000/v"),
        server("d", Some("quote\" \\ and ä"), "http://d"),
    ];
    let rule = Rule::new("rule")
        .target("a")
        .fallback("b")
        .fallback("c")
        .fallback("d");
    let rig = Rig::new(table(servers, rule));
    rig.engines.everywhere(|| status(503));
    let request = Request::post("/v1/chat/completions?a=%20b")
        .header("host", "gateway")
        .header("content-length", ASKED.len())
        .header("authorization", "Bearer x")
        .body(axum::body::Body::from(ASKED))
        .unwrap();
    rig.send(request).await;
    let path = "/v1/chat/completions?a=%20b";
    let expected = [
        (
            format!("http://a/x/y{path}"),
            "a",
            r#""a much longer name than that""#,
        ),
        (format!("https://b:8443{path}"), "b:8443", r#""asked""#),
        (format!("http://[::1]:8000/v{path}"), "[::1]:8000", r#""c""#),
        (format!("http://d{path}"), "d", r#""quote\" \\ and ä""#),
    ];
    let attempts = rig.engines.attempts();
    assert_eq!(attempts.len(), expected.len());
    for (attempt, (uri, host, model)) in attempts.iter().zip(expected) {
        assert_eq!(attempt.head.uri, *uri);
        assert_eq!(attempt.host(), host);
        assert_eq!(
            attempt.text(),
            format!(r#"{{"model":{model},"messages":[]}}"#)
        );
        assert_eq!(
            attempt.header("content-length"),
            Some(&*attempt.text().len().to_string())
        );
        assert_eq!(attempt.header("authorization"), Some("Bearer x"));
        assert_eq!(attempt.head.headers.get_all("host").iter().count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_decision_is_true_of_each_attempt_and_of_the_answer() {
    let servers = [
        single("a", retries(5)),
        single("b", retries(5)),
        single("c", retries(5)),
    ];
    let rule = Rule::new("rule")
        .target(weighted("a", 1))
        .target(weighted("b", 0))
        .fallback("c");
    let rig = Rig::new(table(servers, rule));
    rig.engines
        .next([status(503), fails(), says(200, "from c")]);
    let answer = rig.send(asked()).await;
    let attempts = rig.engines.attempts();
    for (n, (attempt, name)) in (1..).zip(attempts.iter().zip(["a", "b", "c"])) {
        let decision = attempt.decision();
        assert_eq!(decision.attempts(), n);
        assert_eq!(decision.target() as u32, n - 1);
        assert_eq!(decision.endpoint(), format!("http://{name}"));
        assert_eq!(decision.model_server(), name);
        assert_eq!(decision.engine_model(), format!("{name}-model"));
        assert_eq!(decision.requested_model(), "asked");
        assert_eq!(decision.is_fallback(), name == "c");
    }
    let decision: &tower_model_route::RouteDecision = answer.extensions().get().unwrap();
    assert_eq!((decision.attempts(), decision.endpoint()), (3, "http://c"));
    assert!(decision.is_fallback());
    assert_eq!((decision.route(), decision.rule()), ("route", "rule"));
}

/// Three endpoints: one fails and a second is ejected while the retry waits.
fn three() -> RouteTable {
    let detection = OutlierDetection::new()
        .consecutive_failures(1)
        .base_ejection_time(100 * SECOND)
        .max_ejection_percent(100);
    let policy = retries(1)
        .retry_interval(10 * SECOND)
        .max_retry_interval(10 * SECOND)
        .outlier_detection(detection);
    one_server(3, policy)
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_is_chosen_at_the_end_of_the_interval() {
    let rig = Rig::new(three());
    let failing = || status(503);
    rig.engines.next([failing(), failing()]);
    let first = rig.spawn();
    tokio::time::sleep(SECOND).await;
    // While it waits it takes no place at another engine.
    let [failed] = &rig.engines.hosts()[..] else {
        panic!("one attempt");
    };
    assert_eq!(rig.in_flight(), rig.endpoint(failed).in_flight());
    let second = rig.spawn();
    tokio::time::sleep(SECOND).await;
    let failed = [failed.clone(), rig.engines.hosts().remove(0)];
    assert_ne!(failed[0], failed[1]);
    for call in [first, second] {
        assert_eq!(call.await.unwrap().status(), 200);
    }
    let sent_again = rig.engines.hosts();
    assert_eq!(sent_again.len(), 2);
    for host in sent_again {
        assert!(!failed.contains(&host), "{host} was ejected meanwhile");
    }
}

#[tokio::test(start_paused = true)]
async fn as_a_policy_of_tower_it_is_chosen_before_the_interval() {
    let engines = Engines::default();
    let table = three();
    let layers = ServiceBuilder::new()
        .layer(ModelRouteLayer::new(table.clone()))
        .layer(AnswerErrorsLayer::new())
        .retry(Failover::new())
        .layer(AttemptTimeoutLayer::new());
    let gateway = Gateway::new(layers.service(engines.service()));
    engines.next([status(503)]);
    let call = tokio::spawn(gateway.oneshot(asked()));
    tokio::time::sleep(SECOND).await;
    let failed = format!("http://{}", engines.hosts()[0]);
    assert_eq!(in_flight(&table), 1);
    let at_the_failed = endpoint(&table, &failed).in_flight();
    assert_eq!(at_the_failed, 0, "its next place is taken while it waits");
    let Ok(answer) = call.await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// What stands side by side in a list often ends together: the Pods of a rollout, of a node.
#[tokio::test(start_paused = true)]
async fn neighbours_are_not_asked_one_after_the_other() {
    for balance in [
        Balance::LeastRequest,
        Balance::LeastTokens,
        Balance::RoundRobin,
        Balance::PeakEwma,
        Balance::PrefixCache(PrefixCache::new()),
    ] {
        let server = server(1000, retries(4)).balance(balance.clone());
        let rig = Rig::new(table([server], Rule::new("rule").target("server")));
        for n in 0..6 {
            rig.engines.always(&format!("e{n}"), || status(503));
        }
        let answer = rig.ask().await;
        let hosts = rig.engines.hosts();
        assert_eq!(
            (&*hosts[0], answer.status()),
            ("e0", 200.try_into().unwrap()),
            "{balance:?}: {hosts:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn retries_take_no_turn_of_the_endpoints() {
    let rig = Rig::new(one_server(20, retries(1)));
    for n in 0..20 {
        if n % 3 == 0 {
            rig.engines.next([status(503)]);
        }
        rig.ask().await;
        assert_eq!(rig.engines.hosts()[0], format!("e{n}"));
    }
}
