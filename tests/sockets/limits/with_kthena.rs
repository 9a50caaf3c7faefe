//! A limit that Kthena's router has in Redis, too.

use test_kit::redis::Redis;
use tower_model_route::{Per, RateLimit, StoreFailure};

use super::{Gateway, engine, table};

const OUTPUT: &str = "kthena:ratelimit:asked:output";

/// What Kthena's script does with these arguments: it takes tokens if they are there
/// (an equivalent of that in its filters/ratelimit/global.go).
const KTHENA: &str = r"
local time = redis.call('time')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local tokens = tonumber(redis.call('hget', KEYS[1], 'tokens')) or tonumber(ARGV[2])
local last = tonumber(redis.call('hget', KEYS[1], 'last_update')) or now
tokens = math.min(tonumber(ARGV[2]), tokens + math.max(0, now - last) * tonumber(ARGV[3]))
local fits = tokens >= tonumber(ARGV[1])
if fits then tokens = tokens - tonumber(ARGV[1]) end
redis.call('hset', KEYS[1], 'tokens', tokens, 'last_update', now)
redis.call('expire', KEYS[1], 7776000)
return fits and 1 or 0
";

#[tokio::test]
async fn both_routers_take_from_one_bucket() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let limit = RateLimit::output_tokens(100, Per::Month)
        .redis(redis.address())
        .kthena_keys(true)
        .on_store_failure(StoreFailure::Closed);
    let gateway = Gateway::new(table(&engine.url(), [limit])).await;
    let kthena = async |amount: &str| {
        redis
            .ask(&["EVAL", KTHENA, "1", OUTPUT, amount, "100", "0.0000386"])
            .await
            .concat()
    };
    assert_eq!(kthena("70").await, "1");
    // Ten are reserved, and five used. A 503 may have taken ten for nobody.
    let asked = gateway.chat_stored().await;
    assert_eq!(asked.last(), Some(&200));
    let expected = 25.0 - 10.0 * (asked.len() - 1) as f64;
    let left = redis.tokens_near(OUTPUT, expected, 0.5).await;
    assert!((expected..25.5).contains(&left), "{left}");
    assert_eq!(kthena("26").await, "0");
    assert_eq!(kthena(&(left.floor() - 2.0).to_string()).await, "1");
    assert_eq!(gateway.chat_stored().await.last(), Some(&429));
}
