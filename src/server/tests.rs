//! Invariants that must hold under many concurrent threads.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    ask::Ask,
    endpoint::Endpoint,
    lease::Lease,
    model_server::{Among, Pass, Server},
};
use crate::config::{Address, ModelServer, OutlierDetection, TrafficPolicy};

const THREADS: usize = 4;

fn server(endpoints: usize, policy: TrafficPolicy) -> Arc<Server> {
    let endpoints = (0..endpoints)
        .map(|n| {
            let address = Address::parse(&format!("http://e{n}")).unwrap();
            (Arc::new(Endpoint::new(address)), 1)
        })
        .collect();
    let config = ModelServer::new("server").traffic_policy(policy);
    Arc::new(Server::new(&config, endpoints))
}

fn lease(server: &Arc<Server>, pass: Pass) -> Option<Lease> {
    server.pick_now(Among::all(pass), &Ask::default(), Lease::new)
}

/// The highest number of threads in `work` at once, while each of them runs it `times`.
fn most_at_once<T: Send>(times: usize, work: impl Fn() -> Option<T> + Sync) -> usize {
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..times {
                    if let Some(held) = work() {
                        let now_held = now.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now_held, Ordering::SeqCst);
                        std::hint::spin_loop();
                        now.fetch_sub(1, Ordering::SeqCst);
                        drop(held);
                    }
                }
            });
        }
    });
    most.into_inner()
}

#[test]
fn an_ejected_endpoint_is_tried_by_one_at_a_time() {
    let detection = OutlierDetection::new().base_ejection_time(Duration::ZERO);
    let server = server(1, TrafficPolicy::new().outlier_detection(detection));
    server.eject(&server.endpoints[0], false, false).unwrap();
    let most = most_at_once(300_000, || lease(&server, Pass::Healthy));
    assert_eq!(most, 1);
    assert_eq!(server.endpoints[0].in_flight(), 0);
    assert!(
        lease(&server, Pass::Healthy).is_some(),
        "the trial was given back"
    );
}

#[test]
fn no_endpoint_ever_has_more_than_it_may() {
    let server = server(2, TrafficPolicy::new().max_in_flight(1));
    let most = most_at_once(20_000, || {
        lease(&server, Pass::Healthy).or_else(|| lease(&server, Pass::LastResort))
    });
    assert!((1..=2).contains(&most), "{most}");
    assert_eq!(
        server
            .endpoints
            .iter()
            .map(|e| e.in_flight())
            .sum::<usize>(),
        0
    );
}

#[test]
fn no_more_than_half_are_ejected_by_whoever_is_faster() {
    for _ in 0..200 {
        let half = OutlierDetection::new().max_ejection_percent(50);
        let server = server(5, TrafficPolicy::new().outlier_detection(half));
        let barrier = Barrier::new(server.endpoints.len());
        thread::scope(|scope| {
            for endpoint in &server.endpoints {
                scope.spawn(|| {
                    barrier.wait();
                    server.eject(endpoint, false, false);
                });
            }
        });
        let ejected = server.endpoints.iter().filter(|e| e.health.is_ejected());
        assert_eq!(ejected.count(), 2);
    }
}
