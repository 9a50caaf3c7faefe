//! Limits in manifests.

use std::{sync::Arc, time::Duration};

use mock_llm::Engine;
use test_kit::{directory::Directory, redis::Redis, time::within};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    files::{limited, route, server},
    program::{Gateway, run},
};

const REQUESTS: &str = "tower-model-route:limit:{ml/chat}:requests:month:150";

fn manifests(limit: &str) -> String {
    server("small", "org/small") + &limited(&route("chat", "small"), limit)
}

#[tokio::test]
async fn a_rate_limit_is_enforced() {
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let limit = "{outputTokensPerUnit: 20, unit: hour}";
    let path = directory.write("all.yaml", &manifests(limit));
    let path = path.to_str().unwrap();
    let checked = run(["--check", path]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let endpoint = format!("ml/small={}", engine.url());
    let gateway = Gateway::start(["--manifests", path, "--endpoint", &endpoint]).await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = gateway.ask("chat").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 200);
        assert!(
            answer
                .headers()
                .contains_key("x-ratelimit-remaining-tokens")
        );
    }
    let refused = refused.expect("20 tokens are not for twenty answers");
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn mistakes_in_limits_have_their_line() {
    let directory = Directory::new();
    let limit = "{inputTokensPerUnit: 9, global: {redis: {address: nowhere}}}";
    let path = directory.write("all.yaml", &manifests(limit));
    let checked = run(["--check", path.to_str().unwrap()]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let said = "the address of Redis must be a host and a port";
    assert!(checked.stdout.contains(said), "{checked:?}");
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_said_on_stdout() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr();
    let address = nobody.unwrap();
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let redis = format!("{{redis: {{address: \"{address}\"}}}}");
    let limit = format!("{{outputTokensPerUnit: 9000, unit: hour, global: {redis}}}");
    let (_directory, mut gateway) =
        Gateway::serving_on("127.0.0.1:0", &engine.url(), &manifests(&limit), &[]).await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
    gateway.until("*** the store of limits fails").await;
}

/// 64 clients ask two processes, which share a limit of 150.
///
/// On a starved machine Redis may not answer in 50 ms. Then the client gets a 503, and one of the 150
/// may have been taken for nobody.
#[tokio::test]
async fn two_gateways_in_two_processes_share_a_limit_exactly() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let annotation = format!(
        "  annotations:\n    tower-model-route/limits: |\n      - {{unit: requests, limit: 150, per: month, \
         redis: \"{}\", onStoreFailure: closed}}\nspec:\n  modelName",
        redis.address()
    );
    let all = server("small", "org/small") + &route("chat", "small");
    let all = all.replace("spec:\n  modelName", &annotation);
    let path = directory.write("all.yaml", &all);
    let endpoint = format!("ml/small={}", engine.url());
    let args = [
        "--manifests",
        path.to_str().unwrap(),
        "--endpoint",
        &endpoint,
    ];
    let gateways = [Gateway::start(args).await, Gateway::start(args).await];
    let gateways = Arc::new(gateways);
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let gateways = Arc::clone(&gateways);
        clients.spawn(async move {
            let mut statuses = Vec::new();
            for turn in 0..4 {
                let gateway = &gateways[(client + turn) % 2];
                let mut status = gateway.ask("chat").await.status().as_u16();
                while status == 503 {
                    statuses.push(status);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    status = gateway.ask("chat").await.status().as_u16();
                }
                statuses.push(status);
            }
            statuses
        });
    }
    let statuses = within(clients.join_all()).await.concat();
    let count = |status| statuses.iter().filter(|&&found| found == status).count();
    let (passed, unknown) = (count(200), count(503));
    assert_eq!(passed + unknown + count(429), statuses.len());
    assert!(
        passed <= 150 && passed + unknown >= 150,
        "{passed} and {unknown}"
    );

    // Killed and started again.
    redis.kill().await;
    within(async { while gateways[0].ask("chat").await.status() != 503 {} }).await;
    redis.restart().await;
    within(async {
        while gateways[0].ask("chat").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let left = redis.tokens(REQUESTS).await;
    assert!((140.0..=149.5).contains(&left), "{left}");
}
