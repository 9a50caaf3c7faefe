//! What observers are told of limits.

use std::sync::{Arc, Mutex};

use test_kit::gateway::Rig;
use tower_model_route::{
    LimitFacts, LimitStore, Observer, Per, RateLimit, RequestFacts, StoreFailure, StoreFuture,
    StoreTake,
};

use super::{ask, chat, rig_with};

#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

impl Observer for Listener {
    fn limited(&self, _request: &RequestFacts, limit: &LimitFacts<'_>) {
        let (route, verdict) = (limit.route(), limit.verdict().as_str());
        let said = format!("{route} {} {verdict} {}", limit.name(), limit.store());
        self.0.lock().unwrap().push(said);
    }
}

impl Listener {
    async fn hears(&self, rig: &Rig) -> Vec<String> {
        ask(rig, chat(5)).await;
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[derive(Debug)]
struct Broken;

impl LimitStore for Broken {
    fn reserve(&self, _takes: Arc<[StoreTake]>) -> StoreFuture {
        Box::pin(async { Err("broken".into()) })
    }

    fn settle(&self, _take: StoreTake) {}
}

#[tokio::test(start_paused = true)]
async fn each_decision_of_each_limit_is_told() {
    let listener = Listener::default();
    let limits = [
        RateLimit::requests(2, Per::Day),
        RateLimit::requests(1, Per::Hour).observe_only(true),
    ];
    let rig = rig_with(limits, |layer| layer.observer(listener.clone()));
    let allowed = "route 2 requests per day allowed memory";
    assert_eq!(
        listener.hears(&rig).await,
        [allowed, "route 1 requests per hour allowed memory"]
    );
    assert_eq!(
        listener.hears(&rig).await,
        [allowed, "route 1 requests per hour observed memory"]
    );
    assert_eq!(
        listener.hears(&rig).await,
        ["route 2 requests per day refused memory"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_for_a_store_is_told() {
    for (what, expected) in [
        (
            StoreFailure::Local,
            "route 2 requests per day allowed local",
        ),
        (StoreFailure::Open, "route 2 requests per day allowed open"),
        (
            StoreFailure::Closed,
            "route 2 requests per day refused closed",
        ),
    ] {
        let listener = Listener::default();
        let limit = RateLimit::requests(2, Per::Day).on_store_failure(what);
        let rig = rig_with([limit], |layer| {
            layer
                .observer(listener.clone())
                .limit_store(Arc::new(Broken))
        });
        assert_eq!(listener.hears(&rig).await, [expected]);
    }
}
