//! Gateways that share a Redis agree on where each session is bound.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use test_kit::{answer::Answer, engines::Engines, redis::Redis, request::post, time::within};
use tower::ServiceExt;
use tower_model_route::{
    HashKey, ModelRoute, ModelRouteLayer, ModelServer, RouteTable, RouteTableHandle, Rule,
    SessionSticky, TrafficPolicy, stack,
};

fn uri(endpoint: usize) -> String {
    format!("http://e{endpoint}.test")
}

/// A gateway with engines of its own.
struct Gateway {
    handle: RouteTableHandle,
    engines: Engines,
}

impl Gateway {
    fn new(endpoints: usize, sticky: SessionSticky) -> Self {
        let policy = TrafficPolicy::new().session_sticky(sticky);
        let server = ModelServer::new("server").traffic_policy(policy);
        let rule = Rule::new("all").target("server");
        let table = RouteTable::builder()
            .model_server(server.endpoints((0..endpoints).map(uri)))
            .model_route(ModelRoute::new("route").model_name("asked").rule(rule));
        Self {
            handle: RouteTableHandle::new(table.build().unwrap()),
            engines: Engines::default(),
        }
    }

    async fn ask(&self, session: usize) -> String {
        let layer = stack(ModelRouteLayer::new(self.handle.clone()));
        let service = layer.service(self.engines.service());
        let Ok(answer) = service.oneshot(of_session(session)).await;
        let answer = Answer::of(answer).await;
        assert_eq!(answer.status(), 200, "{:?}", answer.body);
        answer.decision().endpoint().to_owned()
    }

    async fn ask_all(&self, sessions: usize) -> Vec<String> {
        let mut all = Vec::new();
        for session in 0..sessions {
            all.push(self.ask(session).await);
        }
        all
    }
}

fn of_session(session: usize) -> Request<Full<Bytes>> {
    let body = format!(r#"{{"model":"asked","user":"secret-{session}"}}"#);
    post("/v1/chat/completions", body)
}

fn in_redis(redis: &Redis) -> SessionSticky {
    let sticky = SessionSticky::new([HashKey::User]);
    sticky.redis(redis.address())
}

/// The same Redis by another address: a store of its own, as another process has.
fn in_redis_too(redis: &Redis) -> SessionSticky {
    let address = redis.address().replace("127.0.0.1", "127.1");
    SessionSticky::new([HashKey::User]).redis(address)
}

/// Waits until so many sessions are written.
async fn written(redis: &Redis, count: usize) {
    within(async {
        while redis.ask(&["KEYS", "*"]).await.len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_first_that_binds_a_session_decides() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let one = Gateway::new(2, in_redis(&redis));
    let before = one.ask_all(20).await;
    written(&redis, 20).await;
    // By the hash they would go to others.
    let other = Gateway::new(12, in_redis_too(&redis));
    assert_eq!(other.ask_all(20).await, before);
    assert_eq!(one.ask_all(20).await, before);
    let alone = Gateway::new(12, SessionSticky::new([HashKey::User]));
    assert_ne!(alone.ask_all(20).await, before);
    for key in redis.ask(&["KEYS", "*"]).await {
        assert!(
            key.starts_with("tower-model-route:session:{server}:"),
            "{key}"
        );
        assert!(!key.contains("secret"), "{key}");
        let kept: i64 = redis.ask(&["PTTL", &key]).await[0].parse().unwrap();
        assert!((1..=300_000).contains(&kept), "{kept}");
    }
}

/// Two that bind a session before either is heard: the second learns of it, and follows. So it does
/// where both are in one process, and have one store.
#[tokio::test]
async fn the_slower_one_follows() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    for sticky in [in_redis, in_redis_too] {
        redis.kill().await;
        let one = Gateway::new(8, in_redis(&redis));
        let other = Gateway::new(8, sticky(&redis));
        for endpoint in 0..4 {
            one.handle.drain(&uri(endpoint)).unwrap();
        }
        tokio::join!(one.ask_all(20), other.ask_all(20));
        for endpoint in 0..4 {
            one.handle.undrain(&uri(endpoint)).unwrap();
        }
        redis.restart().await;
        within(async {
            while one.ask_all(20).await != other.ask_all(20).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_that_is_bound_anew_is_so_everywhere() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let one = Gateway::new(4, in_redis(&redis));
    let home = one.ask(1).await;
    written(&redis, 1).await;
    one.handle.drain(&home).unwrap();
    let next = one.ask(1).await;
    assert_ne!(next, home);
    within(async {
        let key = &redis.ask(&["KEYS", "*"]).await[0];
        while !redis.ask(&["GET", key]).await[0].ends_with(&next) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let other = Gateway::new(4, in_redis_too(&redis));
    assert_eq!(other.ask(1).await, next);
}

#[tokio::test]
async fn who_knew_it_where_it_was_follows_when_it_next_says_so() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let idle = Duration::from_secs(2);
    let one = Gateway::new(4, in_redis(&redis).idle_for(idle));
    let other = Gateway::new(4, in_redis_too(&redis).idle_for(idle));
    let home = one.ask(1).await;
    written(&redis, 1).await;
    assert_eq!(other.ask(1).await, home);
    one.handle.drain(&home).unwrap();
    let next = one.ask(1).await;
    within(async {
        while other.ask(1).await != next {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    one.handle.undrain(&home).unwrap();
    assert_eq!(one.ask(1).await, next);
}

#[tokio::test]
async fn while_redis_is_down_each_goes_by_what_it_knows() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let one = Gateway::new(3, in_redis(&redis));
    let before = one.ask_all(10).await;
    redis.kill().await;
    assert_eq!(one.ask_all(10).await, before);
    let (all, other) = (one.ask_all(20).await, Gateway::new(3, in_redis(&redis)));
    // By the hash, as nobody else is asked.
    assert_eq!(other.ask_all(20).await, all);
}
