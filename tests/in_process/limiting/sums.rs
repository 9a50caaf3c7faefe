//! Over any run of requests nothing that an engine has reported is lost.

use std::time::Duration;

use proptest::{prelude::*, test_runner::TestCaseResult};
use test_kit::{
    answer::Answer,
    body::script,
    engines::{fails, says, status, streams},
    gateway::Rig,
    paused,
};
use tower_model_route::{ModelServer, Per, RateLimit, TrafficPolicy};

use super::{chat, content, finish, left, limited, usage, used};

const MANY: i64 = 1_000_000_000;

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Whole(u64, u64),
    Streamed {
        events: u64,
        input: u64,
        output: u64,
    },
    /// The client leaves after so many events.
    Left {
        events: u64,
    },
    /// The engine breaks off.
    Broken {
        events: u64,
    },
    /// The client leaves before there is an answer.
    Cancelled,
    /// An engine answers 503 first.
    Retried(u64, u64),
    Unreachable,
    Refused,
}

fn fate() -> impl Strategy<Value = Fate> {
    let tokens = 0..5000_u64;
    prop_oneof![
        (tokens.clone(), tokens.clone()).prop_map(|(input, output)| Fate::Whole(input, output)),
        (0..5_u64, tokens.clone(), tokens.clone()).prop_map(|(events, input, output)| {
            Fate::Streamed {
                events,
                input,
                output,
            }
        }),
        (0..5_u64).prop_map(|events| Fate::Left { events }),
        (0..5_u64).prop_map(|events| Fate::Broken { events }),
        Just(Fate::Cancelled),
        (tokens.clone(), tokens).prop_map(|(input, output)| Fate::Retried(input, output)),
        Just(Fate::Unreachable),
        Just(Fate::Refused),
    ]
}

/// At the least so much input and output, and whether it is exact.
fn cost(fate: Fate) -> (u64, u64, bool) {
    match fate {
        Fate::Whole(input, output)
        | Fate::Retried(input, output)
        | Fate::Streamed { input, output, .. } => (input, output, true),
        Fate::Left { events } | Fate::Broken { events } => (1, events, false),
        Fate::Cancelled | Fate::Refused => (1, 0, false),
        Fate::Unreachable => (0, 0, true),
    }
}

async fn meet(rig: &Rig, fate: Fate) {
    let request = chat(100);
    match fate {
        Fate::Whole(input, output) => rig.engines.next([used(input, output)]),
        Fate::Retried(input, output) => rig.engines.next([status(503), used(input, output)]),
        Fate::Unreachable => rig.engines.next([fails(), fails(), fails(), fails()]),
        Fate::Refused => rig.engines.next([says(404, "no")]),
        Fate::Cancelled => {
            rig.engines.next([test_kit::engines::Act::Hang]);
            let call = rig.start(request);
            paused::settle().await;
            call.abort();
            _ = call.await;
            return;
        }
        Fate::Streamed {
            events,
            input,
            output,
        } => {
            let (body, scripted) = script();
            (0..events).for_each(|_| _ = body.send(content()));
            body.send(finish()).send(usage(input, output)).end();
            rig.engines.next([streams(scripted)]);
        }
        Fate::Left { events } => {
            let (body, scripted) = script();
            rig.engines.next([streams(scripted)]);
            let mut answer = rig.send(request).await;
            for _ in 0..events {
                body.send(content());
                http_body_util::BodyExt::frame(answer.body_mut())
                    .await
                    .unwrap()
                    .unwrap();
            }
            return;
        }
        Fate::Broken { events } => {
            let (body, scripted) = script();
            (0..events).for_each(|_| _ = body.send(content()));
            body.fail("reset");
            rig.engines.next([streams(scripted)]);
        }
    }
    _ = Answer::of(rig.send(request).await).await;
    // What was not met is not for the next.
    rig.engines.forget_next();
}

async fn check(fates: Vec<Fate>) -> TestCaseResult {
    // No time goes by, so nothing flows in.
    let policy = TrafficPolicy::new()
        .max_retries(1)
        .retry_interval(Duration::ZERO);
    let mut table = limited([
        RateLimit::input_tokens(MANY as u64, Per::Month),
        RateLimit::output_tokens(MANY as u64, Per::Month),
        RateLimit::total_tokens(MANY as u64, Per::Month),
        RateLimit::concurrent_requests(3),
    ]);
    table.model_servers_mut()[0] = ModelServer::new("server")
        .endpoint("http://e0")
        .endpoint("http://e1")
        .traffic_policy(policy);
    let rig = Rig::new(table.build().unwrap());
    for fate in fates {
        let before = left(&rig.table);
        meet(&rig, fate).await;
        let after = left(&rig.table);
        let cost = cost(fate);
        let spent: Vec<i64> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| before - after)
            .collect();
        let (input, output) = (cost.0 as i64, cost.1 as i64);
        prop_assert_eq!(spent[2], spent[0] + spent[1], "{:?}", fate);
        prop_assert_eq!(after[3], 3);
        match cost.2 {
            true => prop_assert_eq!((spent[0], spent[1]), (input, output), "{:?}", fate),
            false => prop_assert!(
                spent[0] >= input && spent[1] >= output,
                "{:?}: {:?}",
                fate,
                spent
            ),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_settled_is_what_engines_reported_or_more(
        fates in prop::collection::vec(fate(), 1..12),
    ) {
        paused::runtime().block_on(check(fates))?;
    }
}
