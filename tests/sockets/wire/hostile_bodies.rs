//! Bodies made to hurt.

use serde_json::json;
use test_kit::socket::{Framing, Message, Wire, post, post_chunked};

/// Sends these bodies, which must be refused with this code and not reach the engine.
async fn assert_refused(bodies: &[Vec<u8>], status: u16, code: &str) {
    refused(bodies, status, code).await.untouched().await;
}

/// The same for bodies whose model is well and comes before what is not: they may be on their way
/// by then, but the engine never gets them whole.
async fn assert_refused_late(bodies: &[Vec<u8>], status: u16, code: &str) {
    refused(bodies, status, code).await.never_whole().await;
}

async fn refused(bodies: &[Vec<u8>], status: u16, code: &str) -> Wire {
    let wire = Wire::new().await;
    for body in bodies {
        let answer = wire.ask(post(body)).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.json()["error"]["code"], code);
        // Whatever the client has sent, it does not come back at length.
        assert!(answer.body.len() < 4096, "{}", answer.body.len());
    }
    wire
}

/// The longest that a model's name may be, in the bytes of the body.
const LONGEST_NAME: usize = 4096;

async fn forwarded(body: &str) -> Message {
    let wire = Wire::new().await;
    assert_eq!(wire.ask(post(body)).await.status(), 200);
    wire.only().await
}

#[tokio::test]
async fn one_byte_at_a_time() {
    let (before, after) = (r#"{"😀":"\u0061\\\"","mod\u0065l":"#, r#","b":[{}]}"#);
    let body = format!(r#"{before}"\u0061lias"{after}"#);
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    // The request is sent before the trailers are there: only those that are announced can follow.
    let chunked = post_chunked("Trailer: X-Sum\r\n", &[&body], "X-Sum: a\r\n");
    for request in [post(&body), chunked] {
        for byte in request {
            client.send([byte]).await;
            // So that the gateway reads it before the next one comes.
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await.status(), 200);
    }
    let seen = wire.finish().await;
    let expected = format!(r#"{before}"org/real"{after}"#);
    assert!(
        seen.len() == 2
            && seen
                .iter()
                .all(|request| request.body == expected.as_bytes())
    );
    assert_eq!(seen[0].framing, Framing::Length(expected.len()));
    assert_eq!(seen[1].trailers.len(), 1);
}

#[tokio::test]
async fn a_hundred_thousand_brackets() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"":"#, "}]")] {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        let deep = format!("{open}1{close}");
        let request = forwarded(&format!(r#"{{"a":{deep},"model":"alias"}}"#)).await;
        assert!(request.text() == format!(r#"{{"a":{deep},"model":"org/real"}}"#));
    }
    let open = "[".repeat(100_000);
    let closed = "]".repeat(100_000);
    assert_refused(
        &[
            open.clone().into_bytes(),
            format!("{open}{closed}").into_bytes(),
            format!(r#"{{"a":{open}"#).into_bytes(),
            format!(r#"{{"a":{open}{closed}],"model":"alias"}}"#).into_bytes(),
        ],
        400,
        "invalid_json",
    )
    .await;
    assert_refused_late(
        &[
            format!(r#"{{"model":"alias","a":{open}"#).into_bytes(),
            format!(r#"{{"model":"alias","a":{open}{closed}]}}"#).into_bytes(),
        ],
        400,
        "invalid_json",
    )
    .await;
    // As the model itself it is looked at, but not descended into.
    let model = format!(r#"{{"model":{open}{closed}}}"#);
    assert_refused(&[model.into_bytes()], 400, "invalid_model").await;
}

#[tokio::test]
async fn a_megabyte_of_backslashes() {
    let slashes = "\\".repeat(1 << 20);
    let request = forwarded(&format!(r#"{{"a":"{slashes}","model":"alias"}}"#)).await;
    assert!(request.text() == format!(r#"{{"a":"{slashes}","model":"org/real"}}"#));
    // One more makes the quote a part of the text.
    let odd = format!(r#"{{"a":"\{slashes}","model":"alias"}}"#);
    assert_refused(&[odd.into_bytes()], 400, "invalid_json").await;
    let name = |slashes: &str| format!(r#"{{"model":"{slashes}"}}"#).into_bytes();
    assert_refused(&[name(&slashes)], 400, "invalid_model").await;
    let slashes = &slashes[..LONGEST_NAME];
    assert_refused(&[name(slashes)], 404, "model_not_found").await;
}

#[tokio::test]
async fn a_megabyte_of_name() {
    let names = ["x", "\u{e9}", "\\u0000", "\\ud83d\\ude00", "\\\""];
    let bodies = |len: usize| {
        names.map(|c| format!(r#"{{"model":"{}"}}"#, c.repeat(len / c.len())).into_bytes())
    };
    assert_refused(&bodies(1 << 20), 400, "invalid_model").await;
    assert_refused(&bodies(LONGEST_NAME), 404, "model_not_found").await;
    let longer = format!(r#"{{"model":"{}"}}"#, "x".repeat(LONGEST_NAME + 1));
    assert_refused(&[longer.into_bytes()], 400, "invalid_model").await;
    let key = "k".repeat(1 << 20);
    let body = format!(r#"{{"{key}":1,"model":"plain"}}"#);
    assert!(forwarded(&body).await.text() == body);
}

#[tokio::test]
async fn very_many_keys() {
    let keys: String = (0..50_000).map(|i| format!(r#""model{i}":{i},"#)).collect();
    let request = forwarded(&format!(r#"{{{keys}"model":"alias"}}"#)).await;
    assert!(request.text() == format!(r#"{{{keys}"model":"org/real"}}"#));
    let models = r#""model":"alias","#.repeat(50_000);
    let models = format!(r#"{{{models}"model":"alias"}}"#);
    assert_refused(&[models.into_bytes()], 400, "ambiguous_model").await;
}

#[tokio::test]
async fn nul_bytes() {
    assert_refused(
        &[
            b"\0".to_vec(),
            b"\0{\"model\":\"alias\"}".to_vec(),
            b"{\"model\0\":\"alias\",\"model\":\"alias\"}".to_vec(),
            b"{\"model\":\"alias\",\0\"a\":1}".to_vec(),
            vec![0; 1 << 20],
        ],
        400,
        "invalid_json",
    )
    .await;
    let name = [b"{\"model\":\"alias\0\"}".to_vec()];
    assert_refused(&name, 400, "invalid_model").await;
    // In a text that is only skipped it is left to the engine.
    let skipped = "{\"model\":\"plain\",\"a\":\"\0\"}";
    assert_eq!(forwarded(skipped).await.text(), skipped);
    // Escaped it is a character like any other, and makes another name and another key.
    let other = [br#"{"model":"alias\u0000"}"#.to_vec()];
    assert_refused(&other, 404, "model_not_found").await;
    let body = r#"{"model\u0000":"gone","model":"plain"}"#;
    assert_eq!(forwarded(body).await.text(), body);
}

#[tokio::test]
async fn broken_utf_8_in_the_name_or_in_a_key() {
    for broken in [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\x80",
    ] {
        let name = [b"{\"model\":\"alias", broken, b"\"}"].concat();
        let key = [b"{\"model", broken, b"\":1,\"model\":\"alias\"}"].concat();
        let outside = [b"{\"model\":\"alias\"", broken, b"}"].concat();
        assert_refused(&[name], 400, "invalid_model").await;
        assert_refused(&[key, outside], 400, "invalid_json").await;
    }
    let utf_16: Vec<u8> = "{\"model\":\"alias\"}"
        .bytes()
        .flat_map(|byte| [byte, 0])
        .collect();
    assert_refused(&[utf_16], 400, "invalid_json").await;
}

#[tokio::test]
async fn half_a_surrogate_in_the_name_is_no_name() {
    let bodies = [r#""\ud800""#, r#""alias\udc00""#, r#""\ude00\ud83d""#]
        .map(|name| format!(r#"{{"model":{name}}}"#).into_bytes());
    assert_refused(&bodies, 400, "invalid_model").await;
}

/// What the client's name holds is text in the message, whatever it means elsewhere.
#[tokio::test]
async fn a_name_cannot_leave_its_place_in_the_message() {
    let name = "\"}}\r\nX-Evil: 1\r\n\r\n<script>";
    let body = json!({"model": name}).to_string();
    let wire = Wire::new().await;
    let answer = wire.ask(post(body)).await;
    assert_eq!(answer.status(), 404);
    assert!(answer.all("x-evil").is_empty());
    let message = format!("the model `{name}` does not exist");
    assert_eq!(answer.json()["error"]["message"], message);
    wire.untouched().await;
}
