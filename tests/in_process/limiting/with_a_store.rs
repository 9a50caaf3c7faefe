//! Limits in a store of one's own, and what happens while it fails.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use test_kit::gateway::Rig;
use tower_model_route::{
    EndFacts, LimitStore, Observer, Per, RateLimit, StoreFailure, StoreFuture, StoreLevel,
    StoreTake,
};

use super::{ask, chat, rig_with, used};

/// Buckets that never fill again.
#[derive(Debug, Default)]
struct Store {
    taken: Mutex<HashMap<String, i64>>,
    asked: AtomicUsize,
    fails: AtomicBool,
    hangs: AtomicBool,
    /// In which it answers; it takes at once.
    millis: AtomicU64,
    /// What the keys of buckets that can't be used have in them.
    odd: Mutex<Option<&'static str>>,
}

impl LimitStore for Store {
    fn reserve(&self, takes: Arc<[StoreTake]>) -> StoreFuture {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        if self.fails.load(Ordering::SeqCst) {
            return Box::pin(async { Err("down".into()) });
        }
        let mut taken = self.taken.lock().unwrap();
        let left = |take: &StoreTake, taken: &HashMap<String, i64>| {
            take.capacity as i64 - taken.get(&*take.key).copied().unwrap_or(0)
        };
        let odd = *self.odd.lock().unwrap();
        let is_odd = |take: &StoreTake| odd.is_some_and(|odd| take.key.contains(odd));
        let fits: Vec<bool> = takes
            .iter()
            .map(|take| left(take, &taken) >= take.amount)
            .collect();
        let all = takes
            .iter()
            .zip(&fits)
            .all(|(take, fits)| *fits || !take.enforced || is_odd(take));
        for (take, fits) in takes.iter().zip(&fits) {
            if all && *fits && !is_odd(take) {
                *taken.entry(take.key.to_string()).or_default() += take.amount;
            }
        }
        let levels = takes.iter().zip(fits).map(|(take, fits)| match fits {
            _ if is_odd(take) => StoreLevel::Unusable,
            true => StoreLevel::Fits(left(take, &taken)),
            false => StoreLevel::Short(left(take, &taken)),
        });
        let levels: Vec<_> = levels.collect();
        let time = Duration::from_millis(self.millis.load(Ordering::SeqCst));
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Ok(levels)
        })
    }

    fn settle(&self, take: StoreTake) {
        *self
            .taken
            .lock()
            .unwrap()
            .entry(take.key.to_string())
            .or_default() += take.amount;
    }
}

/// A gateway with this store.
fn storing(store: &Arc<Store>, limits: impl IntoIterator<Item = RateLimit>) -> Rig {
    let store: Arc<dyn LimitStore> = Arc::clone(store) as _;
    rig_with(limits, |layer| layer.limit_store(store))
}

fn taken(store: &Store, unit: &str) -> i64 {
    let taken = store.taken.lock().unwrap();
    let prefix = format!("tower-model-route:limit:{{route}}:{unit}:day:");
    let of_unit = taken.iter().filter(|(key, _)| key.starts_with(&prefix));
    of_unit.map(|(_, taken)| taken).sum()
}

#[tokio::test(start_paused = true)]
async fn gateways_share_what_a_store_has_and_settle_it_there() {
    let store = Arc::new(Store::default());
    let limits = [
        RateLimit::requests(5, Per::Day),
        RateLimit::total_tokens(1000, Per::Day),
    ];
    let gateways = [(); 2].map(|()| storing(&store, limits.clone()));
    let mut passed = 0;
    for _ in 0..4 {
        for rig in &gateways {
            rig.engines.everywhere(|| used(10, 20));
            passed += usize::from(ask(rig, chat(100)).await.status() == StatusCode::OK);
        }
    }
    assert_eq!(
        (
            passed,
            taken(&store, "requests"),
            taken(&store, "totalTokens")
        ),
        (5, 5, 150)
    );
    // One question for all limits of a request.
    assert_eq!(store.asked.load(Ordering::SeqCst), 8);
    let answer = ask(&gateways[0], chat(100)).await;
    assert_eq!(answer.code(), "rate_limit_exceeded");
    // One request of five a day.
    assert_eq!(answer.header("retry-after"), Some("17280"));
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_is_replaced_by_each_gateways_own_buckets_and_left_alone_a_while() {
    let store = Arc::new(Store::default());
    store.fails.store(true, Ordering::SeqCst);
    let rig = storing(&store, [RateLimit::requests(3, Per::Day)]);
    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(ask(&rig, chat(5)).await.status() == StatusCode::OK);
    }
    assert_eq!((passed, store.asked.load(Ordering::SeqCst)), (3, 1));
    store.fails.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&rig, chat(5)).await.status(), StatusCode::OK);
    assert_eq!(taken(&store, "requests"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_can_be_open_or_closed_while_its_store_fails() {
    let limit = RateLimit::requests(1, Per::Day);
    for (what, expected) in [(StoreFailure::Open, 200), (StoreFailure::Closed, 503)] {
        let store = Arc::new(Store::default());
        store.fails.store(true, Ordering::SeqCst);
        let limits = [
            limit.clone().on_store_failure(what),
            RateLimit::concurrent_requests(1),
        ];
        let rig = rig_with(limits, |layer| layer.limit_store(store));
        for _ in 0..3 {
            let answer = ask(&rig, chat(5)).await;
            assert_eq!(answer.status(), expected, "{what:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_50_ms_for_a_store_at_the_most() {
    let store = Arc::new(Store::default());
    store.hangs.store(true, Ordering::SeqCst);
    let rig = rig_with([RateLimit::requests(2, Per::Day)], |layer| {
        layer.limit_store(store)
    });
    let start = tokio::time::Instant::now();
    assert_eq!(ask(&rig, chat(5)).await.status(), StatusCode::OK);
    assert!(
        start.elapsed() <= Duration::from_millis(51),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_can_not_be_used_takes_the_store_from_its_own_limit_only() {
    for (what, expected) in [
        (StoreFailure::Local, [200, 200, 429, 429]),
        (StoreFailure::Open, [200, 200, 200, 429]),
        (StoreFailure::Closed, [503; 4]),
    ] {
        let store = Arc::new(Store::default());
        *store.odd.lock().unwrap() = Some("outputTokens");
        let limits = [
            RateLimit::requests(3, Per::Day).on_store_failure(StoreFailure::Open),
            RateLimit::output_tokens(10, Per::Day).on_store_failure(what),
        ];
        let rig = storing(&store, limits);
        rig.engines.everywhere(|| used(5, 5));
        for expected in expected {
            assert_eq!(ask(&rig, chat(5)).await.status(), expected, "{what:?}");
        }
        // It is asked each time, and what it had for a request that was refused has it back.
        assert_eq!(store.asked.load(Ordering::SeqCst), 4);
        let passed = expected.iter().filter(|status| **status == 200).count();
        assert_eq!(taken(&store, "requests"), passed as i64, "{what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_a_store_is_asked_takes_nothing_here() {
    let store = Arc::new(Store::default());
    store.hangs.store(true, Ordering::SeqCst);
    let limits = [
        RateLimit::requests(2, Per::Day),
        RateLimit::concurrent_requests(1),
    ];
    let rig = storing(&store, limits);
    let call = rig.start(chat(5));
    test_kit::paused::settle().await;
    call.abort();
    _ = call.await;
    store.hangs.store(false, Ordering::SeqCst);
    assert_eq!(ask(&rig, chat(5)).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_takes_for_a_request_that_has_gone_is_given_back() {
    // The client leaves after 10 ms, and the request goes on after 50.
    for (millis, is_left) in [(30, true), (400, true), (400, false)] {
        let store = Arc::new(Store::default());
        store.millis.store(millis, Ordering::SeqCst);
        let limits = [
            RateLimit::requests(5, Per::Day),
            RateLimit::output_tokens(1_000_000, Per::Day),
            RateLimit::input_tokens(1, Per::Day).observe_only(true),
        ]
        .map(|limit| limit.on_store_failure(StoreFailure::Open));
        let rig = storing(&store, limits);
        rig.engines.everywhere(|| used(10, 20));
        let call = tokio::spawn(tower::ServiceExt::oneshot(
            rig.gateway.clone(),
            chat(100_000),
        ));
        tokio::time::sleep(Duration::from_millis(10)).await;
        let amounts = |store: &Store| {
            ["requests", "outputTokens", "inputTokens"].map(|unit| taken(store, unit))
        };
        assert_eq!(amounts(&store), [1, 100_000, 1]);
        if is_left {
            call.abort();
        } else {
            let Ok(answer) = call.await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(amounts(&store), [0; 3], "{millis} ms, {is_left}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_back_of_what_was_refused() {
    let store = Arc::new(Store::default());
    let limits = [
        RateLimit::requests(1, Per::Day),
        RateLimit::total_tokens(1_000, Per::Day),
    ];
    let rig = storing(&store, limits);
    rig.engines.everywhere(|| used(10, 20));
    assert_eq!(ask(&rig, chat(100)).await.status(), StatusCode::OK);
    store.millis.store(400, Ordering::SeqCst);
    ask(&rig, chat(100)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (taken(&store, "requests"), taken(&store, "totalTokens")),
        (1, 30)
    );
}

/// The time in the queue is not that of a store: nobody has to look for room that is there.
#[tokio::test(start_paused = true)]
async fn what_a_store_takes_is_no_time_in_the_queue() {
    #[derive(Clone, Default)]
    struct Times(Arc<Mutex<Vec<(Duration, Duration)>>>);
    impl Observer for Times {
        fn ended(&self, end: &EndFacts<'_>) {
            let times = (end.times().queue, end.times().total);
            self.0.lock().unwrap().push(times);
        }
    }
    let times = Times::default();
    let store = Arc::new(Store::default());
    store.millis.store(30, Ordering::SeqCst);
    let rig = rig_with([RateLimit::requests(1, Per::Day)], |layer| {
        layer.limit_store(store).observer(times.clone())
    });
    rig.engines.everywhere(|| used(10, 20));
    assert_eq!(ask(&rig, chat(1)).await.status(), StatusCode::OK);
    assert_eq!(
        ask(&rig, chat(1)).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    let waited = Duration::from_millis(30);
    assert_eq!(*times.0.lock().unwrap(), [(Duration::ZERO, waited); 2]);
}
