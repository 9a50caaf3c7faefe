//! What the program tells of requests: metrics, the dashboard for them, and the access log.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Request;
use serde_json::Value;

use crate::program::Gateway;

/// Where it says that something is.
async fn said(gateway: &mut Gateway, what: &str) -> String {
    let said = gateway.until(what).await;
    let (_, url) = said.trim().rsplit_once(" at ").unwrap();
    url.to_owned()
}

async fn get(gateway: &Gateway, url: &str) -> (u16, String) {
    let answer = gateway
        .send(Request::get(url).body(String::new()).unwrap())
        .await;
    (answer.status().as_u16(), answer.into_body())
}

async fn stream(gateway: &Gateway, model: &str) {
    let body = serde_json::json!({
        "model": model,
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "Hello"}],
    });
    let request = Request::post(format!("{}/v1/chat/completions", gateway.url()));
    let answer = gateway.send(request.body(body.to_string()).unwrap()).await;
    assert_eq!(answer.status(), 200);
}

/// The labels of each metric in a scrape.
fn scraped(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = BTreeMap::<_, BTreeSet<_>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, _)) = line.rsplit_once(' ') else {
            continue;
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split("\",");
        let names = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        metrics.entry(name.to_owned()).or_default().extend(names);
    }
    metrics
}

/// The words of a query of the dashboard that name metrics, and those that name labels.
fn words(query: &str) -> (Vec<&str>, Vec<&str>) {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words = query.split(|letter| !is_word(letter));
    let metrics =
        words.filter(|word| word.starts_with("model_route_") || word.starts_with("gen_ai_"));
    let labels = query.split("by (").skip(1).flat_map(|by| {
        let (labels, _) = by.split_once(')').unwrap();
        labels.split(',').map(str::trim)
    });
    let labels: Vec<_> = labels.collect();
    (
        metrics.filter(|word| !labels.contains(word)).collect(),
        labels,
    )
}

#[tokio::test]
async fn the_dashboard_asks_for_what_is_measured() {
    let mut gateway = Gateway::start(["--metrics-listen", "127.0.0.1:0"]).await;
    let url = said(&mut gateway, "The metrics are at ").await;
    assert_eq!(gateway.ask("deepseek-simple").await.status(), 200);
    assert_eq!(gateway.ask("no-such-model").await.status(), 404);
    stream(&gateway, "deepseek-simple").await;
    let (status, text) = get(&gateway, &url).await;
    assert_eq!(status, 200);
    let metrics = scraped(&text);
    let dashboard: Value = serde_json::from_str(include_str!("../../dashboard.json")).unwrap();
    // What only happens to some gateways is in the guide.
    let guide = include_str!("../../../../docs/guides/observing.md");
    let rare = [
        "model_route_retries_total",
        "model_route_limit_decisions_total",
    ];
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let (names, labels) = words(query);
            assert!(!names.is_empty(), "{query}");
            for name in names {
                queries += 1;
                if rare.contains(&name) {
                    assert!(guide.contains(&format!("`{name}`")), "{name} in {query}");
                    continue;
                }
                let found = metrics.get(name);
                let found = found.unwrap_or_else(|| panic!("{name} in {query}:\n{text}"));
                for label in &labels {
                    assert!(
                        found.contains(*label),
                        "{label} of {name} in {query}: {found:?}"
                    );
                }
            }
        }
    }
    assert!(queries >= 20);
    assert!(!text.contains("no-such-model"), "{text}");
    // Every metric of the guide that this gateway has is there under the name that it has there.
    let (_, table) = guide.split_once("| metric | what | labels |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let listed: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`'))
        .filter(|word| word.starts_with("model_route_"))
        .collect();
    for name in metrics
        .keys()
        .filter(|name| name.starts_with("model_route_"))
    {
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .fold(&**name, |name, end| name.strip_suffix(end).unwrap_or(name));
        assert!(listed.contains(name), "{name} is not in the guide");
    }
}

#[tokio::test]
async fn its_own_port_has_metrics_and_admin_only_if_asked() {
    let mut gateway = Gateway::start(["--admin-listen", "127.0.0.1:0"]).await;
    let url = said(&mut gateway, "The admin view is at ").await;
    for path in ["/_", "/_routes", "/metrics"] {
        assert_eq!(gateway.get(path).await, 404, "{path}");
        let url = url.strip_suffix("/_").unwrap();
        assert_eq!(
            get(&gateway, &format!("{url}{path}")).await.0,
            200,
            "{path}"
        );
    }
    let gateway = Gateway::start(["--admin-here"]).await;
    for path in ["/_", "/_routes", "/metrics"] {
        assert_eq!(gateway.get(path).await, 200, "{path}");
    }
    let gateway = Gateway::start([""; 0]).await;
    for path in ["/_", "/_routes", "/_explain", "/_drain", "/metrics"] {
        assert_eq!(gateway.get(path).await, 404, "{path}");
    }
}

#[tokio::test]
async fn each_request_is_a_line_as_text_or_json_or_none() {
    let mut gateway = Gateway::start(["--access-log", "json"]).await;
    stream(&gateway, "deepseek-simple").await;
    let line = gateway.until("{").await;
    let json: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(json["model_name"], "deepseek-simple");
    assert_eq!(
        (&json["status_code"], &json["tokens_exact"]),
        (&200.into(), &true.into())
    );
    assert!(json["output_tokens"].as_u64().unwrap() > 0);
    let time = json["timestamp"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");

    let mut gateway = Gateway::start([""; 0]).await;
    gateway.ask("no-such-model").await;
    let line = gateway.until("POST").await;
    assert!(
        line.starts_with("[20") && line.contains(" 404 error=model_not_found:"),
        "{line}"
    );

    let mut gateway = Gateway::start(["--access-log", "off"]).await;
    gateway.ask("deepseek-simple").await;
    gateway.terminate();
    let rest = gateway.until("Stopped.").await;
    assert!(!rest.contains("POST"), "{rest}");
}

/// The page asks for this.
#[tokio::test]
async fn the_admin_view_has_the_last_minute() {
    let mut gateway = Gateway::start(["--admin-listen", "127.0.0.1:0"]).await;
    let url = format!("{}/_routes", gateway.admin_url().await);
    for model in ["deepseek-simple", "no-such-model", "no-such-model"] {
        gateway.ask(model).await;
    }
    stream(&gateway, "deepseek-simple").await;
    let (status, view) = get(&gateway, &url).await;
    assert_eq!(status, 200);
    assert!(!view.contains("no-such-model"), "{view}");
    let view: Value = serde_json::from_str(&view).unwrap();
    let recent = &view["recent"];
    assert_eq!(recent["all"]["requests"], 4, "{recent:#}");
    let errors = serde_json::json!({"model_not_found": 2});
    assert_eq!(recent["unrouted"]["errors"], errors);
    let route = &recent["routes"][0];
    assert_eq!(
        (&route["name"], &route["requests"]),
        (&"default/deepseek-simple".into(), &2.into())
    );
    for times in ["to_head_seconds", "to_first_token_seconds"] {
        assert!(route[times]["p99"].as_f64().unwrap() > 0.0, "{times}");
    }
    let output = route["output_tokens_per_second"]["exact"].as_f64();
    assert!(output.unwrap() > 0.0, "{recent:#}");
    // The engine of the last scenario has no sibling to send a retry to.
    assert_eq!(view["lints"][0]["code"], "retries-without-alternative");
}
