//! A rule may be for prompts of about so many tokens.

use test_kit::{
    answer::Answer,
    body::script,
    gateway::Rig,
    request::{chat, chat_of, get},
    table::single,
};
use tower_model_route::{
    Condition, MistakeKind, ModelMatch, ModelRoute, RouteTable, RouteTableBuilder, Rule,
    RuleVerdict, TrafficPolicy,
};

fn builder(conditions: ModelMatch) -> RouteTableBuilder {
    let servers = ["long", "short"].map(|name| single(name, TrafficPolicy::new()));
    let route = ModelRoute::new("route")
        .model_name("asked")
        .rule(Rule::new("long").when(conditions).target("long"))
        .rule(Rule::new("rest").target("short"));
    let table = servers
        .into_iter()
        .fold(RouteTable::builder(), RouteTableBuilder::model_server);
    table.model_route(route)
}

fn rig(conditions: ModelMatch) -> Rig {
    Rig::new(builder(conditions).build().unwrap())
}

/// A body of so many bytes.
fn body(bytes: usize) -> String {
    let begin = r#"{"model":"asked","prompt":""#;
    format!(r#"{begin}{}"}}"#, "x".repeat(bytes - begin.len() - 2))
}

async fn rule(rig: &Rig, body: String) -> String {
    let answer = Answer::of(rig.send(chat_of(body)).await).await;
    answer.decision().rule().to_owned()
}

#[tokio::test(start_paused = true)]
async fn four_bytes_are_a_token_and_both_ends_are_included() {
    let rig = rig(ModelMatch::new().prompt_tokens(100..=200));
    for (bytes, expected) in [
        (396, "rest"),
        (397, "long"),
        (400, "long"),
        (800, "long"),
        (801, "rest"),
    ] {
        assert_eq!(rule(&rig, body(bytes)).await, expected, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn pictures_are_no_text() {
    let rig = rig(ModelMatch::new().prompt_tokens(1000..));
    let picture = "iVBORw0KGgo+/aZ9".repeat(1000);
    let image = format!(
        r#"{{"model":"asked","messages":[{{"content":[{{"image_url":{{"url":"data:image/png;base64,{picture}"}}}}]}}]}}"#
    );
    assert_eq!(rule(&rig, image).await, "rest");
    assert_eq!(rule(&rig, body(16_000)).await, "long");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_arrives_slowly_is_counted_to_its_end() {
    let rig = rig(ModelMatch::new().prompt_tokens(1000..));
    for (bytes, expected) in [(100_000, "long"), (2000, "rest")] {
        let (script, request) = script();
        let body = body(bytes);
        for part in body.as_bytes().chunks(1000) {
            script.send(std::str::from_utf8(part).unwrap());
        }
        script.end();
        let answer = Answer::of(rig.send(chat(request)).await).await;
        assert_eq!(answer.decision().rule(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_number_meets_no_such_condition() {
    let rig = rig(ModelMatch::new().prompt_tokens(0..));
    let (head, ()) = get("/v1/chat/completions").body(()).unwrap().into_parts();
    let explained = rig.table.explain(&head, "asked");
    assert_eq!(explained.rule(), Some("rest"));
    let text = explained.to_string();
    assert!(
        text.contains("prompt of 0 tokens or more: no, there is none"),
        "{text}"
    );
    assert_eq!(rule(&rig, body(100)).await, "long");
}

#[test]
fn it_is_explained() {
    let rig = rig(ModelMatch::new().prompt_tokens(100..200));
    let (head, ()) = chat(()).into_parts();
    let explained = rig.table.explain_request(&head, body(800).as_bytes());
    let explained = explained.unwrap();
    let first = &explained.routes()[0].rules()[0];
    assert_eq!(first.verdict(), RuleVerdict::Failed);
    let condition = &first.conditions()[0];
    assert_eq!(condition.condition(), "prompt of 100 to 199 tokens");
    assert_eq!(condition.seen(), ["200"]);
}

#[test]
fn a_range_of_nothing_is_a_mistake() {
    for range in [
        ModelMatch::new().prompt_tokens(..0),
        ModelMatch::from(Condition::PromptTokens {
            min: 5,
            max: Some(4),
        }),
    ] {
        let error = builder(range).build().unwrap_err();
        let mistake = &error.mistakes()[0];
        assert_eq!(mistake.kind(), &MistakeKind::EmptyRange);
        let text = mistake.to_string();
        assert!(
            text.contains("rule \"long\", prompt_tokens: the range is empty"),
            "{text}"
        );
    }
}
