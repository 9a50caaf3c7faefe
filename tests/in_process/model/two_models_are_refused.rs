//! Two top-level models, where they are allowed: the engine sees one name, whichever it reads.

use test_kit::request::post;
use tower_model_route::{DuplicateModels, JsonBody, ModelSources};

use super::send::{REAL_IN_JSON, send, send_by};

fn sources(duplicates: DuplicateModels) -> ModelSources {
    ModelSources::new().or(JsonBody::new().duplicates(duplicates))
}

/// Sends `body`, in which `$` stands for the models in turn; the engine must get `name` in each.
async fn assert_overwritten(duplicates: DuplicateModels, body: &str, models: &[&str], name: &str) {
    let parts: Vec<_> = body.split('$').collect();
    assert_eq!(parts.len(), models.len() + 1);
    let mut sent = parts[0].to_owned();
    for (model, part) in models.iter().zip(&parts[1..]) {
        sent += model;
        sent += part;
    }
    let forwarded = send_by(sources(duplicates), post("/v1/chat", sent))
        .await
        .forwarded();
    let expected = parts.join(name);
    assert_eq!(forwarded.bytes(), expected);
    let length = expected.len().to_string();
    assert_eq!(forwarded.header("content-length"), Some(&*length));
}

const TWO: &str = r#"{"model":$,"a":[{"model":"x"}],"mod\u0065l" : $ }"#;

#[tokio::test]
async fn by_default_they_are_refused() {
    for body in [
        r#"{"model":"alias","model":"alias"}"#,
        r#"{"model":"alias","x":1,"mod\u0065l":null}"#,
    ] {
        send(post("/v1/chat", body))
            .await
            .refused(400, "ambiguous_model");
    }
}

#[tokio::test]
async fn the_first_counts() {
    let first = DuplicateModels::First;
    for (models, name) in [
        ([r#""alias""#, r#""lora""#], REAL_IN_JSON),
        ([r#""lora""#, r#""alias""#], r#""lora""#),
        ([r#""l\u006fra""#, r#""gone""#], r#""lora""#),
        ([r#""alias""#, r#""alias""#], REAL_IN_JSON),
        // What a reader of the last would make of it does not matter any more.
        ([r#""alias""#, "null"], REAL_IN_JSON),
        ([r#""alias""#, r#"[{"b":"]"}]"#], REAL_IN_JSON),
        ([r#""lora""#, "-1.5e3"], r#""lora""#),
    ] {
        assert_overwritten(first, TWO, &models, name).await;
    }
}

#[tokio::test]
async fn the_last_counts() {
    let last = DuplicateModels::Last;
    for (models, name) in [
        ([r#""alias""#, r#""lora""#], r#""lora""#),
        ([r#""lora""#, r#""alias""#], REAL_IN_JSON),
        (["true", r#""plain\/model""#], r#""plain/model""#),
        ([r#"{"model":"x"}"#, r#""alias""#], REAL_IN_JSON),
    ] {
        assert_overwritten(last, TWO, &models, name).await;
    }
}

#[tokio::test]
async fn there_may_be_more_than_two() {
    let body = r#"{"model":$,"model":$,"model":$}"#;
    let models = [r#""alias""#, r#""gone""#, r#""lora""#];
    assert_overwritten(DuplicateModels::First, body, &models, REAL_IN_JSON).await;
    assert_overwritten(DuplicateModels::Last, body, &models, r#""lora""#).await;
}

#[tokio::test]
async fn one_is_nothing_special() {
    for duplicates in [DuplicateModels::First, DuplicateModels::Last] {
        let body = r#"{"a":1,"model":$}"#;
        assert_overwritten(duplicates, body, &[r#""alias""#], REAL_IN_JSON).await;
        // Where the name stays, so does its spelling.
        assert_overwritten(duplicates, body, &[r#""l\u006fra""#], r#""l\u006fra""#).await;
    }
}

/// The one that counts must be a name.
#[tokio::test]
async fn the_one_that_counts_is_not_valid() {
    for (duplicates, body) in [
        (DuplicateModels::First, r#"{"model":null,"model":"alias"}"#),
        (DuplicateModels::First, r#"{"model":"","model":"alias"}"#),
        (DuplicateModels::Last, r#"{"model":"alias","model":1}"#),
    ] {
        let outcome = send_by(sources(duplicates), post("/v1/chat", body)).await;
        outcome.refused(400, "invalid_model");
    }
}

#[tokio::test]
async fn without_end() {
    let body = format!("{{{}}}", vec![r#""model":"alias""#; 17].join(","));
    let outcome = send_by(sources(DuplicateModels::First), post("/v1/chat", body)).await;
    outcome.refused(400, "ambiguous_model");
}
