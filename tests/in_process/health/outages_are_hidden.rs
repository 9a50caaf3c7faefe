//! While one engine is healthy, no client sees an error.
//!
//! Each situation runs under a paused clock: requests arrive steadily, engines take a while for an
//! answer, and one that is down refuses at once.

use std::time::Duration;

use test_kit::{
    answer::Answer,
    engines::{Act, fails, status},
    gateway::Rig,
    table::{one_server, server, table},
};
use tokio::task::JoinHandle;
use tower_model_route::{
    Balance, EndpointHealth, OutlierDetection, RouteTable, Rule, TrafficPolicy,
};

use crate::SECOND;

/// Between two requests.
const STEP: Duration = Duration::from_millis(100);

const ALL: [&str; 3] = ["e0", "e1", "e2"];

/// A gateway under a steady load.
struct Load {
    rig: Rig,
    calls: Vec<JoinHandle<Answer>>,
}

impl Load {
    fn new(endpoints: usize, policy: TrafficPolicy) -> Self {
        Self::with(one_server(endpoints, policy))
    }

    fn with(table: RouteTable) -> Self {
        let rig = Rig::new(table);
        rig.engines
            .everywhere(|| status(200).late(Duration::from_millis(200)));
        Self {
            rig,
            calls: Vec::new(),
        }
    }

    fn down(&self, host: &str) {
        self.rig.engines.always(host, fails);
    }

    fn up(&self, host: &str) {
        self.rig
            .engines
            .always(host, || status(200).late(Duration::from_millis(200)));
    }

    async fn run(&mut self, seconds: u64) {
        let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
        while tokio::time::Instant::now() < until {
            self.calls.push(self.rig.spawn());
            tokio::time::sleep(STEP).await;
        }
    }

    /// How many requests so far were not answered with 200.
    async fn errors(&mut self) -> usize {
        let mut errors = 0;
        for call in self.calls.drain(..) {
            errors += usize::from(call.await.unwrap().status() != 200);
        }
        errors
    }
}

fn one_retry() -> TrafficPolicy {
    TrafficPolicy::new().max_retries(1)
}

#[tokio::test(start_paused = true)]
async fn two_of_three_are_dead() {
    for policy in [TrafficPolicy::new(), one_retry()] {
        let mut load = Load::new(3, policy);
        load.down("e1");
        load.down("e2");
        load.run(120).await;
        assert_eq!(load.errors().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn three_of_five_are_dead() {
    let mut load = Load::new(5, one_retry());
    for host in ["e0", "e2", "e4"] {
        load.down(host);
    }
    load.run(120).await;
    assert_eq!(load.errors().await, 0);
}

#[tokio::test(start_paused = true)]
async fn two_replicas_restart_in_turn() {
    let mut load = Load::new(2, one_retry());
    load.run(5).await;
    for host in ["e0", "e1", "e0", "e1"] {
        load.down(host);
        load.run(20).await;
        load.up(host);
        // The other goes down at once.
    }
    load.run(5).await;
    assert_eq!(load.errors().await, 0);
}

#[tokio::test(start_paused = true)]
async fn three_replicas_restart_one_after_the_other() {
    for policy in [TrafficPolicy::new(), one_retry()] {
        let mut load = Load::new(3, policy);
        for host in ["e0", "e1", "e2"] {
            load.down(host);
            load.run(8).await;
            load.up(host);
            load.run(1).await;
        }
        assert_eq!(load.errors().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_three_is_dead_and_nothing_is_retried() {
    let mut load = Load::new(3, TrafficPolicy::new());
    load.down("e1");
    load.run(120).await;
    assert_eq!(load.errors().await, 0);
}

/// A cap on ejections is no reason to send requests to an endpoint that fails.
#[tokio::test(start_paused = true)]
async fn a_cap_never_puts_a_failing_endpoint_before_a_healthy_one() {
    for percent in [0, 34, 50] {
        let detection = OutlierDetection::new().max_ejection_percent(percent);
        let mut load = Load::new(3, one_retry().outlier_detection(detection));
        for host in ["e1", "e2"] {
            load.rig.engines.always(host, || status(502));
        }
        // Until they are known to fail, the retry may meet the other of the two.
        load.run(10).await;
        load.calls.clear();
        load.run(60).await;
        assert_eq!(load.errors().await, 0, "{percent}");
        let healthy = load.rig.endpoint("e0");
        assert_eq!(healthy.health(), EndpointHealth::Healthy);
        let asked = |host| load.rig.endpoint(host).requests();
        // At most one request a second to each.
        assert!(asked("e1") + asked("e2") <= 150, "{percent}");
        assert!(healthy.requests() >= 600, "{percent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_return_is_noticed_within_a_second_of_traffic() {
    let mut load = Load::new(3, TrafficPolicy::new());
    for host in ALL {
        load.down(host);
    }
    load.run(600).await;
    load.calls.clear();
    load.up("e1");
    load.run(1).await;
    load.calls.clear();
    load.run(60).await;
    assert_eq!(load.errors().await, 0);
    assert_eq!(load.rig.endpoint("e1").health(), EndpointHealth::Healthy);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_load_comes_back_onto_all_at_once() {
    let mut load = Load::new(3, one_retry());
    load.run(5).await;
    for host in ALL {
        load.down(host);
    }
    load.run(60).await;
    for host in ALL {
        load.up(host);
    }
    load.run(1).await;
    load.calls.clear();
    let before: Vec<_> = ["e0", "e1", "e2"]
        .map(|host| load.rig.endpoint(host).requests())
        .into();
    load.run(6).await;
    assert_eq!(load.errors().await, 0);
    for (host, before) in ALL.into_iter().zip(before) {
        let endpoint = load.rig.endpoint(host);
        assert_eq!(endpoint.health(), EndpointHealth::Healthy);
        let asked = endpoint.requests() - before;
        assert!((15..=25).contains(&asked), "{host}: {asked} of 60");
    }
}

/// What was dead long before is not taken for part of the outage.
#[tokio::test(start_paused = true)]
async fn who_was_dead_before_an_outage_does_not_come_back_with_it() {
    let mut load = Load::new(3, one_retry());
    load.down("e2");
    load.run(120).await;
    for host in ["e0", "e1"] {
        load.down(host);
    }
    load.run(20).await;
    for host in ["e0", "e1"] {
        load.up(host);
    }
    load.run(1).await;
    let health = |host| load.rig.endpoint(host).health();
    assert_eq!(health("e0"), EndpointHealth::Healthy);
    assert_eq!(health("e1"), EndpointHealth::Healthy);
    assert_eq!(health("e2"), EndpointHealth::Ejected);
}

/// A single endpoint is ejected as well, so that a fallback has something to do.
#[tokio::test(start_paused = true)]
async fn a_fallback_takes_over_from_a_single_dead_endpoint() {
    use test_kit::table::{single, table};
    use tower_model_route::Rule;
    let policy = TrafficPolicy::new();
    let rig = Rig::new(table(
        [single("primary", policy.clone()), single("spare", policy)],
        Rule::new("rule").target("primary").fallback("spare"),
    ));
    rig.engines.always("primary", || status(502));
    let mut errors = 0;
    for _ in 0..40 {
        errors += usize::from(rig.ask().await.status() != 200);
    }
    // Until it is known to fail: this status may come from the model's own answer.
    assert_eq!(errors, 5);
    // A refused connection is not even seen.
    rig.engines.always("primary", fails);
    tokio::time::sleep(11 * SECOND).await;
    for _ in 0..40 {
        assert_eq!(rig.ask().await.status(), 200);
    }
}

/// Asking it costs nothing, and a cold start may take minutes.
#[tokio::test(start_paused = true)]
async fn who_refuses_is_asked_again_at_least_every_thirty_seconds() {
    let mut load = Load::new(2, one_retry());
    load.down("e1");
    load.run(438).await;
    load.up("e1");
    load.run(31).await;
    assert_eq!(load.rig.endpoint("e1").health(), EndpointHealth::Healthy);
    assert_eq!(load.errors().await, 0);
}

/// Even where nobody is ejected: a failure counts as load for a while, and has no latency.
#[tokio::test(start_paused = true)]
async fn who_fails_at_once_never_looks_idle() {
    let acts: [fn() -> Act; 3] = [fails, || status(502), || status(503)];
    for act in acts {
        for balance in [Balance::LeastRequest, Balance::PeakEwma] {
            let never = TrafficPolicy::new().outlier_detection(OutlierDetection::off());
            let server = server(2, never).balance(balance.clone());
            let mut load = Load::with(table([server], Rule::new("rule").target("server")));
            // It was the quicker one, too.
            let quick = || status(200).late(Duration::from_millis(5));
            load.rig.engines.always("e0", quick);
            load.run(10).await;
            load.errors().await;
            load.rig.engines.attempts();
            load.rig.engines.always("e0", act);
            load.run(20).await;
            load.errors().await;
            let asked = load.rig.engines.hosts();
            let failed = asked.iter().filter(|host| *host == "e0").count();
            // Once or twice a second, to see whether it is back.
            assert!(
                (10..=50).contains(&failed),
                "{balance:?}: {failed} of {}",
                asked.len()
            );
        }
    }
}
