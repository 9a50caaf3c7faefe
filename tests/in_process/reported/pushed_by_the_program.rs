//! A program tells what it knows of its engines' load.

use std::time::Duration;

use test_kit::{gateway::Rig, paused::settle, table, table::retries};
use tokio::time::advance;
use tower_model_route::{LoadReport, ReportSource, RouteTableHandle, TrafficPolicy};

use crate::SECOND;

/// Whatever the options of the ModelServer.
#[tokio::test(start_paused = true)]
async fn what_it_says_counts_for_two_seconds() {
    let rig = Rig::one(2, TrafficPolicy::new());
    let loads = RouteTableHandle::new(rig.table.clone()).load_source();
    assert!(loads.report("http://e0:80/", LoadReport::new().running(3).waiting(2)));
    for _ in 0..10 {
        rig.ask().await;
    }
    assert_eq!(rig.engines.hosts(), ["e1"; 10]);
    let endpoint = rig.endpoint("e0");
    let reported = endpoint.reported()[0];
    assert_eq!(reported.source(), ReportSource::Pushed);
    assert_eq!(reported.report().get_running(), Some(3));
    advance(2 * SECOND + Duration::from_millis(1)).await;
    for _ in 0..10 {
        rig.ask().await;
    }
    assert_eq!(rig.engines.count("e0"), 5);
}

#[tokio::test(start_paused = true)]
async fn the_gateways_own_are_taken_off() {
    let rig = Rig::one(2, TrafficPolicy::new());
    let loads = RouteTableHandle::new(rig.table.clone()).load_source();
    let _gate = rig.engines.hold();
    let _held: Vec<_> = (0..4).map(|_| rig.spawn()).collect();
    settle().await;
    // Two of them are the gateway's.
    assert!(loads.report("http://e0", LoadReport::new().running(4)));
    assert!(loads.report("http://e1", LoadReport::new().running(2)));
    let _more: Vec<_> = (0..4).map(|_| rig.spawn()).collect();
    settle().await;
    let in_flight = ["e0", "e1"].map(|host| rig.endpoint(host).in_flight());
    assert_eq!(in_flight, [3, 5]);
}

#[test]
fn an_endpoint_that_there_is_not_is_refused() {
    let handle = RouteTableHandle::new(table::one_server(1, retries(0)));
    let loads = handle.load_source();
    let report = LoadReport::new().running(3);
    assert!(loads.report("http://e0", report));
    for uri in ["http://e1", "http://e0/v1", "https://e0", "e0:x", "", "\0"] {
        assert!(!loads.report(uri, report), "{uri}");
    }
    // It follows the table.
    handle.replace(table::one_server(2, retries(0)));
    assert!(loads.report("http://e1", report));
}
