//! The store that keeps limits in Redis, by itself.

use std::{sync::Arc, time::Duration};

use test_kit::{redis::Redis, time::within};
use tokio::time::sleep;
use tower_model_route::{LimitStore, RedisStore, StoreLevel, StoreTake};

fn take(key: &str, amount: i64) -> StoreTake {
    StoreTake::new(key, 100, Duration::from_secs(2_592_000), amount)
}

async fn settled(redis: &Redis, key: &str, expected: f64) {
    let is_there = async || redis.ask(&["EXISTS", key]).await == ["1"];
    within(async {
        while !is_there().await || (redis.tokens(key).await - expected).abs() > 0.1 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn all_that_waits_is_settled_in_one_call_of_256_buckets() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let store = RedisStore::new(&redis.address()).unwrap();
    for tenant in 0..300 {
        store.settle(take(&format!("{{route}}:{tenant}"), 7));
    }
    for tenant in 0..300 {
        settled(&redis, &format!("{{route}}:{tenant}"), 93.0).await;
    }
    let stats = redis.ask(&["INFO", "commandstats"]).await.concat();
    assert!(stats.contains("cmdstat_evalsha:calls=2,"), "{stats}");
}

#[tokio::test]
async fn what_can_not_be_settled_takes_nothing_from_the_rest() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    redis.ask(&["SET", "{route}:odd", "something else"]).await;
    let store = RedisStore::new(&redis.address()).unwrap();
    for key in ["{route}:odd", "{route}:good", "{other}:good"] {
        store.settle(take(key, i64::MAX));
        store.settle(take(key, 7 - i64::MAX));
    }
    settled(&redis, "{route}:good", 93.0).await;
    settled(&redis, "{other}:good", 93.0).await;
    // A debt for longer than Redis can count.
    store.settle(take("{route}:good", i64::MAX));
    store.settle(take("{other}:good", 7));
    settled(&redis, "{other}:good", 86.0).await;
    let is_settled = async || redis.tokens("{route}:good").await < -9.2e18;
    within(async { while !is_settled().await {} }).await;
    let left = redis.tokens("{route}:good").await;
    sleep(Duration::from_millis(1500)).await;
    assert!(redis.tokens("{route}:good").await >= left);
}

#[tokio::test]
async fn what_redis_has_no_room_for_is_settled_when_it_has() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let store = RedisStore::new(&redis.address()).unwrap();
    store.settle(take("{route}", 7));
    settled(&redis, "{route}", 93.0).await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    store.settle(take("{route}", 7));
    let is_refused = async || {
        let stats = redis.ask(&["INFO", "errorstats"]).await.concat();
        stats.contains("errorstat_OOM")
    };
    within(async {
        while !is_refused().await {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    settled(&redis, "{route}", 86.0).await;
}

#[tokio::test]
async fn a_cluster_is_asked_for_one_slot_at_a_time_and_all_or_nothing_is_taken() {
    let Some(redis) = Redis::cluster().await else {
        return;
    };
    let store = RedisStore::new(&redis.address()).unwrap();
    let (input, output) = ("kthena:ratelimit:m:input", "kthena:ratelimit:m:output");
    let ask = async |amounts: [i64; 2]| {
        let takes = [take(input, amounts[0]), take(output, amounts[1])];
        store.reserve(Arc::new(takes)).await.unwrap()
    };
    let fits = |left: [i64; 2]| left.map(StoreLevel::Fits).to_vec();
    assert_eq!(ask([10, 90]).await, fits([90, 10]));
    let expected = [StoreLevel::Fits(90), StoreLevel::Short(10)];
    assert_eq!(ask([50, 90]).await, expected);
    settled(&redis, input, 90.0).await;
    assert_eq!(ask([90, 10]).await, fits([0, 0]));
    for key in [input, output] {
        store.settle(take(key, -40));
    }
    settled(&redis, input, 40.0).await;
    settled(&redis, output, 40.0).await;
}
