//! A stream that only shows signs of life makes no progress.

use http_body_util::BodyExt;
use test_kit::{gateway::Rig, paused::within};
use tokio::time::{Instant, sleep, timeout};
use tower_model_route::{OnInterruption, TrafficPolicy};

use super::{CHAT, MESSAGES, SECOND};

fn idle(seconds: u32) -> TrafficPolicy {
    TrafficPolicy::new()
        .stream_idle_timeout(seconds * SECOND)
        .on_interruption(OnInterruption::Abort)
}

#[tokio::test(start_paused = true)]
async fn comments_pings_and_empty_deltas_do_not_keep_it_alive() {
    for (dialect, sign) in [
        (&CHAT, CHAT.ping),
        (&CHAT, CHAT.start),
        (
            &CHAT,
            "data: {\"choices\":[{\"index\":0,\"delta\":{}}]}\n\n",
        ),
        (&MESSAGES, MESSAGES.ping),
        (&MESSAGES, MESSAGES.start),
    ] {
        let rig = Rig::one(1, idle(10));
        let (script, act) = dialect.stream();
        rig.engines.next([act]);
        let answer = rig.send(dialect.request()).await;
        script.data(dialect.content);
        let start = Instant::now();
        let feed = async {
            while !script.is_dropped() {
                sleep(SECOND).await;
                script.data(sign);
            }
        };
        let (read, ()) = tokio::join!(answer.into_body().collect(), feed);
        assert!(read.is_err());
        assert!((10..=11).contains(&start.elapsed().as_secs()), "{sign}");
        assert_eq!(rig.endpoint("e0").failures(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn each_content_event_begins_the_time_anew() {
    let rig = Rig::one(1, idle(10));
    let (script, act) = CHAT.stream();
    rig.engines.next([act]);
    let answer = rig.send(CHAT.request()).await;
    let feed = async {
        for _ in 0..20 {
            sleep(9 * SECOND).await;
            script.data(CHAT.content);
        }
        script.data(CHAT.terminal).end();
    };
    let (read, ()) = tokio::join!(answer.into_body().collect(), feed);
    assert!(read.is_ok());
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

/// Between two reads an engine's pings and the client's pauses alternate.
#[tokio::test(start_paused = true)]
async fn the_pauses_of_a_slow_client_do_not_count() {
    let rig = Rig::one(1, idle(10));
    let (script, act) = CHAT.stream();
    rig.engines.next([act]);
    let mut body = rig.send(CHAT.request()).await.into_body();
    for _ in 0..50 {
        script.data(CHAT.ping);
        sleep(30 * SECOND).await;
        assert!(within(body.frame()).await.unwrap().is_ok());
    }
    script.data(CHAT.content).data(CHAT.terminal).end();
    assert!(within(body.collect()).await.is_ok());
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

/// It has asked for more, and then does not come back for what is there.
#[tokio::test(start_paused = true)]
async fn nor_do_pauses_that_begin_in_silence() {
    let rig = Rig::one(1, idle(10));
    let (script, act) = CHAT.stream();
    rig.engines.next([act]);
    let mut body = rig.send(CHAT.request()).await.into_body();
    for _ in 0..5 {
        assert!(timeout(SECOND, body.frame()).await.is_err());
        script.data(CHAT.ping);
        sleep(30 * SECOND).await;
        assert!(within(body.frame()).await.unwrap().is_ok());
        let feed = async {
            sleep(5 * SECOND).await;
            script.data(CHAT.content);
        };
        let (frame, ()) = tokio::join!(body.frame(), feed);
        assert!(frame.unwrap().is_ok());
    }
    script.data(CHAT.terminal).end();
    assert!(within(body.collect()).await.is_ok());
    assert_eq!(rig.endpoint("e0").failures(), 0);
}

/// Also before the first content, and where the answer is held back.
#[tokio::test(start_paused = true)]
async fn silence_before_the_first_content_counts_from_the_head_on() {
    for gate in [false, true] {
        for (sign, head) in [(CHAT.ping, 3), (CHAT.start, 0)] {
            let rig = Rig::one(1, idle(10).first_event_gate(gate));
            let (script, act) = CHAT.stream();
            rig.engines.next([act.late(head * SECOND)]);
            let start = Instant::now();
            let read = async {
                let answer = rig.send(CHAT.request()).await;
                let status = answer.status().as_u16();
                (status, answer.into_body().collect().await.is_ok())
            };
            let feed = async {
                sleep(head * SECOND).await;
                while !script.is_dropped() {
                    script.data(sign);
                    sleep(SECOND).await;
                }
            };
            let ((status, is_whole), ()) = tokio::join!(read, feed);
            assert_eq!(
                (status, is_whole),
                if gate { (504, true) } else { (200, false) }
            );
            let took = start.elapsed().as_secs() as u32 - head;
            assert!((10..=11).contains(&took), "{sign} {gate} {took}");
            assert_eq!(rig.endpoint("e0").failures(), 1);
        }
    }
}
