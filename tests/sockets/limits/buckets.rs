//! The buckets of limits in Redis: each for itself, and no longer than it is needed.

use test_kit::redis::Redis;
use tower_model_route::{Per, RateLimit, StoreFailure};

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
    let odd = bucket("outputTokens:month");
    redis.ask(&["SET", &odd, "something else"]).await;
    let limits = [
        RateLimit::requests(5, Per::Month).on_store_failure(StoreFailure::Closed),
        RateLimit::output_tokens(1000, Per::Month),
    ]
    .map(|limit| limit.redis(redis.address()));
    let gateway = Gateway::new(table(&engine.url(), limits)).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.extend(gateway.chat_stored().await.last());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    assert_eq!(redis.ask(&["GET", &odd]).await, ["something else"]);
}
