//! Replicas that see the same Pods send the same keys to the same engines.

use std::collections::HashMap;

use axum::body::Body;
use http::Request;
use serde_json::json;
use test_kit::{
    answer::Answer,
    kube::{Engines, route, server, shared},
};
use tower::ServiceExt;

use crate::watched::Watched;

const KEYS: usize = 300;

/// The engine of each key.
async fn homes(watched: &Watched) -> HashMap<usize, String> {
    let mut homes = HashMap::new();
    for key in 0..KEYS {
        let request = Request::post("/v1/chat/completions")
            .header("x-session", format!("session-{key}"))
            .body(Body::from(r#"{"model":"model"}"#))
            .unwrap();
        let Ok(answer) = watched.gateway.clone().oneshot(request).await;
        let answer = Answer::of(answer).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        homes.insert(key, answer.text().to_owned());
    }
    homes
}

#[tokio::test]
async fn on_the_home_of_each_key() {
    let Some(cluster) = shared().await else {
        return;
    };
    let (space, engines) = (cluster.namespace().await, Engines::start().await);
    let name = format!("{}/server", space.name);
    let mut by_session = server("server", "engine", engines.port);
    by_session["metadata"]["annotations"] =
        json!({"tower-model-route/balance": "ConsistentHash: {Header: x-session}"});
    space.apply(by_session).await;
    space.apply(route("route", "model", "server")).await;
    for n in [3, 1, 4] {
        space
            .pod(&format!("pod-{n}"), "engine", &format!("127.0.0.{n}"))
            .await;
    }
    // One has seen a Pod come that the other found.
    let first = Watched::of(&space).await;
    space.pod("pod-2", "engine", "127.0.0.2").await;
    let second = Watched::of(&space).await;
    let both_have = async |hosts: std::ops::RangeInclusive<u8>| {
        let uris: Vec<_> = hosts
            .map(|n| format!("http://127.0.0.{n}:{}", engines.port))
            .collect();
        let uris: Vec<_> = uris.iter().map(String::as_str).collect();
        first.has(&name, &uris).await;
        second.has(&name, &uris).await;
    };
    both_have(1..=4).await;
    let before = homes(&first).await;
    assert_eq!(before, homes(&second).await);

    // Another comes, and one goes.
    space.pod("pod-5", "engine", "127.0.0.5").await;
    space.delete("Pod", "pod-1").await;
    both_have(2..=5).await;
    let after = homes(&first).await;
    assert_eq!(after, homes(&second).await);
    for key in 0..KEYS {
        let moved = before[&key] != after[&key];
        let may_move = before[&key] == "127.0.0.1" || after[&key] == "127.0.0.5";
        assert!(
            !moved || may_move,
            "{key}: {} {}",
            before[&key],
            after[&key]
        );
    }
}
