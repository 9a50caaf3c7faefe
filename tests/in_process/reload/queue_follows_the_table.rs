//! What waits, and what is sent again, goes to what the current table has.

use test_kit::{
    answer::Answer,
    engines::{Act, Engines, status},
    gateway::Gateway,
    paused::settle,
    request::asked,
    table::{one_server, table},
};
use tokio::{task::JoinHandle, time::Instant};
use tower::ServiceExt;
use tower_model_route::{ModelServer, RouteTable, RouteTableHandle, Rule, TrafficPolicy, stack};

use crate::SECOND;

fn policy() -> TrafficPolicy {
    TrafficPolicy::new()
        .max_in_flight(1)
        .max_queue(5)
        .queue_timeout(30 * SECOND)
}

struct Rig {
    handle: RouteTableHandle,
    engines: Engines,
    gateway: Gateway,
}

impl Rig {
    fn new() -> Self {
        Self::of(one_server(1, policy()))
    }

    fn of(table: RouteTable) -> Self {
        let handle = RouteTableHandle::new(table);
        let engines = Engines::default();
        let gateway = Gateway::over(&engines, stack(handle.clone()));
        Self {
            handle,
            engines,
            gateway,
        }
    }

    fn spawn(&self) -> JoinHandle<Answer> {
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            let Ok(answer) = gateway.oneshot(asked()).await;
            Answer::of(answer).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_added_takes_what_waits_and_what_comes() {
    let rig = Rig::new();
    rig.engines.at("e0", [Act::Hang]);
    let busy = rig.spawn();
    settle().await;
    let waiting = rig.spawn();
    settle().await;
    rig.engines.always("e1", || status(200));
    rig.handle.replace(one_server(2, policy()));
    let start = Instant::now();
    let new = rig.spawn().await.unwrap();
    assert_eq!((new.status().as_u16(), start.elapsed().as_secs()), (200, 0));
    let waited = waiting.await.unwrap();
    assert_eq!(
        (waited.status().as_u16(), start.elapsed().as_secs()),
        (200, 0)
    );
    assert_eq!(waited.decision().endpoint(), "http://e1");
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_raised_holds_for_what_waits() {
    let rig = Rig::new();
    rig.engines.at("e0", [Act::Hang]);
    let busy = rig.spawn();
    settle().await;
    let waiting = rig.spawn();
    settle().await;
    rig.handle.replace(one_server(1, policy().max_in_flight(2)));
    let start = Instant::now();
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(start.elapsed().as_secs(), 0);
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_server_that_is_gone_still_gets_its_endpoint() {
    let rig = Rig::new();
    rig.engines.at("e0", [status(200).late(SECOND)]);
    let busy = rig.spawn();
    settle().await;
    let waiting = rig.spawn();
    settle().await;
    let empty = RouteTable::builder().build().unwrap();
    rig.handle.replace(empty);
    assert_eq!(busy.await.unwrap().status(), 200);
    assert_eq!(waiting.await.unwrap().status(), 200);
}

/// As when Pods are replaced: those that the request began with end, and are no longer listed.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_again_goes_to_an_endpoint_of_the_current_table() {
    let with = |endpoints: [&str; 2]| {
        let policy = TrafficPolicy::new().max_retries(3).retry_interval(SECOND);
        let server = ModelServer::new("server")
            .endpoints(endpoints)
            .traffic_policy(policy);
        table([server], Rule::new("rule").target("server"))
    };
    let rig = Rig::of(with(["http://old0", "http://old1"]));
    rig.engines.everywhere(|| status(503));
    rig.engines.always("new1", || status(200));
    let asked = rig.spawn();
    settle().await;
    rig.handle.replace(with(["http://new0", "http://new1"]));
    let answer = asked.await.unwrap();
    let hosts = rig.engines.hosts();
    assert_eq!(answer.status(), 200, "{hosts:?}");
    assert!(
        hosts[1..].iter().all(|host| host.starts_with("new")),
        "{hosts:?}"
    );
    assert_eq!(answer.decision().endpoint(), "http://new1");
}

#[tokio::test(start_paused = true)]
async fn where_no_endpoint_is_left_the_answer_stands() {
    let policy = || TrafficPolicy::new().max_retries(3).retry_interval(SECOND);
    let rig = Rig::of(one_server(2, policy()));
    rig.engines.everywhere(|| status(503));
    let asked = rig.spawn();
    settle().await;
    rig.handle.replace(one_server(0, policy()));
    assert_eq!(asked.await.unwrap().status(), 503);
    assert_eq!(rig.engines.hosts(), ["e0"]);
}
