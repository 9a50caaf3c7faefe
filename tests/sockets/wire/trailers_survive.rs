//! Trailers of requests: they arrive, behind chunks.

use test_kit::socket::{Framing, Message, Wire, post_chunked, post_with};

const ALIAS: &str = r#"{"model":"alias"}"#;
const REAL: &str = r#"{"model":"org/real"}"#;

/// The request as the engine gets it.
async fn forwarded(request: Vec<u8>) -> Message {
    let wire = Wire::new().await;
    assert_eq!(wire.ask(request).await.status(), 200);
    wire.only().await
}

/// The names that the Trailer fields announce.
fn announced(request: &Message) -> Vec<String> {
    let mut names: Vec<_> = request
        .all("trailer")
        .iter()
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn they_arrive_though_nobody_announced_them() {
    let sent = "X-Sum: abc\r\nX-Sum: d\u{e9}f\r\nX-Count: 2\r\n";
    let request = forwarded(post_chunked("", &[ALIAS], sent)).await;
    assert_eq!(request.framing, Framing::Chunked);
    assert_eq!(request.text(), REAL);
    assert_eq!(
        request.trailer_lines(),
        // Two bytes of UTF-8, as Latin-1.
        ["x-sum: abc", "x-sum: d\u{c3}\u{a9}f", "x-count: 2"]
    );
    assert_eq!(announced(&request), ["x-count", "x-sum"]);
}

#[tokio::test]
async fn they_arrive_as_the_client_announced_them() {
    let fields = "Trailer: X-Sum, x-never\r\nTrailer: x-count\r\n";
    let request = forwarded(post_chunked(fields, &[ALIAS], "X-Sum: a\r\nX-Count: 2\r\n")).await;
    assert_eq!(request.framing, Framing::Chunked);
    assert_eq!(request.text(), REAL);
    assert_eq!(request.trailer_lines(), ["x-sum: a", "x-count: 2"]);
    // What does not come is not announced either.
    assert_eq!(announced(&request), ["x-count", "x-sum"]);
}

#[tokio::test]
async fn they_arrive_behind_a_body_that_is_not_rewritten() {
    let body = r#"{"model":"plain"}"#;
    let request = forwarded(post_chunked("TE: trailers\r\n", &[body], "X-Sum: a\r\n")).await;
    assert_eq!(request.framing, Framing::Chunked);
    assert_eq!(request.text(), body);
    assert_eq!(request.trailer_lines(), ["x-sum: a"]);
    assert!(request.all("te").is_empty());
}

#[tokio::test]
async fn an_announcement_alone_makes_no_chunks() {
    for request in [
        post_chunked("Trailer: x-sum\r\n", &[ALIAS], ""),
        post_with("Trailer: x-sum\r\n", ALIAS),
    ] {
        let request = forwarded(request).await;
        assert_eq!(request.framing, Framing::Length(REAL.len()));
        assert!(request.all("trailer").is_empty());
    }
}

/// Fields that steer how a message is read must not come behind it (RFC 9110 section 6.5.1), and
/// leaving them out must not leave the body without an end.
#[tokio::test]
async fn framing_and_routing_fields_are_no_trailers() {
    for forbidden in [
        "Content-Length: 5",
        "Host: evil",
        "Transfer-Encoding: x",
        "Authorization: Bearer x",
        "TE: x",
        "Connection: x",
        "Forwarded: for=127.0.0.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Api-Key: x",
        "Cookie: x=1",
    ] {
        // Nor is one announced, though the client has done so.
        let (name, _) = forbidden.split_once(':').unwrap();
        for fields in [String::new(), format!("Trailer: {name}, X-Sum\r\n")] {
            let sent = format!("{forbidden}\r\n");
            let request = forwarded(post_chunked(&fields, &[ALIAS], &sent)).await;
            assert_eq!(request.text(), REAL);
            assert_eq!(request.framing, Framing::Length(REAL.len()));
            assert!(request.trailers.is_empty(), "{request:?}");
            assert!(request.all("trailer").is_empty(), "{request:?}");

            let sent = format!("{forbidden}\r\nX-Sum: a\r\n");
            let request = forwarded(post_chunked(&fields, &[ALIAS], &sent)).await;
            assert_eq!(request.text(), REAL);
            assert_eq!(request.trailer_lines(), ["x-sum: a"]);
            assert_eq!(announced(&request), ["x-sum"]);
        }
    }
}

/// A body that is sent on while it arrives has only what the client announces.
#[tokio::test]
async fn what_is_announced_for_later_is_no_framing_field_either() {
    let much = format!(r#"{{"model":"plain","x":"{}"}}"#, "x".repeat(300_000));
    let fields = "Trailer: Content-Length, X-Sum\r\nTrailer: host\r\n";
    let sent = "Content-Length: 5\r\nHost: evil\r\nX-Sum: a\r\n";
    let (start, rest) = much.split_at(20);
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    client
        .send(post_chunked(fields, &[start, rest], sent))
        .await;
    assert_eq!(client.answer().await.status(), 200);
    let request = wire.only().await;
    assert_eq!(request.text(), much);
    assert_eq!(request.trailer_lines(), ["x-sum: a"]);
    assert_eq!(announced(&request), ["x-sum"]);
}

/// They come behind the message and change nothing of its head.
#[tokio::test]
async fn trailers_do_not_become_headers() {
    let wire = Wire::new().await;
    let gated = r#"{"model":"gated"}"#;
    let answer = wire
        .ask(post_chunked("", &[gated], "X-Tier: gold\r\n"))
        .await;
    assert_eq!(answer.status(), 404);
    wire.untouched().await;
}
