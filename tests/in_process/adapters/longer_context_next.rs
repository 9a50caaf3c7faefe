//! What is too long for one ModelServer goes on to one with a longer context.

use test_kit::{
    answer::Answer,
    engines::{Act, says},
    gateway::Rig,
    request::asked,
    table::{single, table},
};
use tower_model_route::{ModelServer, Rule, TrafficPolicy};

/// What a vLLM 0.32 answers.
const TOO_LONG: &str = r#"{"error":{"message":"This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=513)","type":"BadRequestError","param":"input_tokens","code":400}}"#;

fn too_long() -> Act {
    says(400, TOO_LONG).header("content-type", "application/json")
}

fn on() -> TrafficPolicy {
    TrafficPolicy::new().retry_too_long(true)
}

/// The hosts that were asked for one request, and the answer; all but the last say `too_long`.
async fn ask(servers: Vec<ModelServer>, rule: Rule, short: &[&str]) -> (Vec<String>, Answer) {
    let rig = Rig::new(table(servers, rule));
    for host in short {
        rig.engines.always(host, too_long);
    }
    let answer = Answer::of(rig.send(asked()).await).await;
    assert_eq!(rig.in_flight(), 0);
    (rig.engines.hosts(), answer)
}

fn rule() -> Rule {
    Rule::new("rule")
        .target("short")
        .fallback("long")
        .fallback("longest")
}

#[tokio::test(start_paused = true)]
async fn it_is_off_by_default() {
    let names = ["short", "long", "longest"];
    let servers = names.map(|name| single(name, TrafficPolicy::new())).into();
    let (hosts, answer) = ask(servers, rule(), &["short"]).await;
    assert_eq!(hosts, ["short"]);
    assert_eq!((answer.status().as_u16(), answer.text()), (400, TOO_LONG));
}

#[tokio::test(start_paused = true)]
async fn the_fallbacks_come_in_their_order() {
    let servers = || -> Vec<_> {
        let short = single("short", on()).endpoint("http://short-too");
        vec![short, single("long", on()), single("longest", on())]
    };
    let (hosts, answer) = ask(servers(), rule(), &["short", "short-too"]).await;
    assert_eq!(hosts.len(), 2);
    assert_eq!((&*hosts[1], answer.status().as_u16()), ("long", 200));
    assert_eq!(answer.decision().engine_model(), "long-model");
    assert!(answer.decision().is_fallback());
    let short = ["short", "short-too", "long"];
    let (hosts, answer) = ask(servers(), rule(), &short).await;
    assert_eq!(hosts[1..], ["long", "longest"]);
    assert_eq!(answer.status().as_u16(), 200);
    let all = ["short", "short-too", "long", "longest"];
    let (hosts, answer) = ask(servers(), rule(), &all).await;
    assert_eq!(hosts.len(), 3);
    assert_eq!((answer.status().as_u16(), answer.text()), (400, TOO_LONG));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_known_to_be_no_longer_is_passed_over() {
    let servers = vec![
        single("short", on()).max_model_len(512),
        single("long", on()).max_model_len(512),
        single("longest", on()).max_model_len(4096),
    ];
    let (hosts, answer) = ask(servers, rule(), &["short"]).await;
    assert_eq!(hosts, ["short", "longest"]);
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test(start_paused = true)]
async fn another_target_is_asked_if_it_is_known_to_be_longer() {
    let rule = || Rule::new("rule").target(("short", 100)).target(("long", 0));
    let servers = || [single("short", on()), single("long", on())];
    let (hosts, _) = ask(servers().into(), rule(), &["short"]).await;
    assert_eq!(hosts, ["short"]);
    let [short, long] = servers();
    let servers = vec![short.max_model_len(512), long.max_model_len(1024)];
    let (hosts, answer) = ask(servers, rule(), &["short"]).await;
    assert_eq!(hosts, ["short", "long"]);
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test(start_paused = true)]
async fn any_other_400_is_the_answer() {
    let rig = Rig::new(table(
        ["short", "long", "longest"].map(|name| single(name, on())),
        rule(),
    ));
    for text in [
        r#"{"error":{"message":"temperature must be non-negative","code":400}}"#,
        // The client's words.
        r#"{"error":{"message":"1 validation error: 'input': 'prompt is too long: 9'","code":400}}"#,
    ] {
        rig.engines
            .next([says(400, text).header("content-type", "application/json")]);
        let answer = Answer::of(rig.send(asked()).await).await;
        assert_eq!((answer.status().as_u16(), answer.text()), (400, text));
        assert_eq!(rig.engines.hosts(), ["short"]);
        rig.engines.attempts();
    }
}
