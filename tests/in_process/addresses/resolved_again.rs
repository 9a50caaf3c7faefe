//! Names are resolved, and again; where that fails, nothing changes.

use std::{
    error::Error,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use test_kit::{paused::within, table::table};
use tokio::time::{Instant, sleep};
use tower_model_route::{
    Dns, DnsHandle, Endpoint, ModelServer, Resolve, Resolved, RouteTableHandle, Rule,
};

use super::{NAME, at, ips, name, server, single};
use crate::{SECOND, telemetry::collect::collecting};

/// What a look-up meets.
#[derive(Clone)]
enum Says {
    Addresses(Vec<IpAddr>),
    For(Duration, Vec<IpAddr>),
    Fails,
    Hangs,
    Panics,
}

/// Says the same of every name.
#[derive(Clone)]
struct Told {
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

impl Told {
    fn new(says: Says) -> Self {
        Self {
            says: Arc::new(Mutex::new(says)),
            asked: Arc::default(),
        }
    }

    fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Told {
    async fn resolve(&self, _host: &str) -> Result<Resolved, Box<dyn Error + Send + Sync>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let says = self.says.lock().unwrap().clone();
        match says {
            Says::Addresses(addresses) => Ok(Resolved::new(addresses)),
            Says::For(time, addresses) => Ok(Resolved::new(addresses).time_to_live(time)),
            Says::Fails => Err("no such host".into()),
            Says::Hangs => std::future::pending().await,
            Says::Panics => panic!("a resolver"),
        }
    }
}

fn says(last: impl IntoIterator<Item = u8>) -> Says {
    Says::Addresses(ips(last))
}

fn started(told: &Told, handle: &RouteTableHandle) -> DnsHandle {
    let dns = Dns::new().resolver(told.clone());
    dns.start(handle.clone()).unwrap()
}

fn uris(handle: &RouteTableHandle) -> Vec<String> {
    let servers = handle.table().servers();
    let endpoints = servers.iter().flat_map(|server| server.endpoints());
    endpoints
        .map(|endpoint| endpoint.uri().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn at_once_and_after_each_interval() {
    let (told, handle) = (
        Told::new(says([8, 7])),
        RouteTableHandle::new(single(server())),
    );
    let dns = started(&told, &handle);
    let begun = Instant::now();
    within(dns.resolved()).await;
    assert!(begun.elapsed() < SECOND);
    assert_eq!(uris(&handle), [at(7), at(8)]);
    told.say(says([8, 9]));
    sleep(SECOND * 6).await;
    assert_eq!(uris(&handle), [at(8), at(9)]);
    // Every 4.5 to 5.5 s.
    sleep(SECOND * 94).await;
    assert!((18..=23).contains(&told.asked()), "{}", told.asked());
    dns.stop().await;
    let asked = told.asked();
    sleep(SECOND * 100).await;
    assert_eq!(told.asked(), asked);
    assert_eq!(uris(&handle), [at(8), at(9)]);
}

#[tokio::test(start_paused = true)]
async fn where_it_fails_the_last_stay() {
    for failure in [Says::Fails, says([]), Says::Hangs, Says::Panics] {
        let (told, handle) = (
            Told::new(says([7, 8])),
            RouteTableHandle::new(single(server())),
        );
        let dns = started(&told, &handle);
        within(dns.resolved()).await;
        told.say(failure);
        sleep(SECOND * 60).await;
        assert!(told.asked() > 3);
        assert_eq!(uris(&handle), [at(7), at(8)]);
        told.say(says([9]));
        sleep(SECOND * 12).await;
        assert_eq!(uris(&handle), [at(9)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_never_resolved_is_one_endpoint() {
    for failure in [Says::Fails, Says::Hangs] {
        let (told, handle) = (Told::new(failure), RouteTableHandle::new(single(server())));
        let dns = started(&told, &handle);
        within(dns.resolved()).await;
        assert_eq!(uris(&handle), [NAME]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_said_now_and_then() {
    let (seen, _guard) = collecting();
    let (told, handle) = (
        Told::new(says([7, 8])),
        RouteTableHandle::new(single(server())),
    );
    let dns = Dns::new().interval(SECOND).resolver(told.clone());
    let dns = dns.start(handle.clone()).unwrap();
    within(dns.resolved()).await;
    told.say(Says::Fails);
    sleep(SECOND * 30).await;
    let mut said = seen.events();
    said.retain(|event| event.fields.get("message") == Some("name can't be resolved"));
    assert_eq!(said.len(), 3);
    for (field, value) in [
        ("host", "engines"),
        ("kept", "2"),
        ("error", "no such host"),
    ] {
        assert_eq!(said[1].fields.get(field), Some(value));
    }
}

#[tokio::test(start_paused = true)]
async fn the_resolver_may_say_when() {
    for (says, least, most) in [(120, 8, 9), (1000, 3, 4), (0, 900, 1001)] {
        let says = Says::For(SECOND * says, ips([7]));
        let (told, handle) = (Told::new(says), RouteTableHandle::new(single(server())));
        let dns = started(&told, &handle);
        sleep(SECOND * 1000).await;
        assert!((least..=most).contains(&told.asked()), "{}", told.asked());
        drop(dns);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_a_reload_adds_is_resolved_soon() {
    let (told, handle) = (
        Told::new(says([7])),
        RouteTableHandle::new(single(server())),
    );
    let dns = started(&told, &handle);
    within(dns.resolved()).await;
    let other = Endpoint::new("http://other").resolve(true);
    let both =
        [name(), other].map(|endpoint| ModelServer::new(endpoint.get_uri()).endpoint(endpoint));
    handle.replace(table(both, Rule::new("rule").target(NAME)));
    assert_eq!(uris(&handle), [&at(7), "http://other"]);
    sleep(SECOND * 2).await;
    assert_eq!(uris(&handle), [&at(7), "http://other#10.0.0.7"]);
}

#[tokio::test(start_paused = true)]
async fn many_names_are_resolved_side_by_side() {
    let names = (0..200).map(|n| Endpoint::new(format!("http://n{n}")).resolve(true));
    let handle = RouteTableHandle::new(single(ModelServer::new("server").endpoints(names)));
    let told = Told::new(Says::Hangs);
    let dns = started(&told, &handle);
    sleep(SECOND).await;
    assert_eq!(told.asked(), 64);
    told.say(says([7]));
    within(dns.resolved()).await;
    let resolved = uris(&handle).iter().filter(|uri| uri.contains('#')).count();
    assert!(resolved >= 200 - 64, "{resolved}");
}

#[tokio::test]
async fn the_machines_own_resolver() {
    let local = Endpoint::new("http://localhost:8000").resolve(true);
    let handle = RouteTableHandle::new(single(ModelServer::new("server").endpoint(local)));
    let dns = Dns::new().start(handle.clone()).unwrap();
    test_kit::time::within(dns.resolved()).await;
    let uris = uris(&handle);
    let known = [
        "http://localhost:8000#127.0.0.1",
        "http://localhost:8000#::1",
    ];
    assert!(
        !uris.is_empty() && uris.iter().all(|uri| known.contains(&&**uri)),
        "{uris:?}"
    );
}

#[tokio::test]
async fn no_time_at_all_is_a_mistake() {
    let handle = RouteTableHandle::new(single(server()));
    assert!(Dns::new().timeout(Duration::ZERO).start(handle).is_err());
}
