//! What waits goes to what the current table has.

use test_kit::{
    answer::Answer,
    engines::{Act, Engines, status},
    gateway::Gateway,
    paused::settle,
    request::asked,
    table::one_server,
};
use tokio::{task::JoinHandle, time::Instant};
use tower::ServiceExt;
use tower_model_route::{RouteTableHandle, TrafficPolicy, stack};

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
        let handle = RouteTableHandle::new(one_server(1, policy()));
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
    let empty = tower_model_route::RouteTable::builder().build().unwrap();
    rig.handle.replace(empty);
    assert_eq!(busy.await.unwrap().status(), 200);
    assert_eq!(waiting.await.unwrap().status(), 200);
}
