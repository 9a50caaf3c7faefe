//! Whatever engines do: each is asked at most once, and the last that answered is heard.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use proptest::prelude::*;
use test_kit::{
    answer::Answer,
    body::{BoxError, Scripted, script},
    gateway::Gateway,
    paused::{self, within},
    request::{ASKED, chat},
    table::table,
};
use tokio::task::JoinSet;
use tower::{ServiceExt, service_fn};
use tower_model_route::{
    ModelServer, OutlierDetection, RouteBody, RouteError, RouteTable, Rule, TargetModel,
    TrafficPolicy, stack,
};

/// What an attempt meets.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Answers(u16),
    /// Its body breaks off.
    BreaksOff(u16),
    Refuses,
    Resets,
    TimesOut,
    Hangs,
    IsShed,
}

impl Behaviour {
    /// The status of its answer, if it is one.
    fn status(self) -> Option<u16> {
        match self {
            Self::Answers(status) | Self::BreaksOff(status) => Some(status),
            _ => None,
        }
    }

    fn is_reset(self) -> bool {
        matches!(self, Self::Resets)
    }

    fn is_refusal(self) -> bool {
        matches!(self, Self::Refuses)
    }

    async fn act(self) -> Result<Response<Scripted>, BoxError> {
        let error = |kind: io::ErrorKind| Err(io::Error::from(kind).into());
        match self {
            Self::Answers(status) => {
                let (body, scripted) = script();
                body.data(status.to_string()).end();
                Ok(Response::builder().status(status).body(scripted).unwrap())
            }
            Self::BreaksOff(status) => {
                let (body, scripted) = script();
                body.data("half").fail("reset");
                Ok(Response::builder().status(status).body(scripted).unwrap())
            }
            Self::Refuses => error(io::ErrorKind::ConnectionRefused),
            Self::Resets => error(io::ErrorKind::ConnectionReset),
            Self::TimesOut => error(io::ErrorKind::TimedOut),
            Self::Hangs => std::future::pending().await,
            Self::IsShed => Err(tower::load_shed::error::Overloaded::new().into()),
        }
    }
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let status = || prop_oneof![Just(503), Just(429), Just(502), 200..600_u16];
    prop_oneof![
        4 => status().prop_map(Behaviour::Answers),
        1 => status().prop_map(Behaviour::BreaksOff),
        1 => Just(Behaviour::Refuses),
        1 => Just(Behaviour::Resets),
        1 => Just(Behaviour::TimesOut),
        1 => Just(Behaviour::Hangs),
        1 => Just(Behaviour::IsShed),
    ]
}

/// A ModelServer: which endpoints, and its policy in short.
#[derive(Clone, Debug)]
struct Server {
    endpoints: Vec<u8>,
    retries: u32,
    interval: u64,
    max_in_flight: Option<usize>,
    max_queue: usize,
    total: Option<u64>,
    failures: u32,
}

fn server() -> impl Strategy<Value = Server> {
    let endpoints = prop::collection::btree_set(0..6_u8, 0..4);
    let limits = (
        prop::option::of(1..4_usize),
        0..3_usize,
        prop::option::of(1..20_u64),
    );
    (endpoints, 0..5_u32, 0..300_u64, limits, 1..6_u32).prop_map(
        |(endpoints, retries, interval, (max_in_flight, max_queue, total), failures)| Server {
            endpoints: endpoints.into_iter().collect(),
            retries,
            interval,
            max_in_flight,
            max_queue,
            total,
            failures,
        },
    )
}

fn build(servers: &[Server], own: usize) -> RouteTable {
    let mut rule = Rule::new("rule");
    let mut all = Vec::new();
    for (n, server) in servers.iter().enumerate() {
        let name = format!("s{n}");
        rule = if n < own {
            rule.target(TargetModel::new(&name).weight(10 * n as u32 + 5))
        } else {
            rule.fallback(&name)
        };
        let detection = OutlierDetection::new().consecutive_failures(server.failures);
        let mut policy = TrafficPolicy::new()
            .timeout(Duration::from_secs(3))
            .max_retries(server.retries)
            .retry_interval(Duration::from_millis(server.interval))
            .outlier_detection(detection);
        if let Some(max) = server.max_in_flight {
            policy = policy.max_in_flight(max).max_queue(server.max_queue);
        }
        if let Some(total) = server.total {
            policy = policy.total_timeout(Duration::from_secs(total));
        }
        let endpoints = server.endpoints.iter().map(|n| format!("http://e{n}"));
        all.push(
            ModelServer::new(&name)
                .model(&name)
                .endpoints(endpoints)
                .traffic_policy(policy),
        );
    }
    table(all, rule)
}

/// What a request met: by whose policy, and where.
type Met = Arc<Mutex<Vec<(usize, String, String, Behaviour)>>>;

async fn run(servers: &[Server], own: usize, script: Vec<Behaviour>, waves: &[usize]) {
    let table = build(servers, own);
    let met = Met::default();
    let script = Arc::new(Mutex::new(script.into_iter().cycle()));
    let client = {
        let met = Arc::clone(&met);
        service_fn(move |request: Request<RouteBody>| {
            let id = request.headers()["x-id"].to_str().unwrap().parse().unwrap();
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let decision = request.body().decision().unwrap();
            let behaviour = script.lock().unwrap().next().unwrap();
            met.lock()
                .unwrap()
                .push((id, decision.model_server().to_owned(), host, behaviour));
            behaviour.act()
        })
    };
    let service = Gateway::new(stack(table.clone()).service(client));
    let mut id = 0;
    for &wave in waves {
        let mut calls = JoinSet::new();
        for _ in 0..wave {
            let mut request = chat(Body::from(ASKED));
            request.headers_mut().insert("x-id", id.into());
            let service = service.clone();
            calls.spawn(async move {
                let Ok(answer) = service.oneshot(request).await;
                (id, Answer::of(answer).await)
            });
            id += 1;
        }
        while let Some(answered) = within(calls.join_next()).await {
            let (id, answer) = answered.unwrap();
            let met = met.lock().unwrap();
            let of: Vec<_> = met.iter().filter(|met| met.0 == id).collect();
            check(servers, &of, &answer);
        }
    }
    assert!(
        table.servers().iter().all(|server| server.in_flight() == 0),
        "some are left in flight"
    );
}

fn check(servers: &[Server], met: &[&(usize, String, String, Behaviour)], answer: &Answer) {
    // The first lost connection may have been an idle one: its endpoint has not failed.
    let lost = met.iter().position(|met| met.3.is_reset());
    let failing = met.iter().enumerate().filter(|(n, _)| Some(*n) != lost);
    let mut hosts: Vec<_> = failing.map(|(_, (_, _, host, _))| host).collect();
    let failing = hosts.len();
    hosts.sort();
    hosts.dedup();
    assert_eq!(hosts.len(), failing, "an endpoint was asked twice: {met:?}");
    let is_own = answer.head.extensions.get::<RouteError>().is_some();
    let Some((_, first, _, _)) = met.first() else {
        assert!(is_own);
        return;
    };
    let first = &servers[first[1..].parse::<usize>().unwrap()];
    let refused = met.iter().filter(|met| met.3.is_refusal()).count();
    let costless = refused + usize::from(lost.is_some());
    assert!(
        met.len() <= 1 + costless + first.retries as usize,
        "too many attempts: {met:?}"
    );
    assert_eq!(answer.decision().attempts() as usize, met.len());
    let last_answer = met
        .iter()
        .rev()
        .find_map(|(_, _, _, behaviour)| behaviour.status());
    match last_answer {
        Some(status) => assert_eq!(
            (answer.status().as_u16(), is_own),
            (status, false),
            "{met:?}"
        ),
        None => assert!(is_own, "{met:?}"),
    }
    // What was not to be tried again was not.
    for (_, _, _, behaviour) in &met[..met.len() - 1] {
        let again = behaviour
            .status()
            .is_none_or(|status| [429, 500, 502, 503, 504, 529].contains(&status));
        assert!(again, "{met:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_engines_and_any_table(
        servers in prop::collection::vec(server(), 1..4),
        own in 1..4_usize,
        script in prop::collection::vec(behaviour(), 1..40),
        waves in prop::collection::vec(1..6_usize, 1..6),
    ) {
        paused::runtime().block_on(run(&servers, own.min(servers.len()), script, &waves));
    }
}
