//! What retries may cost in all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
    time::Duration,
};

use test_kit::{
    answer::Answer,
    engines::{Engines, says, status, times_out},
    gateway::{Gateway, Rig},
    request::chat_of,
    table::{builder, retries, server},
};
use tower::{
    ServiceExt,
    retry::budget::{Budget, TpsBudget},
};
use tower_model_route::{ModelRoute, Rule, stack};

/// A budget that shows what it is asked.
#[derive(Clone, Default)]
struct Purse {
    left: Arc<AtomicIsize>,
    deposits: Arc<AtomicUsize>,
}

impl Budget for Purse {
    fn deposit(&self) {
        self.deposits.fetch_add(1, Ordering::SeqCst);
    }

    fn withdraw(&self) -> bool {
        let taken = |left: isize| (left > 0).then(|| left - 1);
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, taken)
            .is_ok()
    }
}

fn rig(budget: impl Budget + Send + Sync + 'static) -> Rig {
    let rule = Rule::new("rule").target("server");
    let table = builder([server(8, retries(5))], rule).retry_budget(budget);
    Rig::new(table.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn when_it_is_spent_the_answer_that_there_is_goes_out() {
    let purse = Purse::default();
    purse.left.store(3, Ordering::SeqCst);
    let rig = rig(purse.clone());
    rig.engines.everywhere(|| says(503, "busy"));
    for attempts in [4, 1, 1] {
        let answer = rig.ask().await;
        assert_eq!((answer.status().as_u16(), answer.text()), (503, "busy"));
        assert_eq!(answer.decision().attempts(), attempts);
        assert_eq!(rig.engines.attempts().len(), attempts as usize);
        assert_eq!(rig.in_flight(), 0);
    }
    // Also one of an attempt before.
    purse.left.store(1, Ordering::SeqCst);
    rig.engines.next([says(503, "first"), times_out()]);
    assert_eq!(rig.ask().await.text(), "first");
    assert_eq!(purse.deposits.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn what_goes_well_pays_in_and_what_is_sent_once_is_not_asked() {
    let purse = Purse::default();
    let rig = rig(purse.clone());
    for n in 1..5 {
        rig.ask().await;
        assert_eq!(purse.deposits.load(Ordering::SeqCst), n);
    }
    rig.engines.next([status(404)]);
    rig.ask().await;
    assert_eq!(purse.deposits.load(Ordering::SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn it_is_one_for_all_routes_servers_and_stacks_of_a_table() {
    let purse = Purse::default();
    purse.left.store(2, Ordering::SeqCst);
    let table = builder([server(8, retries(1))], Rule::new("rule").target("server"))
        .model_server(
            tower_model_route::ModelServer::new("other")
                .endpoints(["http://o0", "http://o1"])
                .traffic_policy(retries(1)),
        )
        .model_route(
            ModelRoute::new("other")
                .model_name("other")
                .rule(Rule::new("rule").target("other")),
        )
        .retry_budget(purse)
        .build()
        .unwrap();
    let engines = Engines::default();
    engines.everywhere(|| status(503));
    for (model, expected) in [("asked", 2), ("other", 2), ("asked", 1), ("other", 1)] {
        let gateway = Gateway::over(&engines, stack(table.clone()));
        let request = chat_of(format!(r#"{{"model":"{model}"}}"#));
        let Ok(answer) = gateway.oneshot(request).await;
        assert_eq!(Answer::of(answer).await.status(), 503);
        assert_eq!(engines.attempts().len(), expected, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_an_outage_is_not_doubled() {
    let rig = Rig::one(8, retries(1));
    rig.engines.everywhere(|| status(503));
    for _ in 0..500 {
        rig.ask().await;
    }
    let attempts = rig.engines.attempts().len();
    assert!((501..=620).contains(&attempts), "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn towers_own_can_be_given() {
    let rig = rig(TpsBudget::new(Duration::from_secs(10), 0, 0.0));
    rig.engines.next([status(503)]);
    assert_eq!(rig.ask().await.status(), 503);
}
