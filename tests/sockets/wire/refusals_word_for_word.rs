//! What the gateway refuses: the exact answers, and nothing sent to the engine.

use serde_json::{Value, json};
use test_kit::socket::{Framing, Message, Wire, post, post_to, post_with};

fn openai(code: &str, param: Value, message: &str) -> Value {
    json!({"error": {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }})
}

fn assert_json(answer: &Message, status: u16, body: &Value) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.all("content-type"), ["application/json"]);
    assert_eq!(answer.framing, Framing::Length(answer.body.len()));
    assert_eq!(&answer.json(), body);
}

const UNSUPPORTED: &str = "the request body's Content-Encoding is not supported; supported: \
                           gzip, deflate, br, zstd";

/// All of these on one connection: a refusal is no reason to close it.
async fn assert_refused(cases: &[(&[u8], u16, Value)]) {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    for (body, status, expected) in cases {
        client.send(post(body)).await;
        assert_json(&client.answer().await, *status, expected);
    }
    wire.untouched().await;
}

#[tokio::test]
async fn bodies_that_are_not_a_json_object() {
    let syntax = |byte: usize| {
        let message = format!("the request body is not valid JSON (at byte {byte})");
        openai("invalid_json", Value::Null, &message)
    };
    let nothing = || {
        let message = "the request has no body, and so no `model`";
        openai("missing_model", json!("model"), message)
    };
    let short = || {
        let message = "the request body is not valid JSON: it ends too early";
        openai("invalid_json", Value::Null, message)
    };
    let other = || {
        openai(
            "invalid_json",
            Value::Null,
            "the request body is not a JSON object",
        )
    };
    assert_refused(&[
        (b"", 400, nothing()),
        (b" \n", 400, short()),
        (b"model=alias", 400, syntax(0)),
        (br#"["alias"]"#, 400, other()),
        (br#"[{"model":"alias"}]"#, 400, other()),
        (br#""alias""#, 400, other()),
        (b"null", 400, other()),
        (b"true", 400, other()),
        (b"1", 400, other()),
        (br#"{"model":"alias""#, 400, short()),
        (br#"{"model":"alias"#, 400, short()),
        (br#"{"model":"alias","x":[1,"#, 400, short()),
        (br#"{"model":"alias"}}"#, 400, syntax(17)),
        (br#"{"model":"alias"} x"#, 400, syntax(18)),
        (br#"{"model":"alias"}{"model":"plain"}"#, 400, syntax(17)),
        (b"{\"model\":\"alias\"}\0", 400, syntax(17)),
        (br#"{"model":"alias",}"#, 400, syntax(17)),
        (br#"{'model':'alias'}"#, 400, syntax(1)),
        (br#"{model:"alias"}"#, 400, syntax(1)),
    ])
    .await;
}

#[tokio::test]
async fn bodies_without_one_model() {
    let refusal = |code, message| openai(code, json!("model"), message);
    let missing = || refusal("missing_model", "the request body has no `model`");
    let no_string = || {
        let message = "the `model` in the request body is not a string";
        refusal("invalid_model", message)
    };
    let empty = || refusal("invalid_model", "the `model` in the request body is empty");
    let several = || {
        let message = "the request body has more than one `model`";
        refusal("ambiguous_model", message)
    };
    assert_refused(&[
        (b"{}", 400, missing()),
        (
            br#"{"Model":"alias","x":{"model":"alias"}}"#,
            400,
            missing(),
        ),
        (br#"{"model":null}"#, 400, no_string()),
        (br#"{"model":1}"#, 400, no_string()),
        (br#"{"model":true}"#, 400, no_string()),
        (br#"{"model":["alias"]}"#, 400, no_string()),
        (br#"{"model":{"model":"alias"}}"#, 400, no_string()),
        (br#"{"model":""}"#, 400, empty()),
        (br#"{"model":"alias","model":"plain"}"#, 400, several()),
        (
            br#"{"model":"alias","x":1,"model":"alias"}"#,
            400,
            several(),
        ),
        (br#"{"model":"alias","mod\u0065l":"plain"}"#, 400, several()),
        (br#"{"\u006dodel":null,"model":"alias"}"#, 400, several()),
        (
            br#"{"model":"alias","model":"plain","model":"alias"}"#,
            400,
            several(),
        ),
    ])
    .await;
}

#[tokio::test]
async fn names_that_lead_nowhere() {
    let no_rule = "no rule for the model `gated` matches this request";
    let unknown = |name: &str| {
        let message = format!("the model `{name}` does not exist");
        openai("model_not_found", json!("model"), &message)
    };
    assert_refused(&[
        (br#"{"model":"gone"}"#, 404, unknown("gone")),
        (br#"{"model":"Alias"}"#, 404, unknown("Alias")),
        (br#"{"model":"alias "}"#, 404, unknown("alias ")),
        (br#"{"model":"lora-B"}"#, 404, unknown("lora-B")),
        (
            br#"{"model":"a\"b\\\n\u0000\ud83d\ude00"}"#,
            404,
            unknown("a\"b\\\n\0😀"),
        ),
        (
            br#"{"model":"gated"}"#,
            404,
            openai("route_not_found", Value::Null, no_rule),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_model_without_an_endpoint() {
    let wire = Wire::new().await;
    let answer = wire.ask(post(r#"{"model":"down"}"#)).await;
    let message = "no engine for the model `down` is available, try again shortly";
    let body = json!({"error": {
        "message": message,
        "type": "server_error",
        "param": null,
        "code": "no_endpoint",
    }});
    assert_json(&answer, 503, &body);
    assert_eq!(answer.all("retry-after"), ["5"]);
    wire.untouched().await;
}

#[tokio::test]
async fn bodies_in_a_coding() {
    let body = openai("unsupported_encoding", Value::Null, UNSUPPORTED);
    let wire = Wire::new().await;
    for coding in [
        "compress",
        "gzip, br",
        "compress, identity",
        "identity, compress",
        "gzip, gzip",
        "x",
        "gzi",
        "gzip;q=1",
        "identity\r\nContent-Encoding: compress",
        "gzip\r\nContent-Encoding: br",
    ] {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let answer = wire.ask(post_with(&fields, r#"{"model":"alias"}"#)).await;
        assert_json(&answer, 415, &body);
        // What it would have taken (RFC 9110 section 12.5.3).
        assert_eq!(answer.all("accept-encoding"), ["gzip, deflate, br, zstd"]);
    }
    wire.untouched().await;
}

/// A body that is not in the coding in which it is said to be.
#[tokio::test]
async fn bodies_not_in_their_coding() {
    let message = "the request body can't be decompressed";
    let body = openai("invalid_body", Value::Null, message);
    let wire = Wire::new().await;
    let plain = br#"{"model":"alias"}"#;
    for (coding, sent) in [
        ("gzip", &plain[..]),
        ("gzip", b""),
        ("x-gzip", plain),
        ("GZIP", plain),
        ("zstd", plain),
        ("gzip, identity", plain),
        ("identity, gzip", plain),
        ("identity\r\nContent-Encoding: gzip", plain),
        // For these the text above is a coded body, of other bytes: a block of a type that there
        // is not, and a window of a size that there is not.
        ("deflate", b"\x07\x07\x07\x07"),
        ("br", b"\x11\x11\x11\x11"),
    ] {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let answer = wire.ask(post_with(&fields, sent)).await;
        assert_json(&answer, 400, &body);
        assert!(answer.all("accept-encoding").is_empty());
    }
    wire.untouched().await;
}

#[tokio::test]
async fn codings_that_change_nothing_are_accepted() {
    let wire = Wire::new().await;
    let codings = [
        "identity",
        "",
        "Identity",
        ", identity ,",
        "identity\r\nContent-Encoding: identity",
    ];
    for coding in codings {
        let fields = format!("Content-Encoding: {coding}\r\n");
        let answer = wire.ask(post_with(&fields, r#"{"model":"alias"}"#)).await;
        assert_eq!(answer.status(), 200, "{coding:?}");
    }
    assert_eq!(wire.finish().await.len(), codings.len());
}

#[tokio::test]
async fn on_the_messages_api_errors_have_its_shape() {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    for target in [
        "/v1/messages",
        "/v1/messages?beta=true",
        "/v1/messages/count_tokens",
    ] {
        for (fields, body, status, kind, message) in [
            (
                "",
                "{",
                400,
                "invalid_request_error",
                "the request body is not valid JSON: it ends too early",
            ),
            (
                "",
                "{}",
                400,
                "invalid_request_error",
                "the request body has no `model`",
            ),
            (
                "",
                r#"{"model":"gone"}"#,
                404,
                "not_found_error",
                "the model `gone` does not exist",
            ),
            (
                "",
                r#"{"model":"gated"}"#,
                404,
                "not_found_error",
                "no rule for the model `gated` matches this request",
            ),
            (
                "",
                r#"{"model":"down"}"#,
                503,
                "overloaded_error",
                "no engine for the model `down` is available, try again shortly",
            ),
            (
                "Content-Encoding: compress\r\n",
                "{}",
                415,
                "invalid_request_error",
                UNSUPPORTED,
            ),
        ] {
            client.send(post_to(target, fields, body)).await;
            let expected = json!({"type": "error", "error": {"type": kind, "message": message}});
            assert_json(&client.answer().await, status, &expected);
        }
    }
    wire.untouched().await;
}
