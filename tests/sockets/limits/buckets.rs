//! The buckets of limits in Redis: each for itself, and no longer than it is needed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use test_kit::redis::Redis;
use tower_model_route::{LimitKey, Per, RateLimit, StoreFailure};

use super::{Gateway, engine, table};

/// The name of a bucket of the route's.
fn bucket(of: &str) -> String {
    format!("tower-model-route:limit:{{route}}:{of}")
}

#[tokio::test]
async fn a_key_that_holds_something_else_leaves_the_other_limits_of_its_request_in_redis() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let odd = bucket("outputTokens:month:1000");
    redis.ask(&["SET", &odd, "something else"]).await;
    let limits = [
        RateLimit::requests(5, Per::Month).on_store_failure(StoreFailure::Closed),
        RateLimit::output_tokens(1000, Per::Month),
    ]
    .map(|limit| limit.redis(redis.address()));
    let gateway = Gateway::new(table(&engine.url(), limits)).await;
    // What a request has taken that Redis did not answer in time comes back a moment later.
    let mut passed = 0;
    test_kit::time::within(async {
        while passed < 5 {
            passed += u32::from(gateway.chat_stored().await.last() == Some(&200));
        }
    })
    .await;
    assert_eq!(gateway.chat_stored().await.last(), Some(&429));
    assert_eq!(redis.ask(&["GET", &odd]).await, ["something else"]);
}

#[tokio::test]
async fn a_bucket_is_there_until_it_is_full_whatever_keys_are_made_up() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let by_key = LimitKey::Header("x-api-key".into());
    let limits = [
        RateLimit::output_tokens(2_592_000, Per::Month).key(by_key),
        RateLimit::requests(720, Per::Month),
        RateLimit::input_tokens(100, Per::Hour).kthena_keys(true),
    ]
    .map(|limit| limit.redis(redis.address()));
    let gateway = Gateway::new(table(&engine.url(), limits)).await;
    // Kept while they are not full: ten tokens of one a second, and a request of one an hour.
    gateway.until_stored(&redis).await;
    let lasts = async |start: &str| {
        for key in redis.ask(&["KEYS", "*"]).await {
            if key.starts_with(start) {
                let millis = redis.ask(&["PTTL", &key]).await.concat();
                return millis.parse::<i64>().unwrap() as f64 / 1000.0;
            }
        }
        -2.0
    };
    let [tokens, requests] = ["outputTokens", "requests"].map(bucket);
    let hour = lasts(&requests).await;
    assert!((3500.0..8000.0).contains(&hour), "{hour}");
    assert!(lasts(&tokens).await <= 30.0);
    // Kthena's router keeps its own for three times as long as they may fill.
    let kthenas = lasts("kthena:ratelimit:asked:input").await;
    assert!((10_790.0..=10_800.0).contains(&kthenas), "{kthenas}");
}

#[tokio::test]
async fn nothing_stays_taken_for_a_client_that_left_while_redis_was_asked() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let limits = [
        RateLimit::requests(720, Per::Month),
        RateLimit::output_tokens(300_000, Per::Month),
    ]
    .map(|limit| limit.redis(redis.address()));
    let gateway = Gateway::new(table(&engine.url(), limits)).await;
    gateway.until_stored(&redis).await;
    // What was used, and settled: five each.
    let settled = async || {
        let left = redis.tokens(&bucket("outputTokens:month:300000")).await;
        300_000.0 - left < 100.0
    };
    test_kit::time::within(async { while !settled().await {} }).await;
    let before = redis.tokens(&bucket("requests:month:720")).await;
    let mut body = super::chat();
    body["max_tokens"] = 100_000.into();
    for _ in 0..3 {
        redis.ask(&["CLIENT", "PAUSE", "300", "ALL"]).await;
        let request = gateway.request("/v1/chat/completions", &body);
        let asking = tokio::spawn(gateway.client.request(request));
        tokio::time::sleep(Duration::from_millis(10)).await;
        asking.abort();
        // It may be left alone for a second now.
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    test_kit::time::within(async { while !settled().await {} }).await;
    let after = redis.tokens(&bucket("requests:month:720")).await;
    assert!((after - before).abs() < 0.1, "{before} and {after}");
}

#[tokio::test]
async fn a_limit_that_is_changed_begins_full() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let asked = async |amount| {
        let limit = RateLimit::requests(amount, Per::Month)
            .redis(redis.address())
            .on_store_failure(StoreFailure::Closed);
        let gateway = Gateway::new(table(&engine.url(), [limit])).await;
        gateway.chat_stored().await.last().copied()
    };
    // Of a few a 503 may take one, until it is given back.
    while asked(3).await == Some(200) {}
    assert_eq!(asked(3).await, Some(429));
    assert_eq!(asked(1000).await, Some(200));
    let left = redis.tokens(&bucket("requests:month:1000")).await;
    assert!(left > 900.0, "{left}");
    assert_eq!(asked(3).await, Some(429));
}

/// Or after a failover to a server whose clock is behind.
#[tokio::test]
async fn a_bucket_fills_though_the_clock_of_redis_was_set_back() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let limit = RateLimit::requests(5, Per::Second).redis(redis.address());
    let limit = limit.on_store_failure(StoreFailure::Closed);
    let gateway = Gateway::new(table(&engine.url(), [limit])).await;
    gateway.until_stored(&redis).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let later = (now.as_secs() + 3600).to_string();
    let key = bucket("requests:second:5");
    redis
        .ask(&["HSET", &key, "tokens", "0", "last_update", &later])
        .await;
    redis.ask(&["EXPIRE", &key, "7200"]).await;
    test_kit::time::within(async {
        while gateway.chat().await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
