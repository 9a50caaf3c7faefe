//! Each address of a name is an endpoint, with counts and health of its own.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures_util::FutureExt;
use test_kit::{
    engines::{Engines, fails, says},
    gateway::Gateway,
    request::{self, asked},
    table::retries,
};
use tower::ServiceExt;
use tower_model_route::{
    AtAddress, Balance, Endpoint, EndpointHealth, HealthCheck, ModelServer, RouteTable,
    RouteTableHandle, Rule, TrafficPolicy, stack,
};

use super::{NAME, Rig, at, each, ip, ips, name, server, single};
use crate::SECOND;

#[tokio::test]
async fn requests_are_spread_over_them() {
    let rig = Rig::new(server());
    assert_eq!(rig.spread(200).await, each([("engines:8000", 200)]));
    assert!(rig.handle.set_addresses("engines", ips([7, 8])));
    let spread = rig.spread(200).await;
    assert_eq!(
        spread,
        each([("10.0.0.7:8000", 100), ("10.0.0.8:8000", 100)])
    );
    assert_eq!(rig.at(7).requests(), 100);
    assert_eq!(rig.handle.last_reload(), None);
}

#[tokio::test]
async fn the_name_stays_in_host_and_the_address_is_told() {
    let rig = Rig::new(server());
    rig.handle.set_addresses("engines", ips([7]));
    rig.ask().await;
    let attempts = rig.engines.attempts();
    assert_eq!(attempts[0].host(), "engines:8000");
    assert_eq!(attempts[0].decision().endpoint(), at(7));
    let told = attempts[0].head.extensions.get::<AtAddress>().unwrap();
    assert_eq!(told.socket(), SocketAddr::new(ip(7), 8000));
    assert_eq!(told.authority(), "engines:8000");
}

#[tokio::test]
async fn over_https_the_uri_keeps_the_name() {
    let rig = Rig::new(
        ModelServer::new("server").endpoint(Endpoint::new("https://engines/v").resolve(true)),
    );
    rig.handle
        .set_addresses("engines", [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    rig.ask().await;
    let attempts = rig.engines.attempts();
    assert_eq!(attempts[0].uri().authority().unwrap(), "engines");
    let told = attempts[0].head.extensions.get::<AtAddress>().unwrap();
    assert_eq!(told.socket().to_string(), "[::1]:443");
    assert_eq!(rig.uris(), ["https://engines/v#::1"]);
}

#[tokio::test]
async fn one_that_goes_ends_what_it_has() {
    let rig = Rig::new(server());
    rig.handle.set_addresses("engines", ips([7, 8]));
    let gate = rig.engines.hold();
    let mut calls = [(); 2].map(|()| rig.gateway.clone().oneshot(asked()).boxed());
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    let before = rig.handle.table();
    rig.handle.set_addresses("engines", ips([8, 9]));
    assert_eq!((rig.at(8).in_flight(), rig.at(9).in_flight()), (1, 0));
    assert_eq!(before.servers()[0].in_flight(), 2);
    gate.add_permits(1000);
    for call in calls {
        assert_eq!(call.await.unwrap().status(), 200);
    }
    assert_eq!(before.servers()[0].in_flight(), 0);
    let spread = rig.spread(100).await;
    assert_eq!(spread, each([("10.0.0.8:8000", 50), ("10.0.0.9:8000", 50)]));
}

#[tokio::test]
async fn order_and_doubles_do_not_matter() {
    let rig = Rig::new(server());
    assert!(rig.handle.set_addresses("engines", ips([7, 8, 9])));
    assert!(!rig.handle.set_addresses("Engines", ips([9, 7, 8, 7])));
    let mapped = |last| IpAddr::V6(std::net::Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped());
    assert!(!rig.handle.set_addresses("engines", [7, 8, 9].map(mapped)));
    assert_eq!(rig.uris(), [at(7), at(8), at(9)]);
    let both = [IpAddr::V6(Ipv6Addr::LOCALHOST), ip(7)];
    assert!(rig.handle.set_addresses("engines", both));
    assert_eq!(rig.uris(), [at(7), format!("{NAME}#::1")]);
}

#[tokio::test]
async fn there_are_1024_of_them_at_most() {
    let rig = Rig::new(server());
    let many = (0..3000_u16).map(|n| IpAddr::from([10, 0, (n >> 8) as u8, n as u8]));
    rig.handle.set_addresses("engines", many.rev());
    let uris = rig.uris();
    assert_eq!(uris.len(), 1024);
    assert_eq!(uris[1023], format!("{NAME}#10.0.3.255"));
}

#[tokio::test]
async fn what_does_not_resolve_has_none() {
    let fixed = [
        Endpoint::new(NAME),
        Endpoint::new("http://10.0.0.1").resolve(true),
    ];
    let rig = Rig::new(ModelServer::new("server").endpoints(fixed));
    for host in ["engines", "10.0.0.1", "other"] {
        assert!(!rig.handle.set_addresses(host, ips([7])));
    }
    assert_eq!(rig.uris(), [NAME, "http://10.0.0.1"]);
}

#[tokio::test]
async fn without_any_the_name_is_one_endpoint_again() {
    let rig = Rig::new(server());
    rig.handle.set_addresses("engines", ips([7, 8]));
    assert!(rig.handle.set_addresses("engines", []));
    assert_eq!(rig.uris(), [NAME]);
}

#[tokio::test]
async fn a_new_table_keeps_them_with_their_state() {
    let rig = Rig::new(server().traffic_policy(retries(0)));
    rig.handle.set_addresses("engines", ips([7, 8]));
    rig.spread(10).await;
    rig.handle.drain(&at(8)).unwrap();
    let other = ModelServer::new("other").endpoint(name().weight(2));
    let config = RouteTable::builder()
        .model_server(other)
        .model_server(server());
    rig.handle.replace(config.build().unwrap());
    assert_eq!(rig.uris(), [at(7), at(8)]);
    assert_eq!(rig.at(7).requests(), 5);
    assert_eq!(rig.at(8).health(), EndpointHealth::Draining);
    let servers = rig.handle.table().servers();
    assert_eq!(servers[1].endpoints()[0].requests(), 5);
    rig.handle.undrain(&at(8)).unwrap();
    assert!(rig.handle.drain(NAME).is_err());
    // A table that has no such name forgets what was known of it.
    rig.handle.replace(RouteTable::builder().build().unwrap());
    rig.handle.replace(single(server()));
    assert_eq!(rig.uris(), [NAME]);
}

#[tokio::test]
async fn a_table_may_come_back_by_which_they_were_known() {
    let rig = Rig::new(server());
    rig.handle.set_addresses("engines", ips([7, 8]));
    let known = rig.handle.table();
    rig.handle.set_addresses("engines", ips([9]));
    rig.handle.replace(known.clone());
    assert_eq!(rig.uris(), [at(9)]);
    let elsewhere = RouteTableHandle::new(known);
    assert_eq!(elsewhere.table().servers()[0].endpoints().len(), 2);
    assert!(elsewhere.set_addresses("engines", ips([1])));
    assert_eq!(elsewhere.table().servers()[0].endpoints()[0].uri(), at(1));
}

/// The configuration has two endpoints, the table has three.
#[tokio::test]
async fn each_has_the_weight_of_its_name() {
    let endpoints = [name().weight(2), Endpoint::new("http://other").weight(3)];
    let rig = Rig::new(ModelServer::new("server").endpoints(endpoints));
    rig.handle.set_addresses("engines", ips([7, 8]));
    let spread = rig.spread(70).await;
    let expected = [("10.0.0.7:8000", 20), ("10.0.0.8:8000", 20), ("other", 30)];
    assert_eq!(spread, each(expected));
    let head = request::head("/v1/chat/completions", &[]);
    let explained = rig.handle.table().explain(&head, "asked");
    let endpoints = explained.targets()[0].endpoints();
    let weights: Vec<_> = endpoints.iter().map(|of| of.weight()).collect();
    assert_eq!(weights, [2, 2, 3]);
    assert_eq!(endpoints[1].request_host(), "engines:8000");
    let uri = endpoints[1].request_uri().unwrap();
    assert_eq!(uri, "http://10.0.0.8:8000/v1/chat/completions");
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_another() {
    let small = server().traffic_policy(retries(1));
    let spare = ModelServer::new("spare").endpoint("http://spare");
    let rule = Rule::new("rule").target("server").fallback("spare");
    let handle = RouteTableHandle::new(test_kit::table::table([small, spare], rule));
    handle.set_addresses("engines", ips([7, 8]));
    let engines = Engines::default();
    let gateway = Gateway::over(&engines, stack(handle.clone()));
    engines.at("engines:8000", [fails(), fails()]);
    let answer = gateway.oneshot(asked()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let attempts = engines.attempts();
    let to: Vec<_> = attempts
        .iter()
        .map(|at| at.uri().authority().unwrap().as_str())
        .collect();
    assert_eq!(to, ["10.0.0.7:8000", "10.0.0.8:8000", "spare"]);
    let told = |attempt: usize| attempts[attempt].head.extensions.get::<AtAddress>();
    assert_eq!(told(1).unwrap().socket().ip(), ip(8));
    assert_eq!(told(2), None);
    assert_eq!(attempts[2].host(), "spare");
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_starts_slowly_but_not_those_that_were_the_name() {
    let slow = TrafficPolicy::new().slow_start(100 * SECOND);
    let endpoints = [name(), Endpoint::new("http://other")];
    let server = ModelServer::new("server").endpoints(endpoints);
    let rig = Rig::new(server.balance(Balance::RoundRobin).traffic_policy(slow));
    rig.handle.set_addresses("engines", ips([7]));
    assert_eq!(
        rig.spread(100).await,
        each([("10.0.0.7:8000", 50), ("other", 50)])
    );
    rig.handle.set_addresses("engines", ips([7, 8]));
    let spread = rig.spread(400).await;
    assert!(spread["10.0.0.8:8000"] < 60, "{spread:?}");
    assert!(spread["10.0.0.7:8000"] > 150, "{spread:?}");
}

#[tokio::test(start_paused = true)]
async fn each_is_checked() {
    let rig = Rig::new(server());
    rig.handle.set_addresses("engines", ips([7, 8]));
    rig.engines.everywhere(|| says(200, ""));
    let checks = HealthCheck::new("/health").interval(60 * SECOND);
    let checks = checks
        .start(rig.handle.clone(), rig.engines.service())
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    checks.stop().await;
    let mut to: Vec<_> = rig.engines.attempts();
    to.sort_by_key(|attempt| attempt.uri().to_string());
    let to: Vec<_> = to
        .iter()
        .map(|at| (at.uri().to_string(), at.host().to_owned()))
        .collect();
    let expected = ["7", "8"].map(|last| {
        (
            format!("http://10.0.0.{last}:8000/health"),
            "engines:8000".to_owned(),
        )
    });
    assert_eq!(to, expected);
}
