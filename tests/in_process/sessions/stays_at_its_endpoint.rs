//! A session stays at the endpoint that its first request went to.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use test_kit::{
    answer::Answer,
    engines::{Engines, resets, status},
    request::post,
};
use tower::ServiceExt;
use tower_model_route::{
    AffinityKeys, Balance, HashKey, ModelRoute, ModelRouteLayer, ModelServer, OutlierDetection,
    RouteTable, RouteTableBuilder, RouteTableHandle, Rule, SessionSticky, TargetModel,
    TrafficPolicy, stack,
};

use crate::SECOND;

const IDLE: Duration = Duration::from_secs(300);

fn uri(endpoint: usize) -> String {
    format!("http://e{endpoint}.test")
}

fn sticky() -> SessionSticky {
    SessionSticky::new([HashKey::Header("x-session".into()), HashKey::User])
}

fn server(name: &str, endpoints: std::ops::Range<usize>, policy: TrafficPolicy) -> ModelServer {
    ModelServer::new(name)
        .endpoints(endpoints.map(uri))
        .balance(Balance::LeastRequest)
        .traffic_policy(policy)
}

fn builder(endpoints: usize, policy: TrafficPolicy) -> RouteTableBuilder {
    RouteTable::builder()
        .model_server(server("server", 0..endpoints, policy))
        .model_route(
            ModelRoute::new("route")
                .model_name("asked")
                .rule(Rule::new("all").target("server")),
        )
}

/// A gateway and its engines.
struct Gateway {
    handle: RouteTableHandle,
    engines: Engines,
}

impl Gateway {
    fn new(builder: RouteTableBuilder) -> Self {
        Self {
            handle: RouteTableHandle::new(builder.build().unwrap()),
            engines: Engines::default(),
        }
    }

    fn of(endpoints: usize) -> Self {
        Self::new(builder(
            endpoints,
            TrafficPolicy::new().session_sticky(sticky()),
        ))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let layer = stack(ModelRouteLayer::new(self.handle.clone()));
        let service = layer.service(self.engines.service());
        let Ok(answer) = service.oneshot(request).await;
        Answer::of(answer).await
    }

    /// The endpoint that answers a request of this session.
    async fn ask(&self, session: usize) -> String {
        let answer = self.send(of_session(session)).await;
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
    let body = format!(r#"{{"model":"asked","user":"user-{session}"}}"#);
    post("/v1/chat/completions", body)
}

#[tokio::test(start_paused = true)]
async fn as_long_as_it_is_there_whatever_comes() {
    let gateway = Gateway::of(3);
    let before = gateway.ask_all(60).await;
    let mut shares = HashMap::new();
    for endpoint in &before {
        *shares.entry(endpoint.clone()).or_insert(0) += 1;
    }
    assert!(
        shares.len() == 3 && shares.values().all(|&share| share > 8),
        "{shares:?}"
    );
    assert_eq!(gateway.ask_all(60).await, before);
    gateway
        .handle
        .set_endpoints("server", (0..6).map(uri))
        .unwrap();
    assert_eq!(gateway.ask_all(60).await, before);
    // Those that come now go to the new ones too.
    let mut late = Vec::new();
    for session in 60..200 {
        late.push(gateway.ask(session).await);
    }
    assert!((0..6).all(|endpoint| late.contains(&uri(endpoint))));
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_counts_too() {
    let gateway = Gateway::of(1);
    assert_eq!(gateway.ask(1).await, uri(0));
    gateway
        .handle
        .set_endpoints("server", (0..8).map(uri))
        .unwrap();
    for session in [1, 1, 1] {
        assert_eq!(gateway.ask(session).await, uri(0));
    }
}

#[tokio::test(start_paused = true)]
async fn bound_anew_when_it_dies_it_stays_there_when_the_old_one_is_back() {
    let gateway = Gateway::of(4);
    let first = gateway.ask(7).await;
    gateway.handle.drain(&first).unwrap();
    let second = gateway.ask(7).await;
    assert_ne!(second, first);
    gateway.handle.undrain(&first).unwrap();
    assert_eq!(gateway.ask(7).await, second);
    // The same where it is removed.
    let left = (0..4).map(uri).filter(|endpoint| *endpoint != second);
    gateway.handle.set_endpoints("server", left).unwrap();
    let third = gateway.ask(7).await;
    assert_ne!(third, second);
    gateway
        .handle
        .set_endpoints("server", (0..4).map(uri))
        .unwrap();
    assert_eq!(gateway.ask(7).await, third);
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_loses_its_sessions_and_a_single_failure_does_not() {
    let policy = TrafficPolicy::new()
        .session_sticky(sticky())
        .max_retries(1)
        .retry_interval(Duration::ZERO)
        .outlier_detection(OutlierDetection::new().consecutive_failures(2));
    let gateway = Gateway::new(builder(4, policy));
    let home = gateway.ask(3).await;
    gateway.engines.at(&home, [status(503)]);
    assert_ne!(gateway.ask(3).await, home, "the retry went elsewhere");
    assert_eq!(gateway.ask(3).await, home);
    gateway
        .engines
        .at(&home, [resets(), status(503), status(503), status(503)]);
    for _ in 0..4 {
        gateway.ask(3).await;
    }
    let after = gateway.ask(3).await;
    assert_ne!(after, home);
    gateway.engines.forget_next();
    tokio::time::advance(120 * SECOND).await;
    assert_eq!(gateway.ask(3).await, after);
}

#[tokio::test(start_paused = true)]
async fn a_full_endpoint_keeps_its_sessions() {
    let policy = TrafficPolicy::new()
        .session_sticky(sticky())
        .max_in_flight(1);
    let gateway = Arc::new(Gateway::new(builder(3, policy)));
    let home = gateway.ask(1).await;
    let gate = gateway.engines.hold();
    let first = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.ask(1).await }
    });
    tokio::task::yield_now().await;
    let second = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.ask(1).await }
    });
    tokio::task::yield_now().await;
    gate.add_permits(10);
    assert_eq!(first.await.unwrap(), home);
    assert_ne!(second.await.unwrap(), home);
    assert_eq!(gateway.ask(1).await, home);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_asks_for_a_pause_keeps_them_too() {
    let policy = TrafficPolicy::new()
        .session_sticky(sticky())
        .max_retries(1)
        .retry_interval(Duration::ZERO);
    let gateway = Gateway::new(builder(3, policy));
    let home = gateway.ask(1).await;
    gateway.engines.at(&home, [status(429)]);
    assert_ne!(gateway.ask(1).await, home);
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(gateway.ask(1).await, home);
}

/// After a scale-up, whoever was forgotten goes by the hash over all.
#[tokio::test(start_paused = true)]
async fn the_time_starts_again_with_each_request() {
    let gateway = Gateway::of(2);
    let before = gateway.ask_all(40).await;
    gateway
        .handle
        .set_endpoints("server", (0..10).map(uri))
        .unwrap();
    for _ in 0..4 {
        tokio::time::advance(IDLE - SECOND).await;
        assert_eq!(gateway.ask_all(40).await, before);
    }
    tokio::time::advance(IDLE).await;
    let after = gateway.ask_all(40).await;
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(one, other)| one != other);
    assert!(moved.count() > 20);
}

#[tokio::test(start_paused = true)]
async fn gateways_that_share_nothing_mostly_agree() {
    let (one, other) = (Gateway::of(5), Gateway::of(5));
    assert_eq!(one.ask_all(50).await, other.ask_all(50).await);
    // One that is out here moves only its own.
    let third = Gateway::of(5);
    third.handle.drain(&uri(0)).unwrap();
    let (all, less) = (one.ask_all(50).await, third.ask_all(50).await);
    for (all, less) in all.iter().zip(&less) {
        assert!(all == less || *all == uri(0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_source_counts_and_without_a_key_the_balance_does() {
    let gateway = Gateway::of(4);
    let with_header = |user: usize| {
        let mut request = of_session(user);
        request
            .headers_mut()
            .insert("x-session", "s".parse().unwrap());
        request
    };
    let home = gateway
        .send(with_header(0))
        .await
        .decision()
        .endpoint()
        .to_owned();
    for user in 1..10 {
        assert_eq!(
            gateway.send(with_header(user)).await.decision().endpoint(),
            home
        );
    }
    let mut seen = HashMap::new();
    for _ in 0..8 {
        let answer = gateway
            .send(post("/v1/chat/completions", r#"{"model":"asked"}"#))
            .await;
        *seen
            .entry(answer.decision().endpoint().to_owned())
            .or_insert(0) += 1;
    }
    assert!(
        seen.len() == 4 && seen.values().all(|&count| count == 2),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_layer_above_may_say_whose_it_is() {
    let sticky = SessionSticky::new([HashKey::Extension("sub".into())]);
    let gateway = Gateway::new(builder(6, TrafficPolicy::new().session_sticky(sticky)));
    let of = |sub: &str| {
        let mut request = post("/v1/chat/completions", r#"{"model":"asked"}"#);
        request
            .extensions_mut()
            .insert(AffinityKeys::new().with("sub", sub));
        request
    };
    for sub in ["a", "b", "c"] {
        let home = gateway.send(of(sub)).await.decision().endpoint().to_owned();
        for _ in 0..6 {
            assert_eq!(gateway.send(of(sub)).await.decision().endpoint(), home);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_split_comes_first() {
    let policy = || TrafficPolicy::new().session_sticky(sticky());
    let rule = Rule::new("split")
        .target(TargetModel::new("one").weight(75))
        .target(TargetModel::new("two").weight(25));
    let table = RouteTable::builder()
        .model_server(server("one", 0..3, policy()))
        .model_server(server("two", 3..6, policy()))
        .model_route(ModelRoute::new("route").model_name("asked").rule(rule));
    let gateway = Gateway::new(table);
    let mut homes = HashMap::new();
    let mut ones = 0;
    for _ in 0..40 {
        let answer = gateway.send(of_session(1)).await;
        let decision = answer.decision();
        ones += usize::from(decision.model_server() == "one");
        let home = homes
            .entry(decision.model_server().to_owned())
            .or_insert_with(|| decision.endpoint().to_owned());
        assert_eq!(decision.endpoint(), home, "it has a home in each");
    }
    assert_eq!((ones, homes.len()), (30, 2));
}

#[tokio::test(start_paused = true)]
async fn sessions_are_bounded_and_those_that_were_idle_for_longest_go() {
    let sticky = sticky().max_sessions(10);
    let gateway = Gateway::new(builder(2, TrafficPolicy::new().session_sticky(sticky)));
    let before = gateway.ask_all(20).await;
    gateway
        .handle
        .set_endpoints("server", (0..40).map(uri))
        .unwrap();
    // Those that are known stay; from the oldest on, they are new.
    for (session, home) in before.iter().enumerate().skip(10) {
        assert_eq!(gateway.ask(session).await, *home);
    }
    let mut moved = 0;
    for (session, home) in before.iter().enumerate().take(10) {
        moved += usize::from(gateway.ask(session).await != *home);
    }
    assert!(moved >= 7, "{moved}");
}

#[tokio::test(start_paused = true)]
async fn bindings_carry_over_reloads() {
    let gateway = Gateway::of(3);
    let before = gateway.ask_all(30).await;
    let policy = TrafficPolicy::new()
        .session_sticky(sticky())
        .max_in_flight(100);
    gateway.handle.replace(builder(9, policy).build().unwrap());
    assert_eq!(gateway.ask_all(30).await, before);
}

#[tokio::test(start_paused = true)]
async fn explanations_say_where_it_is_and_bind_nothing() {
    let gateway = Gateway::of(4);
    let explain = || {
        let (head, _) = of_session(1).into_parts();
        let body = br#"{"model":"asked","user":"user-1"}"#;
        gateway.handle.table().explain_request(&head, body).unwrap()
    };
    assert_eq!(explain().targets()[0].session_at(), None);
    let home = gateway.ask(1).await;
    assert_eq!(explain().targets()[0].session_at(), Some(&*home));
    assert!(explain().to_string().contains(&format!("bound to {home}")));
}
