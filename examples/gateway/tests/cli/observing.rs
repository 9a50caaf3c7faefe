//! What the program tells of requests: metrics, the dashboard for them, and the access log.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Request;
use mock_llm::Engine;
use serde_json::Value;
use test_kit::{directory::Directory, time::within};
use tokio::net::TcpListener;

use crate::{
    files::{limited, route, server},
    program::{Gateway, run_with},
};

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

/// What a query of the dashboard asks for.
struct Query<'q> {
    metrics: Vec<&'q str>,
    /// Those that it groups by.
    groups: Vec<&'q str>,
    /// Those that it selects by.
    selectors: Vec<&'q str>,
}

impl<'q> Query<'q> {
    fn of(query: &'q str) -> Self {
        let list = |(begin, end): (&str, char)| {
            let lists = query.split(begin).skip(1);
            let labels = lists.flat_map(move |list| list.split_once(end).unwrap().0.split(','));
            let labels = labels.map(|label| label.split(['=', '!']).next().unwrap().trim());
            labels.collect::<Vec<_>>()
        };
        let (groups, selectors) = (list(("by (", ')')), list(("{", '}')));
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let metrics = query
            .split(|letter| !is_word(letter))
            .filter(|word| word.starts_with("model_route_") || word.starts_with("gen_ai_"))
            .filter(|word| !groups.contains(word) && !selectors.contains(word));
        Self {
            metrics: metrics.collect(),
            groups,
            selectors,
        }
    }
}

/// The labels that a legend has.
fn legend(format: &str) -> impl Iterator<Item = &str> {
    let labels = format.split("{{").skip(1);
    labels.map(|rest| rest.split_once("}}").unwrap().0)
}

/// A gateway of which everything has happened that has a metric, and its scrape.
async fn busy() -> (Directory, Gateway, String) {
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let limit = "{outputTokensPerUnit: 9000, unit: hour}";
    let named = format!(
        "metadata:\n  annotations:\n    \
         tower-model-route/endpoints: '[{{url: \"{}\", name: small-0}}]'\n",
        engine.url()
    );
    let server = server("small", "org/small").replace("metadata:\n", &named);
    let manifests = server + &limited(&route("chat", "small"), limit);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr();
    let gone = format!("http://{}", nobody.unwrap());
    let more = ["--metrics-listen", "127.0.0.1:0"];
    let (directory, gateway) = Gateway::serving_on("127.0.0.1:0", &gone, &manifests, &more).await;
    let url = gateway.said_at("The metrics are at ");
    assert_eq!(gateway.ask("no-such-model").await.status(), 404);
    stream(&gateway, "chat").await;
    let mut text = String::new();
    within(async {
        while !text.contains("model_route_retries_total") {
            assert_eq!(gateway.ask("chat").await.status(), 200);
            text = get(&gateway, &url).await.1;
        }
    })
    .await;
    (directory, gateway, text)
}

#[tokio::test]
async fn the_dashboard_asks_for_what_is_measured() {
    let (_directory, _gateway, text) = busy().await;
    let metrics = scraped(&text);
    let dashboard: Value = serde_json::from_str(include_str!("../../dashboard.json")).unwrap();
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let query = Query::of(expression);
            assert!(!query.metrics.is_empty(), "{expression}");
            for name in query.metrics {
                queries += 1;
                let found = metrics.get(name);
                let found = found.unwrap_or_else(|| panic!("{name} in {expression}:\n{text}"));
                for label in query.groups.iter().chain(&query.selectors) {
                    assert!(
                        found.contains(*label),
                        "{label} of {name} in {expression}: {found:?}"
                    );
                }
            }
            // What a query does not group by has no value there.
            for label in legend(target["legendFormat"].as_str().unwrap()) {
                assert!(query.groups.contains(&label), "{label} beside {expression}");
            }
        }
    }
    assert!(queries >= 20);
    assert!(!text.contains("no-such-model"), "{text}");
}

/// The labels that a cell of the guide lists; values follow a colon.
fn labels_of(cell: &str) -> BTreeSet<&str> {
    let parts = cell.split("; ");
    let names = parts.flat_map(|part| part.split(": ").next().unwrap().split(", "));
    names.filter_map(|name| name.split('`').nth(1)).collect()
}

/// Every metric that a busy gateway has is there, with the labels that it has.
#[tokio::test]
async fn the_guide_lists_what_is_measured() {
    let (_directory, _gateway, text) = busy().await;
    let guide = include_str!("../../../../docs/guides/observing.md");
    let (_, table) = guide.split_once("| metric | what | labels |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut listed = BTreeMap::new();
    for line in table.lines() {
        let cells: Vec<_> = line.split('|').collect();
        let names = cells[1]
            .split('`')
            .filter(|name| name.starts_with("model_route_"));
        listed.extend(names.map(|name| (name, labels_of(cells[3]))));
    }
    let mut metrics = BTreeMap::<_, BTreeSet<String>>::new();
    for (name, labels) in scraped(&text) {
        if name.starts_with("model_route_") {
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .fold(&*name, |name, end| name.strip_suffix(end).unwrap_or(name));
            metrics.entry(name.to_owned()).or_default().extend(labels);
        }
    }
    // Nobody has waited in a queue, and no cluster is watched.
    listed.remove("model_route_queue_seconds").unwrap();
    listed.remove("model_route_watch_error").unwrap();
    assert!(metrics.keys().eq(listed.keys()), "{metrics:?}, {listed:?}");
    for (name, labels) in &mut metrics {
        labels.remove("le");
        let (found, listed) = (labels.iter(), listed[&**name].iter());
        assert!(found.eq(listed.clone()), "{name}: {labels:?}, {listed:?}");
    }
}

#[tokio::test]
async fn its_own_port_has_metrics_and_admin_only_if_asked() {
    let gateway = Gateway::start(["--admin-listen", "127.0.0.1:0"]).await;
    let admin = gateway.admin_url();
    for path in ["/_", "/_routes", "/metrics"] {
        assert_eq!(gateway.get(path).await, 404, "{path}");
        let url = format!("{admin}{path}");
        assert_eq!(get(&gateway, &url).await.0, 200, "{path}");
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
    let gateway = Gateway::start(["--admin-listen", "127.0.0.1:0"]).await;
    let url = format!("{}/_routes", gateway.admin_url());
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

/// To the last request, which has just ended.
#[test]
fn spans_and_events_are_on_stderr_if_they_are_asked_for() {
    let ended = run_with(["--demo"], &[("RUST_LOG", "tower_model_route=debug")]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let spans = ended.stderr.matches("model_route.end=\"ok\"").count();
    assert!(spans > 200, "{spans}");
    assert!(ended.stderr.ends_with('\n') && !ended.stderr.contains("\n\n"));
}
