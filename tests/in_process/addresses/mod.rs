//! Names of several addresses, each of which is an endpoint.

mod each_is_an_endpoint;
#[cfg(feature = "dns")]
mod resolved_again;

use std::{collections::BTreeMap, net::IpAddr};

use test_kit::{
    engines::Engines,
    gateway::Gateway,
    request::asked,
    table::{endpoint, table},
};
use tower::ServiceExt;
use tower_model_route::{
    Endpoint, EndpointSnapshot, ModelServer, RouteTable, RouteTableHandle, Rule, stack,
};

const NAME: &str = "http://engines:8000";

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn ips(last: impl IntoIterator<Item = u8>) -> Vec<IpAddr> {
    last.into_iter().map(ip).collect()
}

/// What the endpoint at this address is called.
fn at(last: u8) -> String {
    format!("{NAME}#{}", ip(last))
}

fn name() -> Endpoint {
    Endpoint::new(NAME).resolve(true)
}

fn server() -> ModelServer {
    ModelServer::new("server").endpoint(name())
}

fn single(server: ModelServer) -> RouteTable {
    table([server], Rule::new("rule").target("server"))
}

/// A gateway whose table can be replaced, over engines that are all at one host.
struct Rig {
    handle: RouteTableHandle,
    engines: Engines,
    gateway: Gateway,
}

impl Rig {
    fn new(server: ModelServer) -> Self {
        let handle = RouteTableHandle::new(single(server));
        let engines = Engines::default();
        let gateway = Gateway::over(&engines, stack(handle.clone()));
        Self {
            handle,
            engines,
            gateway,
        }
    }

    async fn ask(&self) {
        let answer = self.gateway.clone().oneshot(asked()).await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Where so many requests go, and how many to each, by the authority of their URI.
    async fn spread(&self, requests: usize) -> BTreeMap<String, usize> {
        self.engines.attempts();
        for _ in 0..requests {
            self.ask().await;
        }
        let mut spread = BTreeMap::new();
        for attempt in self.engines.attempts() {
            let to = attempt.uri().authority().unwrap().to_string();
            *spread.entry(to).or_default() += 1;
        }
        spread
    }

    fn uris(&self) -> Vec<String> {
        let servers = self.handle.table().servers();
        let endpoints = servers[0].endpoints().iter();
        endpoints
            .map(|endpoint| endpoint.uri().to_owned())
            .collect()
    }

    fn at(&self, last: u8) -> EndpointSnapshot {
        endpoint(&self.handle.table(), &at(last))
    }
}

/// So many requests to each of these.
fn each<const N: usize>(hosts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    hosts.map(|(host, count)| (host.to_owned(), count)).into()
}
