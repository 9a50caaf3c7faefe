//! A Redis that is killed, slow, not ours, or has something else under a key.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use test_kit::{
    redis::Redis,
    socket::{Reply, Upstream},
};
use tokio::{sync::Notify, task::JoinSet};
use tower_model_route::{
    ModelRouteLayer, Per, RateLimit, RedisStore, RouteTableHandle, StoreFailure,
};

use super::{Gateway, count, engine, load, table};

const REQUESTS: &str = "tower-model-route:limit:{route}:requests:month:100000";

/// Until what is asked goes to Redis, which counts it there.
async fn until_counted(redis: &Redis, gateway: &Gateway) {
    test_kit::time::within(async {
        loop {
            gateway.chat().await;
            if !redis
                .ask(&["EXISTS", REQUESTS])
                .await
                .contains(&"0".to_owned())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn no_client_notices_a_redis_that_is_killed_under_load_and_started_again() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let limit = RateLimit::requests(100_000, Per::Month).redis(redis.address());
    let gateway = Arc::new(Gateway::new(table(&engine.url(), [limit])).await);
    until_counted(&redis, &gateway).await;
    let clients = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { load(&[gateway], 40).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    redis.kill().await;
    let statuses = clients.await.unwrap();
    assert_eq!(count(&statuses, 200), statuses.len());
    redis.restart().await;
    until_counted(&redis, &gateway).await;
    let left = redis.tokens(REQUESTS).await;
    assert!(left > 99_000.0, "{left}");
}

#[tokio::test]
async fn a_redis_that_comes_back_under_load_is_used_again() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let limit = RateLimit::requests(100_000, Per::Month).redis(redis.address());
    let gateway = Arc::new(Gateway::new(table(&engine.url(), [limit])).await);
    until_counted(&redis, &gateway).await;
    let (asked, stops) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (gateway, asked, stops) = (gateway.clone(), asked.clone(), stops.clone());
        clients.spawn(async move {
            while !stops.load(Ordering::Relaxed) {
                assert_eq!(gateway.chat().await.status(), 200);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let more = async || {
        let enough = asked.load(Ordering::Relaxed) + 50;
        test_kit::time::eventually(|| asked.load(Ordering::Relaxed) > enough).await;
    };
    more().await;
    redis.kill().await;
    more().await;
    redis.restart().await;
    until_counted(&redis, &gateway).await;
    more().await;
    stops.store(true, Ordering::Relaxed);
    clients.join_all().await;
}

#[tokio::test]
async fn a_limit_holds_in_each_gateway_while_redis_is_gone() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    redis.kill().await;
    let engine = engine().await;
    for (what, expected) in [
        (StoreFailure::Local, [200, 200, 429, 429]),
        (StoreFailure::Open, [200; 4]),
        (StoreFailure::Closed, [503; 4]),
    ] {
        let limit = RateLimit::requests(2, Per::Month)
            .redis(redis.address())
            .on_store_failure(what);
        let gateway = Gateway::new(table(&engine.url(), [limit])).await;
        for expected in expected {
            assert_eq!(gateway.chat().await.status(), expected, "{what:?}");
        }
    }
}

#[tokio::test]
async fn a_slow_redis_costs_a_request_50_ms_and_the_next_nothing() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let slow = redis.slow().await;
    let engine = engine().await;
    let limit = RateLimit::requests(100_000, Per::Month).redis(slow.address.to_string());
    let gateway = Gateway::new(table(&engine.url(), [limit])).await;
    until_counted(&redis, &gateway).await;
    let before = redis.scripts().await;
    slow.delay(400);
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(gateway.chat().await.status(), 200);
    }
    let elapsed = start.elapsed();
    // It is tried once a second.
    let asked = redis.scripts().await - before;
    assert!(asked <= elapsed.as_secs() + 2, "{asked} in {elapsed:?}");
    slow.delay(0);
    let before = redis.tokens(REQUESTS).await;
    test_kit::time::within(async {
        while redis.tokens(REQUESTS).await > before - 3.0 {
            gateway.chat().await;
        }
    })
    .await;
}

/// The address leads to another server, and the old one is its replica, which ends no connection.
#[tokio::test]
async fn a_failover_to_another_redis_behind_the_same_address_is_followed() {
    let (Some(old), Some(new)) = (Redis::start().await, Redis::start().await) else {
        return;
    };
    let between = old.slow().await;
    let engine = engine().await;
    let limit = RateLimit::requests(100_000, Per::Month).redis(between.address.to_string());
    let gateway = Gateway::new(table(&engine.url(), [limit])).await;
    until_counted(&old, &gateway).await;
    let address: SocketAddr = new.address().parse().unwrap();
    between.lead_to(address);
    let port = address.port().to_string();
    old.ask(&["REPLICAOF", "127.0.0.1", &port]).await;
    until_counted(&new, &gateway).await;
}

/// As when the machine of the Redis is gone: nobody ends the connection, and nothing comes on it.
#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_made_anew() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let between = redis.slow().await;
    let engine = engine().await;
    let limit = RateLimit::requests(100_000, Per::Month).redis(between.address.to_string());
    let gateway = Gateway::new(table(&engine.url(), [limit])).await;
    until_counted(&redis, &gateway).await;
    // What is sent now arrives in an hour, and what is sent after it on this connection.
    between.delay(3_600_000);
    assert_eq!(gateway.chat().await.status(), 200);
    between.delay(0);
    redis.ask(&["DEL", REQUESTS]).await;
    until_counted(&redis, &gateway).await;
}

#[tokio::test]
async fn a_wrong_password_makes_limits_local_and_a_right_one_does_not() {
    let Some(redis) = Redis::with_password(Some("right")).await else {
        return;
    };
    let engine = engine().await;
    let gateway = async |password, what| {
        let url = format!("redis://:{password}@{}/0", redis.address());
        let store = RedisStore::new(&url).unwrap();
        let shown = format!("{store:?}");
        assert!(!shown.contains(password) && shown.contains(&redis.address()));
        let limit = RateLimit::requests(3, Per::Month).on_store_failure(what);
        Gateway::storing(table(&engine.url(), [limit]), store).await
    };
    let bucket = "tower-model-route:limit:{route}:requests:month:3";
    let wrong = gateway("wrong", StoreFailure::Local).await;
    for expected in [200, 200, 200, 429] {
        assert_eq!(wrong.chat().await.status(), expected);
    }
    assert_eq!(redis.ask(&["EXISTS", bucket]).await, ["0"]);
    let right = gateway("right", StoreFailure::Closed).await;
    assert_eq!(right.chat_stored().await.last(), Some(&200));
    assert_eq!(redis.ask(&["EXISTS", bucket]).await, ["1"]);
}

/// The gateway had it before the Redis.
#[tokio::test]
async fn a_password_that_becomes_right_is_taken() {
    let Some(redis) = Redis::with_password(Some("right")).await else {
        return;
    };
    let engine = engine().await;
    let limit = RateLimit::requests(100_000, Per::Month).redis(redis.address());
    let limit = limit.redis_password("later");
    let gateway = Gateway::new(table(&engine.url(), [limit])).await;
    assert_eq!(gateway.chat().await.status(), 200);
    assert_eq!(redis.ask(&["EXISTS", REQUESTS]).await, ["0"]);
    redis.ask(&["ACL", "SETUSER", "default", ">later"]).await;
    until_counted(&redis, &gateway).await;
}

/// That of a limit, without a store of the layer's; and a reload that has another.
#[tokio::test]
async fn a_limit_has_the_password_of_its_redis() {
    const PASSWORD: &str = "r/i:g@h%t";
    let Some(redis) = Redis::with_password(Some(PASSWORD)).await else {
        return;
    };
    let engine = engine().await;
    let limited = |password| {
        let limit = RateLimit::requests(100_000, Per::Month).redis(redis.address());
        let limit = limit.redis_password(password);
        table(&engine.url(), [limit])
    };
    let wrong = limited("wrong");
    let handle = RouteTableHandle::new(wrong.clone());
    let gateway = Gateway::with(wrong, |_| ModelRouteLayer::new(handle.clone())).await;
    for _ in 0..3 {
        assert_eq!(gateway.chat().await.status(), 200);
    }
    assert_eq!(redis.ask(&["EXISTS", REQUESTS]).await, ["0"]);
    handle.replace(limited(PASSWORD));
    until_counted(&redis, &gateway).await;
}

#[tokio::test]
async fn a_key_that_holds_something_else_makes_its_own_limit_local_and_no_other() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let engine = engine().await;
    let odd = "tower-model-route:limit:{route}:requests:month:2";
    redis.ask(&["SET", odd, "something else"]).await;
    let limits = |units| {
        [
            RateLimit::requests(2, Per::Month),
            RateLimit::requests(units, Per::Day),
        ]
        .map(|limit| limit.redis(redis.address()))
    };
    let gateway = Gateway::new(table(&engine.url(), limits(1000))).await;
    for expected in [200, 200, 429] {
        assert_eq!(gateway.chat().await.status(), expected);
    }
    let [_, other] = limits(1000).map(|limit| limit.on_store_failure(StoreFailure::Closed));
    let others = Gateway::new(table(&engine.url(), [other])).await;
    assert_eq!(others.chat_stored().await.last(), Some(&200));
    let left = redis
        .tokens("tower-model-route:limit:{route}:requests:day:1000")
        .await;
    assert!((900.0..=999.5).contains(&left), "{left}");
    assert_eq!(redis.ask(&["GET", odd]).await, ["something else"]);
}

#[tokio::test]
async fn what_was_used_while_redis_was_gone_is_settled_when_it_is_back() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let ends = Arc::new(Notify::new());
    let waits = Arc::clone(&ends);
    let engine = Upstream::start(move |_| {
        let body = json!({"choices": [{"index": 0, "finish_reason": "stop",
            "message": {"content": "text"}}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 500, "total_tokens": 507}});
        let body = body.to_string();
        let (first, rest) = body.split_at(9);
        let length = body.len();
        Reply::new(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{first}"
        ))
        .then_wait(&waits)
        .then(rest)
    })
    .await;
    let limit = RateLimit::output_tokens(1000, Per::Month)
        .redis(redis.address())
        .on_store_failure(StoreFailure::Closed);
    let gateway = Gateway::new(table(&engine.url(), [limit])).await;
    let gateway = Arc::new(gateway);
    let asking = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.chat_stored().await }
    });
    test_kit::time::eventually(|| engine.requests() == 1).await;
    redis.kill().await;
    ends.notify_one();
    assert_eq!(asking.await.unwrap().last(), Some(&200));
    redis.restart().await;
    // Ten were reserved in the Redis that is gone, and 490 more were used.
    let key = "tower-model-route:limit:{route}:outputTokens:month:1000";
    test_kit::time::within(async {
        while redis.ask(&["EXISTS", key]).await == ["0"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let left = redis.tokens(key).await;
    assert!((510.0..511.0).contains(&left), "{left}");
}
