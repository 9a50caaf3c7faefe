//! Bodies that are too large or too slow.

use std::time::Duration;

use serde_json::json;
use test_kit::socket::{Message, Peer, Reply, Wire, post, post_chunked, post_to};

const BODY: &str = r#"{"model":"plain"}"#;

async fn limited(bytes: usize) -> Wire {
    Wire::with(|_| Reply::ok("{}"), |layer| layer.max_body_bytes(bytes)).await
}

fn assert_too_large(answer: &Message, limit: usize) {
    assert_eq!(answer.status(), 413);
    assert_eq!(
        answer.json(),
        json!({"error": {
            "message": format!("the request body is larger than the {limit} bytes allowed"),
            "type": "invalid_request_error",
            "param": null,
            "code": "body_too_large",
        }})
    );
}

#[tokio::test]
async fn the_limit_is_the_last_length_that_passes() {
    let wire = limited(BODY.len()).await;
    let (left, right) = BODY.split_at(5);
    for request in [
        post(BODY),
        post_chunked("", &[BODY], ""),
        post_chunked("", &[left, right], ""),
    ] {
        assert_eq!(wire.ask(request).await.status(), 200);
    }
    assert_eq!(wire.finish().await.len(), 3);
}

#[tokio::test]
async fn one_byte_more_is_too_large_announced_or_counted() {
    let limit = BODY.len() - 1;
    let wire = limited(limit).await;
    let (left, right) = BODY.split_at(5);
    let bytes: Vec<String> = BODY.chars().map(String::from).collect();
    let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
    for request in [
        post(BODY),
        post_chunked("", &[BODY], ""),
        post_chunked("", &[left, right], ""),
        post_chunked("", &bytes, "X-Sum: a\r\n"),
    ] {
        assert_too_large(&wire.ask(request).await, limit);
    }
    let answer = wire.ask(post_to("/v1/messages", "", BODY)).await;
    assert_eq!(answer.status(), 413);
    let expected = json!({"type": "error", "error": {
        "type": "request_too_large",
        "message": "the request body is larger than the 16 bytes allowed",
    }});
    assert_eq!(answer.json(), expected);
    wire.untouched().await;
}

/// Chunks that never end are answered when they have passed the limit, not when the client is done.
#[tokio::test]
async fn an_endless_body_is_answered_at_the_limit() {
    let wire = limited(1000).await;
    let mut client = wire.connect().await;
    let start = format!(r#"{{"a":"{}"#, "x".repeat(594));
    let mut endless = post_chunked("", &[&start, &"x".repeat(600)], "");
    endless.truncate(endless.len() - "0\r\n\r\n".len());
    client.send(endless).await;
    assert_too_large(&client.answer().await, 1000);
    // And what it goes on to say is not taken for a request.
    client.send(post(BODY)).await;
    assert!(client.answer_or_end().await.is_none());
    wire.untouched().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let wait = Duration::from_millis(200);
    let wire = Wire::with(|_| Reply::ok("{}"), |layer| layer.body_timeout(wait)).await;
    // All at once, so that the wait is had only once.
    let mut clients = Vec::new();
    for (target, sent) in [("/v1/chat", 0), ("/v1/chat", 10), ("/v1/messages", 10)] {
        let mut client = wire.connect().await;
        let request = post_to(target, "", BODY);
        client
            .send(&request[..request.len() - BODY.len() + sent])
            .await;
        clients.push((target, client));
    }
    let mut chunked = wire.connect().await;
    let request = post_chunked("", &[BODY], "");
    // Up to within the model's name.
    chunked.send(&request[..request.len() - 12]).await;
    clients.push(("/v1/chat", chunked));
    assert_given_up(clients).await;
    wire.untouched().await;
}

/// Once its model is known a body goes to the engine as it comes, and is broken off there.
#[tokio::test]
async fn a_body_that_stops_after_its_model_is_given_up() {
    let wait = Duration::from_millis(200);
    let wire = Wire::with(|_| Reply::ok("{}"), |layer| layer.body_timeout(wait)).await;
    let mut clients = Vec::new();
    for target in ["/v1/chat", "/v1/messages"] {
        let mut client = wire.connect().await;
        let request = post_to(target, "", BODY);
        client.send(&request[..request.len() - 1]).await;
        clients.push((target, client));
    }
    let request = post_chunked("", &[BODY], "");
    // Before the last chunk, and within it.
    for missing in [5, 2] {
        let mut chunked = wire.connect().await;
        chunked.send(&request[..request.len() - missing]).await;
        clients.push(("/v1/chat", chunked));
    }
    assert_given_up(clients).await;
    wire.never_whole().await;
}

async fn assert_given_up(clients: Vec<(&str, Peer)>) {
    let message = "the request body was not received in time: nothing came for 0.2 seconds";
    for (target, mut client) in clients {
        let answer = client.answer().await;
        assert_eq!(answer.status(), 408);
        let expected = if target == "/v1/messages" {
            json!({"type": "error", "error": {
                "type": "invalid_request_error",
                "message": message,
            }})
        } else {
            json!({"error": {
                "message": message,
                "type": "invalid_request_error",
                "param": null,
                "code": "request_timeout",
            }})
        };
        assert_eq!(answer.json(), expected);
        // What comes too late is not a request of its own.
        client.send(post(BODY)).await;
        assert!(client.answer_or_end().await.is_none());
    }
}
