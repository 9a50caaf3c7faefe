//! Endpoints that are asked how they are.

use std::time::Duration;

use http::{Request, Response};
use test_kit::{
    engines::{Act, Engines, fails, status},
    gateway::Rig,
    table::{one_server, table},
};
use tower_model_route::{
    EndpointHealth, ForModelServer, HealthCheck, MistakeKind, ModelServer, RouteBody, Rule,
    TrafficPolicy,
};

use crate::SECOND;

/// Two endpoints, and engines of their own for the checks.
fn rig() -> (Rig, Engines) {
    (
        Rig::new(one_server(2, TrafficPolicy::new())),
        Engines::default(),
    )
}

fn checks() -> HealthCheck {
    HealthCheck::new("/health?deep=1")
        .interval(10 * SECOND)
        .timeout(SECOND)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_before_it_is_started_nor_after_it_was_stopped() {
    let (rig, engines) = rig();
    let checks = checks();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(engines.attempts().len(), 0);
    let handle = checks
        .clone()
        .start(rig.table.clone(), engines.service())
        .unwrap();
    tokio::time::sleep(25 * SECOND).await;
    let attempts = engines.attempts();
    assert_eq!(attempts.len(), 6, "two endpoints, at 0, 10 and 20 seconds");
    assert_eq!(attempts[0].head.method, "GET");
    let mut uris: Vec<_> = attempts[..2]
        .iter()
        .map(|attempt| attempt.head.uri.to_string())
        .collect();
    uris.sort();
    assert_eq!(uris, ["http://e0/health?deep=1", "http://e1/health?deep=1"]);
    handle.stop().await;
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(engines.attempts().len(), 0);

    drop(checks.start(rig.table.clone(), engines.service()).unwrap());
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(engines.attempts().len(), 0);
    // No request of these counts as one of the clients'.
    assert_eq!((rig.endpoint("e0").requests(), rig.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_and_it_is_out_two_passes_and_it_is_back() {
    for failure in [
        fails,
        || status(500),
        || status(404),
        || status(302),
        || Act::Hang,
    ] {
        let (rig, engines) = rig();
        // Two failures are not three; then three, a pass, a failure, two passes.
        engines.at("e0", [failure(), failure(), status(204)]);
        engines.at(
            "e0",
            [failure(), failure(), failure(), status(200), failure()],
        );
        let handle = checks()
            .start(rig.table.clone(), engines.service())
            .unwrap();
        use EndpointHealth::{Healthy, Unhealthy};
        for (round, expected) in [
            Healthy, Healthy, Healthy, Healthy, Healthy, Unhealthy, Unhealthy, Unhealthy,
            Unhealthy, Healthy,
        ]
        .into_iter()
        .enumerate()
        {
            tokio::time::sleep(5 * SECOND).await;
            assert_eq!(rig.endpoint("e0").health(), expected, "round {round}");
            assert_eq!(rig.endpoint("e1").health(), Healthy);
            for _ in 0..10 {
                rig.ask().await;
            }
            let hosts = rig.engines.hosts();
            assert_eq!(hosts.iter().any(|host| host == "e0"), expected == Healthy);
            tokio::time::sleep(5 * SECOND).await;
        }
        handle.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_thresholds_can_be_set_and_stopping_clears_what_was_said() {
    for drops in [false, true] {
        let (rig, engines) = rig();
        engines.everywhere(fails);
        let check = checks().unhealthy_after(1).healthy_after(1);
        let handle = check.start(rig.table.clone(), engines.service()).unwrap();
        tokio::time::sleep(SECOND).await;
        for host in ["e0", "e1"] {
            assert_eq!(rig.endpoint(host).health(), EndpointHealth::Unhealthy);
        }
        // Both are down: better one of them than nothing.
        assert_eq!(rig.ask().await.status(), 200);
        engines.at("e0", [status(200)]);
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
        if drops {
            drop(handle);
            tokio::time::sleep(SECOND).await;
        } else {
            handle.stop().await;
        }
        assert_eq!(rig.endpoint("e1").health(), EndpointHealth::Healthy);
    }
}

#[tokio::test(start_paused = true)]
async fn the_path_comes_after_the_endpoints_prefix() {
    let server = ModelServer::new("server").endpoint("http://e0:80/a/b/");
    let table = table([server], Rule::new("rule").target("server"));
    let engines = Engines::default();
    let _handle = HealthCheck::new("/health")
        .start(table, engines.service())
        .unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(engines.attempts()[0].head.uri, "http://e0/a/b/health");
}

#[tokio::test(start_paused = true)]
async fn no_setting_breaks_the_task() {
    let (rig, engines) = rig();
    engines.everywhere(fails);
    let handle = HealthCheck::new("/")
        .interval(Duration::ZERO)
        .timeout(Duration::MAX)
        .unhealthy_after(1)
        .healthy_after(u32::MAX)
        .start(rig.table.clone(), engines.service())
        .unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Unhealthy);
    handle.stop().await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);

    let client =
        tower::service_fn(async |_: Request<RouteBody>| Ok::<_, std::io::Error>(Response::new(())));
    let handle = HealthCheck::new("/")
        .timeout(Duration::MAX)
        .start(rig.table.clone(), client)
        .unwrap();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
    handle.stop().await;
}

#[tokio::test]
async fn options_that_would_fail_every_check_are_mistakes() {
    let (rig, engines) = rig();
    let check = || HealthCheck::new("/health");
    for (check, what) in [
        (HealthCheck::new("health"), "it does not begin with a slash"),
        (HealthCheck::new("/a b"), "the path is invalid"),
        (check().timeout(Duration::ZERO), "more than zero"),
        (check().unhealthy_after(0), "at least 1"),
        (check().healthy_after(0), "at least 1"),
    ] {
        let error = check.start(rig.table.clone(), engines.service());
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("1 mistake in the options\n- HealthCheck: "),
            "{error}"
        );
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(engines.attempts().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn several_checks_of_one_table_are_independent() {
    let rig = Rig::new(one_server(1, TrafficPolicy::new()));
    let (strict, lenient) = (Engines::default(), Engines::default());
    strict.everywhere(fails);
    let start = |engines: &Engines| {
        checks()
            .start(rig.table.clone(), engines.service())
            .unwrap()
    };
    let (failing, passing) = (start(&strict), start(&lenient));
    tokio::time::sleep(35 * SECOND).await;
    // One that passes does not take back what the other says.
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Unhealthy);
    passing.stop().await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Unhealthy);
    let passing = start(&lenient);
    failing.stop().await;
    assert_eq!(rig.endpoint("e0").health(), EndpointHealth::Healthy);
    passing.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_round_takes_an_interval_and_a_timeout_at_most_however_many_are_dead() {
    let rig = Rig::new(one_server(1000, TrafficPolicy::new()));
    let engines = Engines::default();
    engines.everywhere(|| Act::Hang);
    let handle = checks()
        .timeout(2 * SECOND)
        .start(rig.table.clone(), engines.service())
        .unwrap();
    tokio::time::sleep(12 * SECOND).await;
    let checked = (0..1000)
        .filter(|n| engines.count(&format!("e{n}")) > 0)
        .count();
    assert_eq!(checked, 1000);
    // Three rounds, each of which has failed.
    tokio::time::sleep(20 * SECOND).await;
    let out =
        (0..1000).filter(|n| rig.endpoint(&format!("e{n}")).health() == EndpointHealth::Unhealthy);
    assert_eq!(out.count(), 1000);
    handle.stop().await;
}

/// A cold start: refused for minutes, then the check is the first to know.
#[tokio::test(start_paused = true)]
async fn a_passed_check_ends_the_ejection_of_one_that_refused_connections() {
    for (failure, is_back) in [(fails as fn() -> Act, true), (|| status(502), false)] {
        let rig = Rig::new(one_server(2, TrafficPolicy::new()));
        rig.engines.always("e0", failure);
        while rig.endpoint("e0").health() != EndpointHealth::Ejected {
            rig.ask().await;
            tokio::time::sleep(SECOND / 2).await;
        }
        let handle = checks()
            .interval(SECOND)
            .start(rig.table.clone(), Engines::default().service())
            .unwrap();
        tokio::time::sleep(2 * SECOND).await;
        let health = rig.endpoint("e0").health();
        assert_eq!(health == EndpointHealth::Healthy, is_back, "{health}");
        handle.stop().await;
    }
}

/// A vLLM with `--api-key` answers `/v1/models` with 401 otherwise.
#[tokio::test(start_paused = true)]
async fn engines_get_their_own_key_and_what_the_check_adds() {
    let keyed = |name: &str, key: &str| {
        let server = ModelServer::new(name).endpoint(format!("http://{name}"));
        server.header("authorization", key).header("x-tenant", "t")
    };
    let open = ModelServer::new("c").endpoint("http://c");
    // It shares an endpoint with the first.
    let other = ModelServer::new("d")
        .endpoint("http://a")
        .header("authorization", "never");
    let servers = [keyed("a", "Bearer a"), keyed("b", "Bearer b"), open, other];
    let rig = Rig::new(table(servers, Rule::new("rule").target("a")));
    let engines = Engines::default();
    let checks = HealthCheck::new("/v1/models").header("X-Tenant", "checks");
    let handle = checks.start(rig.table.clone(), engines.service()).unwrap();
    tokio::time::sleep(SECOND).await;
    handle.stop().await;
    let attempts = engines.attempts();
    let sent = |name| {
        ["a", "b", "c"].map(|host| {
            let to = attempts.iter().find(|attempt| attempt.host() == host);
            to.unwrap().header(name)
        })
    };
    assert_eq!(attempts.len(), 3);
    assert_eq!(
        sent("authorization"),
        [Some("Bearer a"), Some("Bearer b"), None]
    );
    assert_eq!(sent("x-tenant"), [Some("checks"); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_client_learns_for_which_model_server_a_check_is() {
    let server = |name, host: &str| ModelServer::new(name).endpoint(format!("http://{host}"));
    let servers = [server("a", "e0"), server("b", "e1"), server("c", "e0")];
    let rig = Rig::new(table(servers, Rule::new("rule").target("a")));
    let engines = Engines::default();
    let handle = checks()
        .start(rig.table.clone(), engines.service())
        .unwrap();
    tokio::time::sleep(SECOND).await;
    handle.stop().await;
    let attempts = engines.attempts();
    let mut named: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            let server = attempt.head.extensions.get::<ForModelServer>();
            (attempt.host(), server.expect("it is named").name())
        })
        .collect();
    named.sort_unstable();
    assert_eq!(named, [("e0", "a"), ("e1", "b")]);
}

#[tokio::test]
async fn a_header_that_is_none_is_refused_and_a_value_never_shown() {
    let rig = Rig::new(one_server(1, TrafficPolicy::new()));
    let check = || HealthCheck::new("/health").header("x-key", "S3CR3T");
    assert!(!format!("{:?}", check()).contains("S3CR3T"));
    for (check, kind) in [
        (check().header("a b", "v"), MistakeKind::InvalidHeaderName),
        (
            check().header("x-other", "S3CR3T\n"),
            MistakeKind::InvalidHeaderValue,
        ),
        (check().header("Host", "h"), MistakeKind::ReservedHeader),
        (check().header("X-Key", "v"), MistakeKind::DuplicateHeader),
    ] {
        let started = check.start(rig.table.clone(), Engines::default().service());
        let error = started.unwrap_err();
        assert_eq!(*error.mistakes()[0].kind(), kind);
        assert!(!error.to_string().contains("S3CR3T"), "{error}");
    }
    let error = check()
        .header("te", "v")
        .start(rig.table.clone(), Engines::default().service());
    let words = "HealthCheck, header \"te\": the gateway itself sets this header";
    assert!(error.unwrap_err().to_string().contains(words));
}
