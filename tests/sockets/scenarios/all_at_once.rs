//! Many requests of all scenarios at once land where they must.

use test_kit::time::eventually;

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    ask::{Ask, KINDS, engine},
    engines::{Engines, LARGE, SMALL},
    gateway::{Gateway, WAYS},
};

/// What is asked for, with which headers, and the models of which one must answer.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const CASES: [Case; 6] = [
    ("deepseek-simple", &[], &[SMALL]),
    ("lora-A", &[], &["lora-A"]),
    ("lora-B", &[], &["lora-B"]),
    ("deepseek-subset", &[], &["v1", "v2"]),
    (
        "deepseek-multi-models",
        &[("user-type", "premium")],
        &[LARGE],
    ),
    ("deepseek-multi-models", &[], &[SMALL]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_of_all_kinds() {
    // Slow enough for all to be in flight together.
    let engines = Engines::like(|engine| engine.header_delay(Duration::from_secs(1))).await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let before = engines.requests();
        let asks = (0..64).map(|number| {
            let (model, headers, _) = CASES[number % CASES.len()];
            let (chat, stream) = KINDS[number % KINDS.len()];
            Ask {
                model,
                chat,
                stream,
                headers,
            }
        });
        let all = join_all(asks.clone().map(async |ask| ask.answer(&gateway).await));
        let all_in_flight = eventually(|| gateway.in_flight() == 64);
        let (answers, ()) = futures_util::join!(all, all_in_flight);
        for ((number, ask), answer) in asks.enumerate().zip(&answers) {
            let (.., expected) = CASES[number % CASES.len()];
            let model = match expected {
                [model] => model,
                _ => engine(answer.headers()),
            };
            assert!(
                expected.contains(&model),
                "{way:?}: {model} answered {ask:?}"
            );
            ask.assert_answered(answer, model);
        }
        assert_eq!(engines.requests() - before, 64);
        assert_eq!(gateway.in_flight(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_weights_are_exact_under_concurrency() {
    let engines = Engines::spawn().await;
    for (round, way) in (1..).zip(WAYS) {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let asks = (0..100).map(async |number| {
            let (chat, stream) = KINDS[number % KINDS.len()];
            let ask = Ask {
                model: "deepseek-subset",
                chat,
                stream,
                headers: &[],
            };
            let answer = ask.answer(&gateway).await;
            ask.assert_answered(&answer, engine(answer.headers()));
        });
        join_all(asks).await;
        let versions = (engines.v1.requests(), engines.v2.requests());
        assert_eq!(versions, (round * 70, round * 30), "{way:?}");
    }
}

/// With equal endpoints and nothing that ends, each gets its half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_share_what_is_in_flight() {
    let engines = Engines::like(|engine| engine.token_delay(Duration::from_secs(3600))).await;
    for way in WAYS {
        let gateway = Gateway::spawn(way, engines.table()).await;
        let mut streams = Vec::new();
        for _ in 0..16 {
            let ask = Ask {
                model: "deepseek-simple",
                chat: true,
                stream: true,
                headers: &[],
            };
            streams.push(ask.send(&gateway).await);
        }
        let loads = engines.small.each_ref().map(|engine| engine.in_flight());
        assert_eq!(loads, [8, 8], "{way:?}");
        drop(streams);
        eventually(|| engines.in_flight() == 0 && gateway.in_flight() == 0).await;
    }
}
