//! What a new table takes over, and what it does not.

use futures_util::FutureExt;
use http::StatusCode;
use test_kit::{
    body::script,
    engines::{Engines, answers, status},
    request::{asked, chat_of},
    table::{endpoint, retries, table},
};
use tower::ServiceExt;
use tower_model_route::{
    Balance, ConsistentHash, Endpoint, EndpointHealth, EndpointSnapshot, HashKey, ModelMatch,
    ModelRoute, ModelServer, OutlierDetection, RouteTable, RouteTableHandle, Rule, Spill,
    StringMatch, TargetModel, TrafficPolicy, stack,
};

/// A server of these endpoints.
fn server<const N: usize>(endpoints: [&str; N]) -> ModelServer {
    ModelServer::new("server").endpoints(endpoints)
}

/// A table of this server.
fn single(server: ModelServer) -> RouteTable {
    table([server], Rule::new("rule").target("server"))
}

/// `a` to `b` over `http://a` and `http://b`.
fn split(a: u32, b: u32) -> RouteTable {
    let rule = Rule::new("rule")
        .target(TargetModel::new("a").weight(a))
        .target(TargetModel::new("b").weight(b));
    table(
        ["a", "b"].map(|name| ModelServer::new(name).endpoint(format!("http://{name}"))),
        rule,
    )
}

fn seen(handle: &RouteTableHandle, uri: &str) -> EndpointSnapshot {
    endpoint(&handle.table(), uri)
}

#[tokio::test]
async fn the_next_request_goes_by_the_new_table() {
    let engines = Engines::default();
    let handle = RouteTableHandle::new(single(server(["http://old"])));
    let service = stack(handle.clone()).service(engines.service());
    service.clone().oneshot(asked()).await.unwrap();
    handle.replace(single(server(["http://new"])));
    service.clone().oneshot(asked()).await.unwrap();
    assert_eq!((engines.count("old"), engines.count("new")), (1, 1));
    handle.replace(RouteTable::builder().build().unwrap());
    let response = service.oneshot(asked()).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_in_flight_finishes_where_it_is_and_is_counted_there() {
    let engines = Engines::default();
    let gate = engines.hold();
    let handle = RouteTableHandle::new(single(server(["http://stays", "http://goes"])));
    let service = stack(handle.clone()).service(engines.service());
    let mut calls = [
        service.clone().oneshot(asked()).boxed(),
        service.clone().oneshot(asked()).boxed(),
    ];
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    let old = handle.table();
    handle.replace(single(server(["http://comes", "http://stays"])));
    assert_eq!(seen(&handle, "http://stays").in_flight(), 1);
    assert_eq!(seen(&handle, "http://comes").in_flight(), 0);
    assert_eq!(old.servers()[0].in_flight(), 2);
    gate.add_permits(2);
    for call in calls {
        assert_eq!(call.await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(seen(&handle, "http://stays").in_flight(), 0);
    assert_eq!(old.servers()[0].in_flight(), 0);
}

#[tokio::test]
async fn an_ejected_endpoint_stays_ejected() {
    let engines = Engines::default();
    engines.always("bad", || status(502));
    let detection = OutlierDetection::new().consecutive_failures(1);
    let policy = TrafficPolicy::new().outlier_detection(detection);
    let strict = |endpoints| single(server(endpoints).traffic_policy(policy.clone()));
    let handle = RouteTableHandle::new(strict(["http://good", "http://bad"]));
    let service = stack(handle.clone()).service(engines.service());
    for _ in 0..20 {
        service.clone().oneshot(asked()).await.unwrap();
    }
    let failed = engines.count("bad");
    assert_eq!(
        seen(&handle, "http://bad").health(),
        EndpointHealth::Ejected
    );
    handle.replace(strict(["http://bad", "http://good"]));
    assert_eq!(
        seen(&handle, "http://bad").health(),
        EndpointHealth::Ejected
    );
    for _ in 0..20 {
        service.clone().oneshot(asked()).await.unwrap();
    }
    assert_eq!(engines.count("bad"), failed);
}

/// A Pod's address is used again: the new Pod is not judged by what the old one did.
#[tokio::test]
async fn an_endpoint_of_another_name_is_another_process() {
    let detection = OutlierDetection::new().consecutive_failures(1);
    let policy = TrafficPolicy::new().outlier_detection(detection);
    let called = |name: &str| {
        let pod = Endpoint::new("http://bad").name(name);
        let server = ModelServer::new("server")
            .endpoint(pod)
            .endpoint("http://good");
        single(server.traffic_policy(policy.clone()))
    };
    // The names one after the other, and whether the last is the process that failed.
    for (names, is_the_same) in [
        (&["a", "a"][..], true),
        (&["a", ""], true),
        (&["", "a"], true),
        (&["", ""], true),
        (&["a", "b"], false),
        // That it is `a` was known once, and stays so.
        (&["", "a", "b"], false),
        (&["a", "", "b"], false),
        (&["a", "", "a"], true),
    ] {
        let engines = Engines::default();
        engines.always("bad", || status(502));
        let handle = RouteTableHandle::new(called(names[0]));
        let service = stack(handle.clone()).service(engines.service());
        while seen(&handle, "http://bad").ejections() == 0 {
            service.clone().oneshot(asked()).await.unwrap();
        }
        service.oneshot(asked()).await.unwrap();
        for name in &names[1..] {
            handle.replace(called(name));
        }
        let now = seen(&handle, "http://bad");
        let (health, requests) = match is_the_same {
            true => (EndpointHealth::Ejected, 1),
            false => (EndpointHealth::Healthy, 0),
        };
        assert_eq!(
            (now.health(), now.requests()),
            (health, requests),
            "{names:?}"
        );
        assert!(seen(&handle, "http://good").requests() > 0, "{names:?}");
        let last = names.iter().rfind(|name| !name.is_empty()).copied();
        assert_eq!(now.name(), last, "{names:?}");
    }
}

#[tokio::test]
async fn an_endpoint_is_the_same_in_a_server_of_another_name() {
    let handle = RouteTableHandle::new(single(server(["http://h"])));
    let engines = Engines::default();
    let service = stack(handle.clone()).service(engines.service());
    service.oneshot(asked()).await.unwrap();
    assert_eq!(seen(&handle, "http://h").requests(), 1);
    handle.replace(
        RouteTable::builder()
            .model_server(ModelServer::new("other").endpoint("http://h"))
            .build()
            .unwrap(),
    );
    assert_eq!(seen(&handle, "http://h").requests(), 1);
}

#[tokio::test]
async fn a_split_that_stays_goes_on_where_it_was() {
    let engines = Engines::default();
    let handle = RouteTableHandle::new(split(70, 30));
    let service = stack(handle.clone()).service(engines.service());
    for _ in 0..10 {
        for _ in 0..10 {
            service.clone().oneshot(asked()).await.unwrap();
        }
        handle.replace(split(70, 30));
    }
    assert_eq!((engines.count("a"), engines.count("b")), (70, 30));
}

#[tokio::test]
async fn a_split_with_other_weights_begins_anew() {
    let engines = Engines::default();
    let handle = RouteTableHandle::new(split(70, 30));
    let service = stack(handle.clone()).service(engines.service());
    for _ in 0..7 {
        service.clone().oneshot(asked()).await.unwrap();
    }
    handle.replace(split(0, 100));
    let a = engines.count("a");
    for _ in 0..10 {
        service.clone().oneshot(asked()).await.unwrap();
    }
    assert_eq!(engines.count("a"), a);
}

#[tokio::test]
async fn who_waits_in_the_queue_goes_on_waiting() {
    let limited = || {
        let policy = TrafficPolicy::new().max_in_flight(1).max_queue(1);
        single(server(["http://h"]).traffic_policy(policy))
    };
    let engines = Engines::default();
    let gate = engines.hold();
    let handle = RouteTableHandle::new(limited());
    let service = stack(handle.clone()).service(engines.service());
    let mut first = service.clone().oneshot(asked()).boxed();
    assert!((&mut first).now_or_never().is_none());
    let mut second = service.clone().oneshot(asked()).boxed();
    assert!((&mut second).now_or_never().is_none());
    handle.replace(limited());
    // The place in the queue is taken, in the new table too.
    let shed = service.clone().oneshot(asked()).await.unwrap();
    assert_eq!(shed.status(), StatusCode::SERVICE_UNAVAILABLE);
    gate.add_permits(2);
    let first = first.await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    drop(first);
    assert_eq!(second.await.unwrap().status(), StatusCode::OK);
    assert_eq!(engines.count("h"), 2);
}

#[tokio::test]
async fn a_table_that_is_kept_elsewhere_can_be_put_in() {
    let table = split(50, 50);
    let handle = RouteTableHandle::new(split(1, 1));
    handle.replace(table.clone());
    handle.replace(table);
    let engines = Engines::default();
    let service = stack(handle.clone()).service(engines.service());
    for _ in 0..10 {
        service.clone().oneshot(asked()).await.unwrap();
    }
    assert_eq!((engines.count("a"), engines.count("b")), (5, 5));
}

/// Two rules of one name with the same targets, as manifests may have them.
fn twins() -> RouteTable {
    let rule = || {
        Rule::new("rule")
            .target(TargetModel::new("a").weight(50))
            .target(TargetModel::new("b").weight(50))
    };
    let gold = ModelMatch::new().header("tier", StringMatch::exact("gold"));
    let route = ModelRoute::new("route")
        .model_name("asked")
        .rule(rule().when(gold))
        .rule(rule());
    ["a", "b"]
        .map(|name| ModelServer::new(name).endpoint(format!("http://{name}")))
        .into_iter()
        .fold(RouteTable::builder(), |table, server| {
            table.model_server(server)
        })
        .model_route(route)
        .build()
        .unwrap()
}

#[test]
fn rules_of_one_name_each_keep_their_own_split() {
    let head = |tier| {
        let request = http::Request::post("/v1/chat/completions").header("tier", tier);
        request.body(()).unwrap().into_parts().0
    };
    let to_a = |table: &RouteTable| {
        let goes = |tier| table.decide(&head(tier), "asked").unwrap().model_server() == "a";
        (0..50).fold((0, 0), |(gold, other), _| {
            (gold + i32::from(goes("gold")), other + i32::from(goes("x")))
        })
    };
    let handle = RouteTableHandle::new(twins());
    assert_eq!(to_a(&handle.table()), (25, 25));
    for _ in 0..3 {
        handle.replace(twins());
        assert_eq!(to_a(&handle.table()), (25, 25));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_fill_the_retry_budget() {
    let retrying = || single(server(["http://e0", "http://e1"]).traffic_policy(retries(1)));
    let handle = RouteTableHandle::new(retrying());
    let engines = Engines::default();
    engines.everywhere(|| status(503));
    let service = stack(handle.clone()).service(engines.service());
    let round = async || {
        for _ in 0..300 {
            service.clone().oneshot(asked()).await.unwrap();
        }
        engines.attempts().len() - 300
    };
    let first = round().await;
    handle.replace(retrying());
    let second = round().await;
    assert!(
        first > 0 && second == 0,
        "{first} retries, and after a reload {second}"
    );
}

#[tokio::test]
async fn who_is_next_is_the_same_after_a_reload() {
    let engines = Engines::default();
    let in_turn = || {
        let three = server(["http://e0", "http://e1", "http://e2"]);
        single(three.balance(Balance::RoundRobin))
    };
    let handle = RouteTableHandle::new(in_turn());
    let service = stack(handle.clone()).service(engines.service());
    for _ in 0..9 {
        service.clone().oneshot(asked()).await.unwrap();
        handle.replace(in_turn());
    }
    assert_eq!(
        ["e0", "e1", "e2"].map(|host| engines.count(host)),
        [3, 3, 3]
    );
}

/// A hot key spills over by what is in flight, also to before the reload.
#[tokio::test]
async fn the_load_that_bounds_a_hot_key_is_counted_on() {
    const HELD: usize = 24;
    let hosts = async |reloads: bool| {
        let engines = Engines::default();
        let hot = || {
            let three = server(["http://e0", "http://e1", "http://e2"]);
            let by_user = ConsistentHash::by(HashKey::User).spill(Spill::AboveRequests(0));
            single(three.balance(Balance::ConsistentHash(by_user)))
        };
        let handle = RouteTableHandle::new(hot());
        let service = stack(handle.clone()).service(engines.service());
        let (_scripts, bodies): (Vec<_>, Vec<_>) = (0..HELD).map(|_| script()).unzip();
        engines.next(bodies.into_iter().map(|body| answers(200, body)));
        let mut held = Vec::new();
        for _ in 0..HELD {
            let request = chat_of(r#"{"model":"asked","user":"one"}"#);
            held.push(service.clone().oneshot(request).await.unwrap());
            if reloads {
                handle.replace(hot());
            }
        }
        engines.hosts()
    };
    let reloaded = hosts(true).await;
    assert_eq!(reloaded, hosts(false).await);
    for host in ["e0", "e1", "e2"] {
        assert!(reloaded.iter().any(|asked| asked == host), "{reloaded:?}");
    }
}

#[tokio::test]
async fn a_rules_picks_are_counted_on() {
    let engines = Engines::default();
    let handle = RouteTableHandle::new(split(50, 50));
    let service = stack(handle.clone()).service(engines.service());
    for _ in 0..4 {
        service.clone().oneshot(asked()).await.unwrap();
        handle.replace(split(50, 50));
    }
    let (head, ()) = http::Request::post("/v1/chat/completions")
        .body(())
        .unwrap()
        .into_parts();
    let explained = handle.table().explain(&head, "asked");
    let picks: Vec<_> = explained
        .targets()
        .iter()
        .map(|target| target.requests())
        .collect();
    assert_eq!(picks, [2, 2]);
}
