//! `Balance::LeastTokens`: what is in flight counts in tokens.

use test_kit::{
    body::{read_on, script, text},
    engines::{says, streams},
    paused::settle,
};
use tower_model_route::Balance;

use crate::SECOND;

use super::{chat, endpoint_of, rig};

const CONTENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";

/// 400,000 bytes are 100,000 tokens as long as nothing else is known.
fn document() -> String {
    "word ".repeat(80_000)
}

fn short() -> String {
    "hello".to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_document_counts_until_its_first_content() {
    let rig = rig(2, Balance::LeastTokens);
    let (script, body) = script();
    rig.engines.next([streams(body)]);
    let document = rig.send(chat(&[document()])).await;
    let busy = endpoint_of(&document);
    let mut held = Vec::new();
    for _ in 0..50 {
        let (_, body) = self::script();
        rig.engines.next([streams(body)]);
        let answer = rig.send(chat(&[short()])).await;
        assert_ne!(endpoint_of(&answer), busy);
        held.push(answer);
    }
    // From here on it is one answer among others: less than the fifty elsewhere.
    script.data(CONTENT);
    let mut document = document.into_body();
    assert_eq!(read_on(&mut document).0, CONTENT.as_bytes());
    let answer = rig.send(chat(&[short()])).await;
    assert_eq!(endpoint_of(&answer), busy);
    // It still is in flight there.
    assert_eq!(rig.endpoint(&busy["http://".len()..]).in_flight(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_all_have_ended() {
    let rig = rig(2, Balance::LeastTokens);
    for _ in 0..10 {
        rig.engines.next([says(200, "{}")]);
        let answer = rig.send(chat(&[document()])).await;
        drop(answer);
    }
    // Both idle: in turn.
    let mut hosts = Vec::new();
    for _ in 0..4 {
        hosts.push(endpoint_of(&rig.send(chat(&[short()])).await));
    }
    assert_ne!(hosts[0], hosts[1]);
    assert_eq!(hosts[..2], hosts[2..]);
}

/// Engines say how many tokens a prompt was: here one byte each.
#[tokio::test(start_paused = true)]
async fn what_a_token_is_is_learnt_from_answers() {
    let rig = rig(2, Balance::LeastTokens);
    let prompt = "x".repeat(2000);
    for _ in 0..60 {
        let usage = r#"{"usage":{"prompt_tokens":2060,"completion_tokens":100}}"#;
        let answer = says(200, usage).header("content-type", "application/json");
        rig.engines.next([answer]);
        let answer = rig.send(chat(std::slice::from_ref(&prompt))).await;
        text(answer.into_body());
    }
    // 2,060 tokens now, which would be 515 at four bytes a token; the others have 95, and each an
    // eighth of 100.
    drop(rig.engines.hosts());
    rig.engines
        .next((0..60).map(|_| says(200, "{}").late(SECOND)));
    let _long = rig.start(chat(&[prompt]));
    settle().await;
    for _ in 0..40 {
        drop(rig.start(chat(&["x".repeat(20)])));
        settle().await;
    }
    let hosts = rig.engines.hosts();
    let others = hosts[1..].iter().take_while(|host| **host != hosts[0]);
    assert!((18..=21).contains(&others.count()), "{hosts:?}");
}
