//! Gateways that share limits in a Redis.

use std::sync::Arc;

use test_kit::redis::Redis;
use tower_model_route::{LimitKey, Per, RateLimit, RedisStore, StoreFailure};

use super::{Gateway, count, engine, load, table};

const MANY: u64 = 1_000_000;
const TOKENS: &str = "tower-model-route:limit:{route}:totalTokens:month:1000000";

#[tokio::test]
async fn sixty_four_clients_of_two_gateways_get_exactly_the_limit() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let limits = [
        RateLimit::requests(200, Per::Month),
        RateLimit::total_tokens(MANY, Per::Month),
    ];
    // On a starved machine Redis may not answer in 50 ms. Then the client gets a 503, and something
    // may have been taken for nobody.
    let limits = limits.map(|limit| {
        limit
            .redis(redis.address())
            .on_store_failure(StoreFailure::Closed)
    });
    let mut gateways = Vec::new();
    for store in [true, false] {
        let table = table(&engine.url(), limits.clone());
        // A connection each, as in two processes.
        gateways.push(Arc::new(match store {
            true => Gateway::storing(table, RedisStore::new(&redis.address()).unwrap()).await,
            false => Gateway::new(table).await,
        }));
    }
    let statuses = load(&gateways, 5).await;
    let (passed, unknown) = (count(&statuses, 200), count(&statuses, 503));
    assert_eq!(passed + unknown + count(&statuses, 429), statuses.len());
    assert!(
        passed <= 200 && passed + unknown >= 200,
        "{passed} and {unknown}"
    );
    // Each has used 12, whatever it had reserved.
    let expected = (MANY - passed as u64 * 12) as f64;
    let settled = redis.tokens_near(TOKENS, expected, 10.0).await;
    // In a month a million flow in: one in three seconds. What was taken for nobody is missing.
    let lost = unknown as f64 * 40.0;
    let range = expected - lost..expected + 30.0;
    assert!(range.contains(&settled), "{settled} of {expected}");
}

#[tokio::test]
async fn a_decision_is_one_call_whatever_is_asked() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let by_key = LimitKey::Header("x-api-key".into());
    let limits = [
        RateLimit::requests(MANY, Per::Month),
        RateLimit::total_tokens(MANY, Per::Month),
        RateLimit::output_tokens(MANY, Per::Month).key(by_key),
    ];
    let limits = limits.map(|limit| {
        limit
            .redis(redis.address())
            .on_store_failure(StoreFailure::Closed)
    });
    let gateway = Gateway::new(table(&engine.url(), limits)).await;
    assert_eq!(gateway.chat_stored().await.last(), Some(&200));
    // What was reserved more than used is settled: two limits on tokens.
    let quiet = async || loop {
        let before = redis.scripts().await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if redis.scripts().await == before {
            return before;
        }
    };
    let before = quiet().await;
    let mut asked = 0;
    for _ in 0..10 {
        asked += gateway.chat_stored().await.len() as u64;
    }
    let answer = gateway.post("/v1/chat/completions", &super::chat()).await;
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("1000000"));
    let settled = (quiet().await - before).saturating_sub(asked + 1);
    assert!(settled <= 22, "{settled}");
    // What clients send is no name there.
    let keys = redis.ask(&["KEYS", "*"]).await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(
        keys.iter()
            .all(|key| key.starts_with("tower-model-route:limit:{route}:"))
    );
}
