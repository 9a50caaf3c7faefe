//! What each endpoint costs by its balance, and where the numbers came from.

use http::request::Parts;
use serde_json::json;
use test_kit::{
    body::script,
    engines::{answers, says},
    gateway::Rig,
    request::chat_of,
    table::table,
};
use tower_model_route::{
    Balance, ConsistentHash, HashKey, LoadReport, ModelServer, PrefixCache, RouteTableHandle, Rule,
    Spill,
};

use crate::SECOND;

fn rig(balance: Balance) -> Rig {
    let server = ModelServer::new("server")
        .endpoints(["http://e0", "http://e1"])
        .balance(balance);
    Rig::new(table([server], Rule::new("rule").target("server")))
}

fn head() -> Parts {
    chat_of("").into_parts().0
}

fn body() -> String {
    let text = "word ".repeat(1000);
    json!({"model": "asked", "messages": [{"role": "user", "content": text}], "user": "u"})
        .to_string()
}

/// What the text says of the endpoints.
fn costs(rig: &Rig) -> Vec<String> {
    let explained = rig.table.explain_request(&head(), body().as_bytes());
    let text = explained.unwrap().to_string();
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| line.starts_with("costs") || line.starts_with("has"));
    lines.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn least_request_says_who_told_of_others() {
    let rig = rig(Balance::LeastRequest);
    assert_eq!(costs(&rig), [""; 0]);
    let loads = RouteTableHandle::new(rig.table.clone()).load_source();
    assert!(loads.report("http://e1", LoadReport::new().running(3).waiting(1)));
    tokio::time::advance(SECOND).await;
    assert_eq!(
        costs(&rig),
        ["costs 4: 0 requests in flight, 4 requests of others (pushed, 1.0 s ago)"]
    );
    // It counts no more, and is not said any more.
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(costs(&rig), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn tokens_and_what_is_in_the_cache() {
    let rig = rig(Balance::PrefixCache(PrefixCache::new()));
    assert_eq!(costs(&rig).len(), 2);
    let (_script, scripted) = script();
    rig.engines.next([answers(200, scripted).late(SECOND)]);
    let _asked = rig.start(chat_of(body()));
    test_kit::paused::settle().await;
    let mut costs = costs(&rig);
    costs.sort();
    // 5,072 bytes: 1,268 tokens, and an eighth of 256. Nine blocks of 512 bytes were sent.
    assert_eq!(
        costs,
        [
            "costs 0: 0 tokens in flight, 0 tokens of the prompt in its cache",
            "costs 148: 1300 tokens in flight, 1152 tokens of the prompt in its cache",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn least_tokens_counts_what_others_have_sent() {
    let rig = rig(Balance::LeastTokens);
    let loads = RouteTableHandle::new(rig.table.clone()).load_source();
    assert!(loads.report("http://e0", LoadReport::new().running(2)));
    assert_eq!(
        costs(&rig),
        [
            "costs 2048: 0 tokens in flight, 2048 tokens of requests not read, 2 requests of \
             others (pushed, 0.0 s ago)",
            "costs 0: 0 tokens in flight",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn peak_ewma_says_how_old_its_latency_is() {
    let rig = rig(Balance::PeakEwma);
    rig.engines.next([says(200, "{}").late(2 * SECOND)]);
    rig.ask().await;
    tokio::time::advance(SECOND).await;
    let costs = costs(&rig);
    assert_eq!(costs.len(), 1, "{costs:?}");
    assert!(costs[0].contains("seconds to the first content (1.0 s ago), 0 requests in flight"));
}

#[tokio::test(start_paused = true)]
async fn affinity_says_the_places_of_the_key() {
    let by = ConsistentHash::by(HashKey::User).spill(Spill::Never);
    let mut costs = costs(&rig(Balance::ConsistentHash(by)));
    costs.sort();
    assert_eq!(
        costs,
        [
            "costs 1: 1 place from the key on, 0 requests in flight",
            "costs 2: 2 place from the key on, 0 requests in flight",
        ]
    );
}

#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn in_json_too() {
    let rig = rig(Balance::LeastRequest);
    let loads = RouteTableHandle::new(rig.table.clone()).load_source();
    assert!(loads.report("http://e1", LoadReport::new().waiting(2)));
    let explained = rig
        .table
        .explain_request(&head(), body().as_bytes())
        .unwrap();
    let explained = serde_json::to_value(&explained).unwrap();
    let endpoint = &explained["targets"][0]["endpoints"][1];
    assert_eq!(endpoint["cost"], 2.0);
    assert_eq!(
        endpoint["figures"],
        json!([
            {"name": "requests in flight", "value": 0.0, "source": null, "age_seconds": null},
            {"name": "requests of others", "value": 2.0, "source": "pushed", "age_seconds": 0.0},
        ])
    );
}
