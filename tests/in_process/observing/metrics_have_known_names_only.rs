//! Metrics, as an exporter for Prometheus writes them, and their labels.

use std::{collections::BTreeSet, sync::Arc};

use metrics::set_default_local_recorder;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use test_kit::{
    body::script,
    engines::{fails, says, status, streams},
    gateway::Rig,
    request::{asked, chat_of},
    table::{one_server, retries, server},
};
use tower_model_route::{
    Endpoint, LimitKey, LimitStore, Metrics, ModelRoute, ModelRouteLayer, ModelServer, Per,
    RateLimit, RouteTable, RouteTableHandle, Rule, StoreFailure, StoreFuture, StoreTake,
    TrafficPolicy,
};

use super::millis;

fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new().with_recommended_naming(true);
    let buckets = Metrics::BUCKETS
        .iter()
        .try_fold(builder, |builder, (name, buckets)| {
            builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
        });
    buckets.unwrap().build_recorder()
}

struct Measured {
    rig: Rig,
    metrics: Arc<Metrics>,
    table: RouteTableHandle,
}

fn measured(table: RouteTable) -> Measured {
    measured_by(table, |layer| layer)
}

fn measured_by(
    table: RouteTable,
    options: impl FnOnce(ModelRouteLayer) -> ModelRouteLayer,
) -> Measured {
    let handle = RouteTableHandle::new(table.clone());
    let metrics = Arc::new(Metrics::new(&handle));
    let observer = metrics.clone();
    let routed = handle.clone();
    let rig = Rig::with(table, |_| {
        options(ModelRouteLayer::new(routed).shared_observer(observer))
    });
    Measured {
        rig,
        metrics,
        table: handle,
    }
}

impl Measured {
    /// The lines of a scrape.
    fn scrape(&self, recorder: &PrometheusRecorder) -> Vec<String> {
        self.metrics.collect();
        let text = recorder.handle().render();
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    /// The series of a scrape, without their values.
    fn series(&self, recorder: &PrometheusRecorder) -> BTreeSet<String> {
        let lines = self.scrape(recorder);
        let names = lines.iter().filter_map(|line| line.rsplit_once(' '));
        names.map(|(name, _)| name.to_owned()).collect()
    }
}

/// The value of the one series of this name that has all these labels.
#[track_caller]
fn value(lines: &[String], name: &str, labels: &[&str]) -> f64 {
    let found: Vec<_> = lines
        .iter()
        .filter(|line| {
            line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
        })
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .collect();
    assert_eq!(
        found.len(),
        1,
        "{name} {labels:?}: {found:?}\n{}",
        lines.join("\n")
    );
    found[0].rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_tokens_and_times_are_there() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let measured = measured(one_server(2, retries(1)));
    let rig = &measured.rig;
    let (feed, body) = script();
    rig.engines.next([status(503), streams(body)]);
    let mut answer = rig.answer().await.into_body();
    for content in ["a", "b", "c"] {
        feed.send(format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n"
        ));
        tokio::time::sleep(millis(100)).await;
        http_body_util::BodyExt::frame(&mut answer).await;
    }
    feed.data("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":16}}}\n\n");
    feed.data("data: [DONE]\n\n").end();
    http_body_util::BodyExt::collect(answer).await.unwrap();
    rig.engines.next([says(400, "no"), fails(), fails()]);
    rig.ask().await;
    rig.ask().await;
    rig.send(chat_of(r#"{"model":"bogus"}"#)).await;

    let lines = measured.scrape(&recorder);
    let requests = "model_route_requests_total";
    let ok = [
        "model=\"asked\"",
        "route=\"route\"",
        "rule=\"rule\"",
        "server=\"server\"",
        "status=\"200\"",
        "error_code=\"\"",
    ];
    assert_eq!(value(&lines, requests, &ok), 1.0);
    assert_eq!(
        value(
            &lines,
            requests,
            &["status=\"400\"", "error_code=\"engine_error\""]
        ),
        1.0
    );
    assert_eq!(
        value(
            &lines,
            requests,
            &["error_code=\"upstream_unreachable\"", "status=\"502\""]
        ),
        1.0
    );
    assert_eq!(
        value(
            &lines,
            requests,
            &["model=\"unknown\"", "error_code=\"model_not_found\""]
        ),
        1.0
    );
    assert_eq!(
        value(
            &lines,
            "model_route_retries_total",
            &["reason=\"503\"", "server=\"server\""]
        ),
        1.0
    );
    assert_eq!(
        value(
            &lines,
            "model_route_retries_total",
            &["reason=\"not_connected\""]
        ),
        1.0
    );
    let chat = [
        "gen_ai_operation_name=\"chat\"",
        "gen_ai_provider_name=\"openai\"",
        "gen_ai_request_model=\"real\"",
    ];
    for (name, expected) in [
        (
            "gen_ai_client_operation_time_to_first_chunk_seconds_sum",
            0.1,
        ),
        ("gen_ai_server_time_to_first_token_seconds_sum", 0.1),
        (
            "gen_ai_client_operation_time_per_output_chunk_seconds_sum",
            0.1,
        ),
        ("gen_ai_server_time_per_output_token_seconds_sum", 0.1),
    ] {
        assert!(
            (value(&lines, name, &chat) - expected).abs() < 1e-6,
            "{name}"
        );
    }
    for name in [
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_server_request_duration_seconds",
    ] {
        let ok: Vec<_> = lines
            .iter()
            .filter(|line| {
                line.starts_with(&format!("{name}_count")) && !line.contains("error_type")
            })
            .collect();
        assert_eq!(ok.len(), 1, "{ok:?}");
        assert_eq!(
            value(&lines, &format!("{name}_count"), &["error_type=\"400\""]),
            1.0
        );
        assert_eq!(
            value(
                &lines,
                &format!("{name}_count"),
                &["error_type=\"model_not_found\""]
            ),
            1.0
        );
        let bucket = format!("{name}_bucket");
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with(&bucket) && line.contains("le=\"81.92\""))
        );
    }
    let usage = "gen_ai_client_token_usage";
    assert_eq!(
        value(
            &lines,
            &format!("{usage}_sum"),
            &["gen_ai_token_type=\"input\""]
        ),
        20.0
    );
    assert_eq!(
        value(
            &lines,
            &format!("{usage}_sum"),
            &["gen_ai_token_type=\"output\""]
        ),
        3.0
    );
    for (kind, count) in [("input", 20.0), ("output", 3.0), ("cached", 16.0)] {
        let labels = [
            &*format!("type=\"{kind}\""),
            "how=\"exact\"",
            "model=\"asked\"",
        ];
        assert_eq!(value(&lines, "model_route_tokens_total", &labels), count);
    }
    assert_eq!(
        value(&lines, "model_route_usage_total", &["how=\"exact\""]),
        1.0
    );
}

fn limited(limit: RateLimit) -> RouteTable {
    let route = ModelRoute::new("route")
        .model_name("asked")
        .rule(Rule::new("rule").target("server"))
        .rate_limit(limit);
    let table = RouteTable::builder()
        .model_server(server(1, retries(0)))
        .model_route(route);
    table.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_limits_decide_is_there() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let measured = measured(limited(RateLimit::requests(2, Per::Day)));
    for status in [200, 200, 429] {
        assert_eq!(measured.rig.ask().await.status(), status);
    }
    let lines = measured.scrape(&recorder);
    for (verdict, count) in [("allowed", 2.0), ("refused", 1.0)] {
        let labels = [
            "limit=\"2 requests per day\"",
            "route=\"route\"",
            "store=\"memory\"",
            &format!("verdict=\"{verdict}\""),
        ];
        let decisions = value(&lines, "model_route_limit_decisions_total", &labels);
        assert_eq!(decisions, count, "{verdict}");
    }
}

/// What stands in for a store that fails.
#[tokio::test(start_paused = true)]
async fn limits_say_where_they_have_looked() {
    #[derive(Debug)]
    struct Broken;
    impl LimitStore for Broken {
        fn reserve(&self, _: Arc<[StoreTake]>) -> StoreFuture {
            Box::pin(async { Err("broken".into()) })
        }
        fn settle(&self, _: StoreTake) {}
    }
    for (what, store) in [
        (StoreFailure::Local, "local"),
        (StoreFailure::Open, "open"),
        (StoreFailure::Closed, "closed"),
    ] {
        let recorder = recorder();
        let _local = set_default_local_recorder(&recorder);
        let limit = RateLimit::requests(2, Per::Day).on_store_failure(what);
        let measured = measured_by(limited(limit), |layer| layer.limit_store(Arc::new(Broken)));
        measured.rig.ask().await;
        let lines = measured.scrape(&recorder);
        let labels = [&*format!("store=\"{store}\"")];
        let decisions = value(&lines, "model_route_limit_decisions_total", &labels);
        assert_eq!(decisions, 1.0, "{store}");
    }
}

#[tokio::test(start_paused = true)]
async fn usage_that_is_not_exact_is_told_apart() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let measured = measured(one_server(1, TrafficPolicy::new()));
    let content = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let (feed, body) = script();
    feed.data(content).data(content).data(finish).end();
    measured
        .rig
        .engines
        .next([streams(body), says(200, "page")]);
    measured.rig.ask().await;
    measured.rig.ask().await;
    let lines = measured.scrape(&recorder);
    for how in ["estimated", "unknown"] {
        let labels = ["server=\"server\"", &*format!("how=\"{how}\"")];
        assert_eq!(
            value(&lines, "model_route_usage_total", &labels),
            1.0,
            "{how}"
        );
    }
    let output = ["type=\"output\"", "how=\"estimated\""];
    assert_eq!(value(&lines, "model_route_tokens_total", &output), 2.0);
}

/// Counters never go back, whatever an engine says.
#[tokio::test(start_paused = true)]
async fn counts_that_are_not_possible_are_not_added() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let measured = measured(one_server(1, TrafficPolicy::new()));
    let details = r#"{"cached_tokens":18446744073709551615,"audio_tokens":16777217}"#;
    for input in ["7", "18446744073709551615", "7"] {
        let answer = format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":{input},"completion_tokens":5,"prompt_tokens_details":{details}}}}}"#
        );
        let answer = says(200, &answer).header("content-type", "application/json");
        measured.rig.engines.next([answer]);
        measured.rig.ask().await;
    }
    let lines = measured.scrape(&recorder);
    for (kind, how, count) in [
        ("input", "exact", 14.0),
        ("output", "exact", 10.0),
        ("output", "estimated", 5.0),
    ] {
        let labels = [&*format!("type=\"{kind}\""), &*format!("how=\"{how}\"")];
        let counted = value(&lines, "model_route_tokens_total", &labels);
        assert_eq!(counted, count, "{kind} {how}");
    }
    let wild = ["cached", "audio"].map(|kind| lines.iter().any(|line| line.contains(kind)));
    assert_eq!(wild, [false, false]);
}

/// One endpoint with this name.
fn called(name: &str) -> RouteTable {
    let server = ModelServer::new("server").endpoint(Endpoint::new("http://e0").name(name));
    test_kit::table::table([server], Rule::new("rule").target("server"))
}

/// In a series of its own, so that no other one ends with a Pod.
#[test]
fn names_of_endpoints_are_told_apart_from_their_series() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let measured = measured(called("pod-1"));
    let info = |lines: &[String], name: &str| {
        let name = format!("name=\"{name}\"");
        let labels = ["server=\"server\"", "endpoint=\"http://e0\"", &name];
        value(lines, "model_route_endpoint_info", &labels)
    };
    assert_eq!(info(&measured.scrape(&recorder), "pod-1"), 1.0);
    measured.table.replace(called("pod-2"));
    let lines = measured.scrape(&recorder);
    assert_eq!((info(&lines, "pod-1"), info(&lines, "pod-2")), (0.0, 1.0));
    assert_eq!(lines.iter().filter(|line| line.contains("pod-")).count(), 2);
    measured
        .table
        .replace(RouteTable::builder().build().unwrap());
    let lines = measured.scrape(&recorder);
    assert_eq!((info(&lines, "pod-1"), info(&lines, "pod-2")), (0.0, 0.0));
}

/// What is made anew counts from 0, under the name of what was there before.
#[tokio::test(start_paused = true)]
async fn counters_go_on_with_a_new_endpoint() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let measured = measured(called("pod-1"));
    let failures = || {
        let lines = measured.scrape(&recorder);
        value(&lines, "model_route_endpoint_failures_total", &[])
    };
    let fail = async |times: usize| {
        for _ in 0..times {
            measured.rig.engines.next([status(503)]);
            measured.rig.ask().await;
        }
    };
    fail(4).await;
    assert_eq!([failures(), failures()], [4.0, 4.0]);
    measured.table.replace(called("pod-2"));
    fail(3).await;
    assert_eq!([failures(), failures()], [7.0, 7.0]);
    fail(2).await;
    assert_eq!(failures(), 9.0);
}

#[tokio::test(start_paused = true)]
async fn the_queue_of_a_server_that_is_gone_is_empty() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let policy = TrafficPolicy::new().max_in_flight(1).max_queue(4);
    let measured = measured(one_server(1, policy));
    let _gate = measured.rig.engines.hold();
    let _asked = [measured.rig.spawn(), measured.rig.spawn()];
    test_kit::paused::settle().await;
    let length = || {
        let lines = measured.scrape(&recorder);
        value(&lines, "model_route_queue_length", &["server=\"server\""])
    };
    assert_eq!(length(), 1.0);
    let nothing = RouteTable::builder().build().unwrap();
    measured.table.replace(nothing);
    assert_eq!(length(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_state_of_engines_and_of_the_table_is_there() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let policy = || {
        TrafficPolicy::new()
            .max_in_flight(1)
            .max_queue(4)
            .queue_timeout(millis(60_000))
    };
    let measured = measured(one_server(1, policy()));
    let gate = measured.rig.engines.hold();
    let (first, second) = (measured.rig.spawn(), measured.rig.spawn());
    test_kit::paused::settle().await;
    let lines = measured.scrape(&recorder);
    let engine = ["server=\"server\"", "endpoint=\"http://e0\""];
    assert_eq!(value(&lines, "model_route_in_flight", &engine), 1.0);
    assert_eq!(value(&lines, "model_route_queue_length", &engine[..1]), 1.0);
    let health = |lines: &[String], state: &str| {
        let state = format!("state=\"{state}\"");
        value(
            lines,
            "model_route_endpoint_health",
            &[engine[0], engine[1], &state],
        )
    };
    assert_eq!(
        (health(&lines, "healthy"), health(&lines, "ejected")),
        (1.0, 0.0)
    );
    tokio::time::sleep(millis(3000)).await;
    gate.add_permits(1000);
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(
        value(
            &measured.scrape(&recorder),
            "model_route_queue_seconds_sum",
            &engine[..1]
        ),
        3.0
    );

    measured.rig.engines.everywhere(|| status(502));
    for _ in 0..20 {
        measured.rig.ask().await;
    }
    let lines = measured.scrape(&recorder);
    assert_eq!(
        (health(&lines, "healthy"), health(&lines, "ejected")),
        (0.0, 1.0)
    );
    assert_eq!(value(&lines, "model_route_ejections_total", &engine), 1.0);
    assert!(value(&lines, "model_route_endpoint_failures_total", &engine) >= 5.0);
    let picks = ["route=\"route\"", "rule=\"rule\"", "server=\"server\""];
    assert!(value(&lines, "model_route_picks_total", &picks) >= 2.0);

    // A table without that endpoint, and one that fails.
    measured.table.replace(one_server(0, policy()));
    measured.table.failed("no such file");
    let lines = measured.scrape(&recorder);
    assert_eq!(value(&lines, "model_route_in_flight", &engine), 0.0);
    assert_eq!(
        (health(&lines, "healthy"), health(&lines, "ejected")),
        (0.0, 0.0)
    );
    for result in ["ok", "failed"] {
        let result = format!("result=\"{result}\"");
        assert_eq!(value(&lines, "model_route_reloads_total", &[&result]), 1.0);
    }
    assert_eq!(value(&lines, "model_route_reload_error", &[]), 1.0);
    measured.table.replace(one_server(1, policy()));
    let lines = measured.scrape(&recorder);
    assert_eq!(value(&lines, "model_route_reload_error", &[]), 0.0);
}

/// Three other gateways fell over that.
#[tokio::test(start_paused = true)]
async fn ten_thousand_unknown_models_make_no_series() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let measured = measured(one_server(1, retries(0)));
    measured.rig.ask().await;
    let ask = async |name: String| {
        let body = serde_json::json!({"model": name}).to_string();
        assert_eq!(measured.rig.send(chat_of(body)).await.status(), 404);
    };
    let series = || measured.series(&recorder);
    ask("first".to_owned()).await;
    let before = series();
    for n in 0..10_000 {
        ask(format!("bogus-{n}")).await;
    }
    assert_eq!(series(), before);
    assert!(
        !before
            .iter()
            .any(|series| series.contains("bogus") || series.contains("first\""))
    );
    // Nor do other things that clients send, and that have no series of their own.
    for n in 0..100 {
        let mut request = asked();
        let path = format!("/v{n}/chat/completions?x={n}").parse().unwrap();
        *request.uri_mut() = path;
        request
            .headers_mut()
            .insert("x-request-id", format!("id-{n}").parse().unwrap());
        measured.rig.send(request).await;
    }
    let grown = series().len() - before.len();
    assert!(grown <= 60, "{grown}");
}

#[tokio::test(start_paused = true)]
async fn tenants_with_limits_of_their_own_make_no_series() {
    let recorder = recorder();
    let _local = set_default_local_recorder(&recorder);
    let key = LimitKey::Header("x-api-key".into());
    let measured = measured(limited(RateLimit::requests(1, Per::Month).key(key)));
    // The first request of each is allowed, and its second refused.
    let ask = async |n: usize| {
        for status in [200, 429] {
            let mut request = asked();
            let key = format!("tenant-{n}").parse().unwrap();
            request.headers_mut().insert("x-api-key", key);
            assert_eq!(measured.rig.send(request).await.status(), status);
        }
    };
    ask(0).await;
    let before = measured.series(&recorder);
    for n in 1..1000 {
        ask(n).await;
    }
    assert_eq!(measured.series(&recorder), before);
    assert!(!before.iter().any(|series| series.contains("tenant-")));
}
