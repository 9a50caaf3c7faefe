//! Discovery at run time: changes that several make at once, and what stays of the rest.

use std::{sync::Barrier, thread};

use test_kit::{
    engines::{Engines, status},
    request::asked,
    table::{endpoint, table},
};
use tower::ServiceExt;
use tower_model_route::{
    MistakeKind, ModelServer, RouteTable, RouteTableHandle, Rule, TrafficPolicy, stack,
};

fn handle(server: ModelServer) -> RouteTableHandle {
    RouteTableHandle::new(table([server], Rule::new("rule").target("server")))
}

fn names(table: &RouteTable) -> Vec<String> {
    let servers = table.config().get_model_servers().iter();
    servers.map(|server| server.get_name().to_owned()).collect()
}

#[test]
fn no_change_of_several_threads_is_lost() {
    const THREADS: usize = 4;
    const EACH: usize = 25;
    let handle = handle(ModelServer::new("server"));
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (handle, barrier) = (&handle, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for i in 0..EACH {
                    let name = format!("{thread}-{i}");
                    let add = handle.update(|config| config.model_server(ModelServer::new(&name)));
                    add.unwrap();
                }
            });
        }
    });
    let mut found = names(&handle.table());
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 1 + THREADS * EACH);
}

#[test]
fn a_mistake_is_told_and_leaves_the_table() {
    let handle = handle(ModelServer::new("server"));
    let error = handle.update(|config| config.model_server(ModelServer::new("server")));
    let error = error.unwrap_err();
    assert_eq!(
        error.mistakes()[0].kind(),
        &MistakeKind::DuplicateModelServer
    );
    assert_eq!(names(&handle.table()), ["server"]);
    assert_eq!(handle.last_error().unwrap().to_string(), error.to_string());
    assert_eq!(handle.last_reload(), None);
    // One that is right ends it.
    handle
        .update(|config| config.model_server(ModelServer::new("other")))
        .unwrap();
    assert!(handle.last_error().is_none() && handle.last_reload().is_some());
}

#[test]
fn what_changes_nothing_replaces_nothing() {
    let handle = handle(ModelServer::new("server").endpoint("http://e"));
    handle.update(|config| config).unwrap();
    handle.set_endpoints("server", ["http://e"]).unwrap();
    assert_eq!(handle.last_reload(), None);
}

#[tokio::test]
async fn endpoints_come_and_go_and_the_others_keep_their_state() {
    let engines = Engines::default();
    let policy = TrafficPolicy::new().max_in_flight(7);
    let server = ModelServer::new("server")
        .model("real")
        .traffic_policy(policy.clone());
    let handle = handle(server.endpoint("http://stays"));
    let service = stack(handle.clone()).service(engines.service());
    engines.next([status(503)]);
    service.clone().oneshot(asked()).await.unwrap();
    handle
        .set_endpoints("server", ["http://stays", "http://new"])
        .unwrap();
    assert_eq!(endpoint(&handle.table(), "http://stays").failures(), 1);
    assert_eq!(endpoint(&handle.table(), "http://new").failures(), 0);
    let server = handle.table().config().get_model_servers()[0].clone();
    assert_eq!(
        (server.get_model(), server.get_traffic_policy()),
        (Some("real"), &policy)
    );
    handle.set_endpoints("server", ["http://new"]).unwrap();
    for _ in 0..4 {
        service.clone().oneshot(asked()).await.unwrap();
    }
    assert_eq!((engines.count("stays"), engines.count("new")), (1, 4));
}

#[test]
fn endpoints_of_no_server_and_no_endpoints_are_mistakes() {
    let handle = handle(ModelServer::new("server").endpoint("http://e"));
    let error = handle.set_endpoints("sever", ["http://e"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 mistake in the options\n- ModelServer \"sever\": there is no ModelServer of this name"
    );
    let error = handle.set_endpoints("server", ["e"]).unwrap_err();
    assert!(matches!(
        error.mistakes()[0].kind(),
        MistakeKind::InvalidEndpoint(_)
    ));
    let table = handle.table();
    assert_eq!(table.servers()[0].endpoints()[0].uri(), "http://e");
}
