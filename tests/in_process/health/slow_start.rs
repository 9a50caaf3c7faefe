//! Endpoints that are new or back begin with a small share.

use std::time::Duration;

use test_kit::{
    engines::{Engines, fails, status},
    gateway::Gateway,
    table::{endpoint, one_server, server, table},
};
use tower::ServiceExt;
use tower_model_route::{
    Balance, EndpointHealth, HealthCheck, OutlierDetection, RouteTable, RouteTableHandle, Rule,
    TrafficPolicy, stack,
};

use crate::SECOND;

const SLOW: Duration = Duration::from_secs(100);
const ASKED: usize = 400;

fn policy() -> TrafficPolicy {
    TrafficPolicy::new().slow_start(SLOW)
}

/// Endpoints that take turns.
fn turns(endpoints: usize, policy: TrafficPolicy) -> RouteTable {
    let server = server(endpoints, policy).balance(Balance::RoundRobin);
    table([server], Rule::new("rule").target("server"))
}

struct Rig {
    handle: RouteTableHandle,
    engines: Engines,
    gateway: Gateway,
}

impl Rig {
    fn new(table: RouteTable) -> Self {
        let handle = RouteTableHandle::new(table);
        let engines = Engines::default();
        let gateway = Gateway::over(&engines, stack(handle.clone()));
        Self {
            handle,
            engines,
            gateway,
        }
    }

    async fn ask(&self) {
        let Ok(_) = self
            .gateway
            .clone()
            .oneshot(test_kit::request::asked())
            .await;
    }

    /// How many of 400 requests this endpoint gets.
    async fn count(&self, host: &str) -> usize {
        self.engines.attempts();
        for _ in 0..ASKED {
            self.ask().await;
        }
        let hosts = self.engines.hosts();
        hosts.iter().filter(|asked| *asked == host).count()
    }

    fn health(&self, host: &str) -> EndpointHealth {
        endpoint(&self.handle.table(), &format!("http://{host}")).health()
    }

    /// Of two endpoints this one is cold: a tenth, then half of it, and at last its turn.
    async fn begins_slowly(&self, host: &str) {
        // 1 in 11, 0.55 in 1.55, 1 in 2.
        for (expected, around) in [(36, 30), (142, 50), (200, 0)] {
            let count = self.count(host).await;
            assert!(count.abs_diff(expected) <= around, "{count} for {expected}");
            tokio::time::advance(SLOW / 2).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_start_none_is_new() {
    let rig = Rig::new(turns(2, policy()));
    assert_eq!(rig.count("e0").await, ASKED / 2);
    // Nor where there was none to take its requests.
    let rig = Rig::new(turns(0, policy()));
    rig.handle.replace(turns(2, policy()));
    assert_eq!(rig.count("e0").await, ASKED / 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_a_reload_adds() {
    let rig = Rig::new(turns(1, policy()));
    rig.ask().await;
    rig.handle.replace(turns(2, policy()));
    rig.begins_slowly("e1").await;
    // What stays is not new.
    rig.handle.replace(turns(2, policy().max_in_flight(9)));
    assert_eq!(rig.count("e1").await, ASKED / 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_set() {
    let rig = Rig::new(turns(1, policy()));
    let both = ["http://e0", "http://e1"];
    rig.handle.set_endpoints("server", both).unwrap();
    rig.begins_slowly("e1").await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_ejection_is_over() {
    let detection = OutlierDetection::new().consecutive_failures(1);
    let rig = Rig::new(turns(2, policy().outlier_detection(detection)));
    rig.engines.at("e1", [status(502)]);
    while rig.health("e1") != EndpointHealth::Ejected {
        rig.ask().await;
    }
    tokio::time::advance(11 * SECOND).await;
    while rig.health("e1") != EndpointHealth::Healthy {
        rig.ask().await;
    }
    rig.begins_slowly("e1").await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_well_again_or_undrained() {
    let rig = Rig::new(turns(2, policy()));
    let engines = Engines::default();
    engines.at("e1", [fails(), fails()]);
    let checks = HealthCheck::new("/health")
        .unhealthy_after(2)
        .interval(SECOND);
    let checks = checks.start(rig.handle.clone(), engines.service()).unwrap();
    for state in [EndpointHealth::Unhealthy, EndpointHealth::Healthy] {
        while rig.health("e1") != state {
            tokio::time::sleep(SECOND).await;
        }
    }
    checks.stop().await;
    rig.begins_slowly("e1").await;
    rig.handle.drain("http://e1").unwrap();
    rig.handle.undrain("http://e1").unwrap();
    rig.begins_slowly("e1").await;
}

/// A pause that it asked for is no absence, and zero is off.
#[tokio::test(start_paused = true)]
async fn nothing_else_and_nothing_by_default() {
    let rig = Rig::new(turns(2, policy()));
    rig.engines
        .at("e1", [status(429).header("retry-after", "1")]);
    while rig.health("e1") != EndpointHealth::Cooling {
        rig.ask().await;
    }
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(rig.count("e1").await, ASKED / 2);

    let rig = Rig::new(turns(1, TrafficPolicy::new()));
    rig.handle.replace(turns(2, TrafficPolicy::new()));
    assert_eq!(rig.count("e1").await, ASKED / 2);
}

#[tokio::test(start_paused = true)]
async fn where_no_other_can_take_it_it_does() {
    let rig = Rig::new(one_server(1, policy()));
    rig.handle.replace(one_server(2, policy()));
    rig.handle.drain("http://e0").unwrap();
    assert_eq!(rig.count("e1").await, ASKED);
}
