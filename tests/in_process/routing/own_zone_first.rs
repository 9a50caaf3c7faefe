//! Endpoints of the own zone come first, up to a load.

use std::collections::BTreeMap;

use test_kit::{
    decision::any,
    engines::Engines,
    gateway::Gateway,
    request::{asked, head},
    table::builder,
};
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_model_route::{
    Balance, Endpoint, HashKey, ModelServer, RouteTable, RouteTableHandle, Rule, TrafficPolicy,
    stack,
};

const BELOW: usize = 4;

fn endpoint(name: &str, zone: Option<&str>) -> Endpoint {
    let endpoint = Endpoint::new(format!("http://{name}"));
    zone.into_iter().fold(endpoint, Endpoint::zone)
}

/// Two in the own zone, one in another, one in none.
fn server() -> ModelServer {
    let zones = [
        ("a0", Some("a")),
        ("b0", Some("b")),
        ("a1", Some("a")),
        ("x0", None),
    ];
    ModelServer::new("server")
        .endpoints(zones.map(|(name, zone)| endpoint(name, zone)))
        .traffic_policy(TrafficPolicy::new().prefer_zone(BELOW))
}

fn table(server: ModelServer, own: Option<&str>) -> RouteTable {
    let config = builder([server], Rule::new("rule").target("server"));
    let config = own
        .into_iter()
        .fold(config, |config, zone| config.zone(zone));
    config.build().unwrap()
}

/// Where so many requests go that are all in flight at the end.
async fn spread(table: RouteTable, requests: usize) -> BTreeMap<String, usize> {
    let handle = RouteTableHandle::new(table);
    spread_by(&handle, requests).await
}

async fn spread_by(handle: &RouteTableHandle, requests: usize) -> BTreeMap<String, usize> {
    let engines = Engines::default();
    let gate = engines.hold();
    let gateway = Gateway::over(&engines, stack(handle.clone()));
    let mut calls = JoinSet::new();
    for _ in 0..requests {
        calls.spawn(gateway.clone().oneshot(asked()));
        test_kit::paused::settle().await;
    }
    let mut spread = BTreeMap::new();
    for host in engines.hosts() {
        *spread.entry(host).or_default() += 1;
    }
    gate.add_permits(requests);
    calls.join_all().await;
    spread
}

fn counts<const N: usize>(hosts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    hosts.map(|(host, count)| (host.to_owned(), count)).into()
}

#[tokio::test(start_paused = true)]
async fn up_to_the_load_and_then_all_are_filled_alike() {
    let spread = async |requests| spread(table(server(), Some("a")), requests).await;
    assert_eq!(spread(8).await, counts([("a0", 4), ("a1", 4)]));
    let eleven = spread(11).await;
    assert_eq!((eleven["a0"], eleven["a1"]), (4, 4), "{eleven:?}");
    let sixteen = [("a0", 4), ("a1", 4), ("b0", 4), ("x0", 4)];
    assert_eq!(spread(16).await, counts(sixteen));
    let all = sixteen.map(|(host, _)| (host, 10));
    assert_eq!(spread(40).await, counts(all));
}

#[tokio::test(start_paused = true)]
async fn the_weight_counts() {
    let heavy = [
        endpoint("a0", Some("a")).weight(3),
        endpoint("b0", Some("b")),
    ];
    let server = server().without_endpoints().endpoints(heavy);
    let spread = spread(table(server, Some("a")), 13).await;
    assert_eq!(spread, counts([("a0", 12), ("b0", 1)]));
}

#[tokio::test(start_paused = true)]
async fn by_default_and_without_a_zone_all_are_alike() {
    let all = counts([("a0", 2), ("a1", 2), ("b0", 2), ("x0", 2)]);
    for (server, own) in [
        (server().traffic_policy(TrafficPolicy::new()), Some("a")),
        (server(), None),
        (server(), Some("c")),
        (
            server().traffic_policy(TrafficPolicy::new().prefer_zone(0)),
            Some("a"),
        ),
    ] {
        assert_eq!(spread(table(server, own), 8).await, all);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_left_where_it_can_take_nothing() {
    let full = TrafficPolicy::new().prefer_zone(BELOW).max_in_flight(1);
    let four = counts([("a0", 1), ("a1", 1), ("b0", 1), ("x0", 1)]);
    let limited = table(server().traffic_policy(full), Some("a"));
    assert_eq!(spread(limited, 4).await, four);
    let handle = RouteTableHandle::new(table(server(), Some("a")));
    handle.drain("http://a0").unwrap();
    assert_eq!(spread_by(&handle, 2).await, counts([("a1", 2)]));
    handle.drain("http://a1").unwrap();
    assert_eq!(spread_by(&handle, 2).await, counts([("b0", 1), ("x0", 1)]));
}

#[tokio::test(start_paused = true)]
async fn whatever_the_balance() {
    for balance in [
        Balance::RoundRobin,
        Balance::Random,
        Balance::PeakEwma,
        Balance::ConsistentHash(HashKey::Header("x".into()).into()),
        Balance::PrefixHash(64.into()),
    ] {
        let spread = spread(table(server().balance(balance.clone()), Some("a")), 4).await;
        let elsewhere = spread.keys().any(|host| !host.starts_with('a'));
        assert!(!elsewhere, "{balance:?}: {spread:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_address_of_a_name_is_in_its_zone() {
    let endpoints = [
        endpoint("name", Some("a")).resolve(true),
        endpoint("b0", Some("b")),
    ];
    let server = server().without_endpoints().endpoints(endpoints);
    let handle = RouteTableHandle::new(table(server, Some("a")));
    let ips = [[10, 0, 0, 7], [10, 0, 0, 8]].map(std::net::IpAddr::from);
    handle.set_addresses("name", ips);
    assert_eq!(spread_by(&handle, 8).await, counts([("name", 8)]));
    let spread = spread_by(&handle, 9).await;
    assert_eq!(spread, counts([("name", 8), ("b0", 1)]));
}

#[test]
fn an_explanation_says_so() {
    let table = table(server(), Some("a"));
    assert!(
        table
            .decide(&any(), "asked")
            .unwrap()
            .endpoint()
            .starts_with("http://a")
    );
    let explained = table.explain(&head("/v1/chat/completions", &[]), "asked");
    let target = &explained.targets()[0];
    let takes = target.endpoints().iter().map(|of| of.takes_requests());
    assert_eq!(takes.collect::<Vec<_>>(), [true, false, true, false]);
    assert!(
        target.policy().contains("own zone first"),
        "{}",
        target.policy()
    );
}
