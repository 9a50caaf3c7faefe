//! What the gateway has done in the last minute.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use test_kit::{
    body::{Script, script},
    engines::{Act, answers, fails, says, status},
    gateway::Rig,
    request::{chat_of, post},
    table::{builder, one_server, retries, single},
};
use tokio::time::{Instant, sleep, sleep_until};
use tower_model_route::{
    Admin, ModelRoute, ModelRouteLayer, ModelServer, Per, RateLimit, Recent, RouteTable,
    RouteTableHandle, Rule, TrafficPolicy,
};

use super::view::send;

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A gateway whose admin view has the last minute.
struct Watched {
    rig: Rig,
    table: RouteTableHandle,
    admin: Admin,
}

impl Watched {
    fn new(table: RouteTable) -> Self {
        let handle = RouteTableHandle::new(table.clone());
        let recent = Recent::new(&handle);
        let layer = ModelRouteLayer::new(handle.clone()).observer(recent.clone());
        let admin = layer.admin().recent(recent);
        Self {
            rig: Rig::with(table, |_| layer),
            table: handle,
            admin,
        }
    }

    async fn recent(&self) -> Value {
        let request = Request::get("/_routes").body(Full::default()).unwrap();
        send(self.admin.clone(), request).await.json()["recent"].take()
    }

    async fn ask_for(&self, model: &str) -> u16 {
        let body = json!({"model": model}).to_string();
        let answer = self.rig.send(chat_of(body)).await;
        let status = answer.status().as_u16();
        _ = answer.into_body().collect().await;
        status
    }
}

fn usage(input: u64, output: u64) -> Act {
    let usage = json!({"prompt_tokens": input, "completion_tokens": output});
    let choices = json!([{"message": {"content": "Hi"}, "finish_reason": "stop"}]);
    let body = json!({"choices": choices, "usage": usage}).to_string();
    says(200, &body).header("content-type", "application/json")
}

/// A stream that the test writes.
fn stream() -> (Script, Act) {
    let (feed, body) = script();
    let answer = answers(200, body).header("content-type", "text/event-stream");
    (feed, answer)
}

const CONTENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

#[track_caller]
fn is_about(shown: &Value, expected: f64, error: f64) {
    let shown = shown.as_f64().unwrap_or_else(|| panic!("{shown}"));
    let off = (shown - expected).abs();
    assert!(
        off <= expected * error + 1e-9,
        "{shown} instead of {expected}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_known_load_has_its_rates() {
    let watched = Watched::new(one_server(1, retries(0)));
    watched.rig.engines.everywhere(|| usage(30, 5));
    let begun = Instant::now();
    for turn in 0..240 {
        sleep_until(begun + millis(250) * turn).await;
        assert_eq!(watched.ask_for("asked").await, 200);
    }
    sleep_until(begun + millis(60_000)).await;
    let recent = watched.recent().await;
    is_about(&recent["seconds"], 60.0, 0.001);
    let rows = [
        &recent["all"],
        &recent["routes"][0],
        &recent["model_servers"][0],
    ];
    for row in rows {
        assert_eq!(row["requests"], 240);
        is_about(&row["requests_per_second"], 4.0, 0.001);
        is_about(&row["input_tokens_per_second"]["exact"], 120.0, 0.001);
        is_about(&row["output_tokens_per_second"]["exact"], 20.0, 0.001);
        assert_eq!(row["input_tokens_per_second"]["estimated"], 0.0);
        assert_eq!(row["errors"], json!({}));
    }
    assert_eq!(recent["routes"][0]["name"], "route");
    assert_eq!(recent["model_servers"][0]["name"], "server");
    assert_eq!(recent["unrouted"]["requests"], 0);

    // It leaves the window as it came.
    sleep_until(begun + millis(100_000)).await;
    let recent = watched.recent().await;
    is_about(&recent["seconds"], 60.0, 0.001);
    assert_eq!(recent["all"]["requests"], 80);
    sleep_until(begun + millis(140_000)).await;
    let recent = watched.recent().await;
    assert_eq!(recent["all"]["requests"], 0);
    assert_eq!(
        (&recent["routes"], &recent["model_servers"]),
        (&json!([]), &json!([]))
    );
}

/// As the log, the metrics and limits count it: with what was cached, and what has a total only.
#[tokio::test(start_paused = true)]
async fn input_is_all_that_was_read() {
    let answers = [
        (
            "/v1/messages",
            json!({"usage": {"input_tokens": 10, "output_tokens": 2,
            "cache_read_input_tokens": 100, "cache_creation_input_tokens": 5}}),
        ),
        ("/v1/rerank", json!({"usage": {"total_tokens": 11}})),
        (
            "/v1beta/models/asked:generateContent",
            json!({"usageMetadata": {"promptTokenCount": 4,
            "candidatesTokenCount": 1, "totalTokenCount": 12}}),
        ),
    ];
    for ((path, body), input) in answers.into_iter().zip([115.0, 11.0, 11.0]) {
        let watched = Watched::new(one_server(1, retries(0)));
        let answer = says(200, &body.to_string()).header("content-type", "application/json");
        watched.rig.engines.next([answer]);
        let request = post(path, json!({"model": "asked"}).to_string());
        _ = watched.rig.send(request).await.into_body().collect().await;
        sleep(millis(1000)).await;
        let recent = watched.recent().await;
        is_about(
            &recent["all"]["input_tokens_per_second"]["exact"],
            input,
            0.001,
        );
    }
}

/// An engine's number neither stops the view nor turns it back.
#[tokio::test(start_paused = true)]
async fn a_count_that_is_not_possible_counts_nothing() {
    let watched = Watched::new(one_server(1, retries(0)));
    for _ in 0..3 {
        watched.rig.engines.next([usage(u64::MAX, u64::MAX)]);
        watched.ask_for("asked").await;
        sleep(millis(6000)).await;
    }
    watched.rig.engines.next([usage(1 << 24, 180)]);
    watched.ask_for("asked").await;
    let all = watched.recent().await["all"].take();
    assert_eq!(all["requests"], 4);
    is_about(
        &all["input_tokens_per_second"]["exact"],
        f64::from(1 << 24) / 18.0,
        0.001,
    );
    is_about(&all["output_tokens_per_second"]["exact"], 10.0, 0.001);
}

/// One that has just begun does not look as if it had done nothing for a minute.
#[tokio::test(start_paused = true)]
async fn the_first_seconds_have_a_rate_too() {
    let watched = Watched::new(one_server(1, retries(0)));
    for _ in 0..20 {
        watched.ask_for("asked").await;
        sleep(millis(100)).await;
    }
    let recent = watched.recent().await;
    is_about(&recent["all"]["requests_per_second"], 10.0, 0.01);
}

#[tokio::test(start_paused = true)]
async fn percentiles_are_a_sixteenth_off_at_most() {
    let watched = Watched::new(one_server(1, retries(0)));
    for turn in 1..=100 {
        let (feed, act) = stream();
        watched.rig.engines.next([act.late(millis(3 * turn))]);
        let mut answer = watched.rig.answer().await.into_body();
        sleep(millis(7 * turn)).await;
        feed.data(CONTENT);
        answer.frame().await;
        // It is not of the times that are shown.
        sleep(millis(50)).await;
        feed.data("data: [DONE]\n\n").end();
        answer.collect().await.unwrap();
    }
    let recent = watched.recent().await;
    assert_eq!(recent["all"]["requests"], 100);
    for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0)] {
        for row in ["routes", "model_servers"] {
            let row = &recent[row][0];
            let head = &row["to_head_seconds"][name];
            is_about(head, 0.003 * percent, 1.0 / 16.0);
            let first = &row["to_first_token_seconds"][name];
            is_about(first, 0.010 * percent, 1.0 / 16.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_stream_has_no_first_token() {
    let watched = Watched::new(one_server(1, retries(0)));
    watched.rig.engines.next([usage(1, 1).late(millis(10))]);
    watched.ask_for("asked").await;
    let recent = watched.recent().await;
    let nothing = json!({"p50": null, "p90": null, "p99": null});
    assert_eq!(recent["all"]["to_first_token_seconds"], nothing);
    is_about(&recent["all"]["to_head_seconds"]["p50"], 0.01, 1.0 / 16.0);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_nobody_reported_are_estimated() {
    let watched = Watched::new(one_server(1, retries(0)));
    let (feed, act) = stream();
    watched.rig.engines.next([act]);
    let mut answer = watched.rig.answer().await.into_body();
    for _ in 0..6 {
        feed.data(CONTENT);
        answer.frame().await;
    }
    drop(answer);
    sleep(millis(3000)).await;
    let recent = watched.recent().await;
    let all = &recent["all"];
    assert_eq!(all["errors"], json!({"client_gone": 1}));
    is_about(&all["output_tokens_per_second"]["estimated"], 2.0, 0.001);
    assert_eq!(all["output_tokens_per_second"]["exact"], 0.0);
}

#[tokio::test(start_paused = true)]
async fn errors_are_counted_by_their_code() {
    let watched = Watched::new(one_server(1, retries(0)));
    watched
        .rig
        .engines
        .next([fails(), says(400, "no"), status(200)]);
    for expected in [502, 400, 200] {
        assert_eq!(watched.ask_for("asked").await, expected);
    }
    for _ in 0..3 {
        assert_eq!(watched.ask_for("bogus").await, 404);
    }
    let answer = watched.rig.send(chat_of("no JSON")).await;
    assert_eq!(answer.status(), 400);
    drop(answer);

    let recent = watched.recent().await;
    let routed = json!({"upstream_unreachable": 1, "engine_error": 1});
    assert_eq!(recent["routes"][0]["errors"], routed);
    assert_eq!(recent["model_servers"][0]["errors"], routed);
    let unrouted = json!({"model_not_found": 3, "invalid_json": 1});
    assert_eq!(recent["unrouted"]["errors"], unrouted);
    assert_eq!(recent["unrouted"]["requests"], 4);
    assert_eq!(recent["all"]["requests"], 7);
    assert_eq!(recent["all"]["errors"].as_object().unwrap().len(), 4);
    // Only engines' answers have times.
    let text = recent["unrouted"]["to_head_seconds"].to_string();
    assert!(text.contains("\"p50\":null"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_limits_say_is_counted() {
    let limited = ModelRoute::new("limited")
        .model_name("limited")
        .rate_limit(RateLimit::requests(2, Per::Day))
        .rate_limit(RateLimit::requests(1, Per::Hour).observe_only(true))
        .rule(Rule::new("all").target("server"));
    let servers = [ModelServer::new("server").endpoint("http://e0")];
    let table = builder(servers, Rule::new("rule").target("server")).model_route(limited);
    let watched = Watched::new(table.build().unwrap());
    for expected in [200, 200, 429, 429, 429] {
        assert_eq!(watched.ask_for("limited").await, expected);
    }
    watched.ask_for("asked").await;
    let recent = watched.recent().await;
    let limits = recent["limits"].as_array().unwrap();
    let of = |words: &str| {
        let found = limits.iter().find(|limit| limit["limit"] == words);
        let limit = found.unwrap_or_else(|| panic!("{words} in {limits:?}"));
        assert_eq!(limit["route"], "limited");
        (limit["allowed"].as_u64().unwrap(), limit["refused"].clone())
    };
    assert_eq!(limits.len(), 2);
    assert_eq!(of("2 requests per day"), (2, json!(3)));
    let (allowed, refused) = of("1 requests per hour");
    assert_eq!((allowed, refused), (1, json!(0)));
    assert_eq!(limits[0]["observed"], 1);
    let row = &recent["routes"][0];
    assert_eq!(
        (&row["name"], &row["errors"]),
        (&json!("limited"), &json!({"rate_limit_exceeded": 3}))
    );
}

/// Three other gateways fell over that.
#[tokio::test(start_paused = true)]
async fn ten_thousand_unknown_models_are_one_row() {
    let watched = Watched::new(one_server(1, retries(0)));
    watched.ask_for("asked").await;
    for name in 0..10_000 {
        assert_eq!(watched.ask_for(&format!("bogus-{name}")).await, 404);
    }
    let recent = watched.recent().await;
    assert_eq!(recent["unrouted"]["requests"], 10_000);
    assert_eq!(recent["routes"].as_array().unwrap().len(), 1);
    assert!(!recent.to_string().contains("bogus"));
}

fn two_routes() -> RouteTable {
    let also = ModelRoute::new("also")
        .model_name("also")
        .rule(Rule::new("all").target("second"));
    let servers = [
        single("server", TrafficPolicy::new()),
        single("second", TrafficPolicy::new()),
    ];
    let table = builder(servers, Rule::new("rule").target("server"));
    table.model_route(also).build().unwrap()
}

fn names(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reload_drops_what_is_gone_and_keeps_the_rest() {
    let watched = Watched::new(two_routes());
    for model in ["asked", "asked", "also"] {
        watched.ask_for(model).await;
    }
    // This one ends when its route is no more.
    let (feed, act) = stream();
    watched.rig.engines.next([act]);
    let body = chat_of(r#"{"model":"also"}"#);
    let answer = watched.rig.send(body).await;

    let recent = watched.recent().await;
    assert_eq!(names(&recent["routes"]), ["route", "also"]);
    assert_eq!(names(&recent["model_servers"]), ["server", "second"]);
    watched.table.replace(one_server(1, retries(0)));
    feed.end();
    _ = answer.into_body().collect().await;
    watched.ask_for("asked").await;
    let recent = watched.recent().await;
    assert_eq!(names(&recent["routes"]), ["route"]);
    assert_eq!(names(&recent["model_servers"]), ["server"]);
    assert_eq!(recent["routes"][0]["requests"], 3);
    assert_eq!(recent["all"]["requests"], 5);

    // What comes back begins anew.
    watched.table.replace(two_routes());
    let recent = watched.recent().await;
    assert_eq!(names(&recent["routes"]), ["route"]);
    assert_eq!(recent["routes"][0]["requests"], 3);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_keeps_it_there_is_none() {
    let admin = Admin::new(one_server(1, retries(0)));
    let request = Request::get("/_routes").body(Full::default()).unwrap();
    assert_eq!(send(admin, request).await.json()["recent"], Value::Null);
}
