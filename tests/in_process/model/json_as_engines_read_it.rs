//! JSON that some engines read and others don't, and bodies without any.

use test_kit::request::post;
use tower_model_route::{DuplicateModels, JsonBody};

use super::send::{REAL_IN_JSON, send, send_by};

/// Engines written in Go take the last of keys that are equal but for case.
#[tokio::test]
async fn a_key_that_differs_in_case_is_a_second_model() {
    for body in [
        r#"{"model":"alias","Model":"alias"}"#,
        r#"{"MODEL":"lora","model":"alias"}"#,
        r#"{"model":"alias","a":[{}],"mo\u0044el":null}"#,
        r#"{"Model":"alias","mODEL":"alias"}"#,
    ] {
        send(post("/v1/chat", body))
            .await
            .refused(400, "ambiguous_model");
    }
    // On its own it is none, and further down it is nobody's.
    send(post("/v1/chat", r#"{"Model":"alias"}"#))
        .await
        .refused(400, "missing_model");
    let body = r#"{"model":"lora","a":{"Model":"alias"},"models":1,"modeI":2}"#;
    assert_eq!(send(post("/v1/chat", body)).await.forwarded().bytes(), body);
}

#[tokio::test]
async fn where_duplicates_are_accepted_it_is_one_of_them() {
    let body = r#"{"Model":"alias","x":1,"model":"lora"}"#;
    for (duplicates, name) in [
        (DuplicateModels::First, REAL_IN_JSON),
        (DuplicateModels::Last, r#""lora""#),
    ] {
        let sources = JsonBody::new().duplicates(duplicates);
        let forwarded = send_by(sources, post("/v1/chat", body)).await.forwarded();
        assert_eq!(
            forwarded.bytes(),
            format!(r#"{{"Model":{name},"x":1,"model":{name}}}"#)
        );
        let outcome = send_by(sources, post("/v1/chat", r#"{"Model":"alias"}"#)).await;
        outcome.refused(400, "missing_model");
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_and_forwarded() {
    let forwarded = send(post("/v1/chat", "\u{feff} {\"model\":\"alias\"}"))
        .await
        .forwarded();
    assert_eq!(
        forwarded.bytes(),
        format!("\u{feff} {{\"model\":{REAL_IN_JSON}}}")
    );
    let two = "\u{feff}\u{feff}{\"model\":\"alias\"}";
    send(post("/v1/chat", two))
        .await
        .refused(400, "invalid_json");
}

#[tokio::test]
async fn pythons_numbers_are_read_at_every_depth() {
    for value in ["NaN", "Infinity", "-Infinity"] {
        for body in [
            format!(r#"{{"x":{value},"model":"lora"}}"#),
            format!(r#"{{"model":"lora","x":[{value},{{"y":{value}}}]}}"#),
        ] {
            let forwarded = send(post("/v1/chat", body.clone())).await.forwarded();
            assert_eq!(forwarded.bytes(), body);
        }
    }
}

#[tokio::test]
async fn no_body_names_no_model() {
    let outcome = send(post("/v1/chat/completions", "")).await;
    outcome.refused(400, "missing_model");
    let told = outcome.answer.text();
    assert!(told.contains("the request has no body"), "{told}");
}
