//! Header fields: what belongs to one connection ends there, all else goes through.

use test_kit::socket::{Message, Reply, Wire, post, post_with};

const BODY: &str = r#"{"model":"alias"}"#;

/// What the gateway sets itself.
const OWN: &[&str] = &["host", "content-length"];

async fn forwarded(request: impl AsRef<[u8]>) -> Message {
    let wire = Wire::new().await;
    let answer = wire.ask(request).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    wire.only().await
}

/// The answer to a client, of an engine that answers with these fields.
async fn returned(fields: &str) -> Message {
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let wire = Wire::answering(Reply::new(bytes_of(&answer))).await;
    let answer = wire.ask(post(BODY)).await;
    assert_eq!(answer.text(), "ok");
    answer
}

/// Each character as one byte.
fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

#[tokio::test]
async fn what_belongs_to_the_clients_connection_ends_there() {
    let fields = "Connection: X-Hop\r\nConnection: x-hop-2 ,,\t X-Absent, @\r\n\
                  X-Hop: 1\r\nx-hop: 2\r\nX-HOP-2: 3\r\nKeep-Alive: timeout=5, max=100\r\n\
                  TE: trailers, deflate\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AAMAAABk\r\n\
                  Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n\
                  Proxy-Anything: x\r\nX-Kept: 1\r\nX-Hop-3: 4\r\n";
    let request = forwarded(post_with(fields, BODY)).await;
    assert_eq!(request.fields_but(OWN), ["x-hop-3: 4", "x-kept: 1"]);
}

#[tokio::test]
async fn connection_takes_no_end_to_end_field_away() {
    let fields = "Connection: host, Authorization, content-type, cookie, x-hop, Content-Length\r\n\
                  Connection: X-Request-Id, traceparent, user-agent\r\nAuthorization: Bearer k\r\n\
                  Connection: Inference-Header-Content-Length\r\nInference-Header-Content-Length: 5\r\n\
                  Content-Type: application/json\r\nCookie: a=b\r\nTraceparent: 00-1\r\n\
                  User-Agent: u\r\nX-Hop: 1\r\nX-Request-Id: 7\r\n";
    let request = forwarded(post_with(fields, BODY)).await;
    assert_eq!(
        request.fields_but(OWN),
        [
            "authorization: Bearer k",
            "content-type: application/json",
            "cookie: a=b",
            "inference-header-content-length: 5",
            "traceparent: 00-1",
            "user-agent: u",
            "x-request-id: 7",
        ]
    );
    assert_eq!(request.all("host").len(), 1);
    // And none of an answer's.
    let answer = returned("Connection: Retry-After, x-hop\r\nRetry-After: 3\r\nX-Hop: 1\r\n").await;
    assert_eq!(answer.all("retry-after"), ["3"]);
    assert!(answer.all("x-hop").is_empty());
}

#[tokio::test]
async fn close_is_between_the_client_and_the_gateway() {
    let wire = Wire::new().await;
    for _ in 0..2 {
        let mut client = wire.connect().await;
        client.send(post_with("Connection: close\r\n", BODY)).await;
        assert_eq!(client.answer().await.all("connection"), ["close"]);
        assert!(client.answer_or_end().await.is_none());
    }
    wire.gateway.stop().await;
    let (connections, requests) = wire.upstream.finish().await;
    assert_eq!((connections, requests.len()), (1, 2));
    assert!(
        requests
            .iter()
            .all(|request| request.all("connection").is_empty())
    );
}

#[tokio::test]
async fn the_engines_close_is_not_the_clients() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let wire = Wire::answering(Reply::new(answer).then_close()).await;
    let mut client = wire.connect().await;
    for _ in 0..3 {
        client.send(post(BODY)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.all("connection").len()), (200, 0));
    }
    assert_eq!(wire.finish().await.len(), 3);
}

#[tokio::test]
async fn what_belongs_to_the_engines_connection_ends_there() {
    let answer = returned(
        "Connection: X-Hop\r\nX-Hop: 1\r\nX-Hop: 2\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nProxy-Status: x\r\nUpgrade: h2c\r\nTE: x\r\n\
         Connection: x-hop-2\r\nX-Hop-2: 3\r\nX-Kept: 1\r\nDate: today\r\n",
    )
    .await;
    assert_eq!(
        answer.fields_but(&[]),
        [
            "content-length: 2",
            "date: today",
            "proxy-status: x",
            "x-kept: 1"
        ]
    );
}

#[tokio::test]
async fn all_else_goes_to_the_engine_as_it_came() {
    let mut request = post_with(
        "X-Twice: b\r\nAuthorization: Bearer a.b-c~d+e/f=\r\nx-twice: a\r\n\
         Content-Type: application/json; charset=\"UTF-8\"\r\nAccept: */*\r\n\
         X-Empty:\r\nX-Twice: b, c ,  d\r\nX-Forwarded-For: 1.2.3.4\r\nVia: 1.1 before\r\n\
         Cookie: a=1; b=\"2\"\r\nX-Space: \t a \t b \t \r\nTraceparent: 00-0-0-01\r\n\
         Content-Encoding: identity\r\nDate: today\r\nX-Latin: ",
        BODY,
    );
    // Bytes that no text holds, right behind the last of these fields.
    let at = request
        .windows(9)
        .position(|at| at == b"X-Latin: ")
        .unwrap()
        + 9;
    request.splice(at..at, *b"\xff\x80\xc3\r\n");
    assert_eq!(
        forwarded(request).await.fields_but(OWN),
        [
            "accept: */*",
            "authorization: Bearer a.b-c~d+e/f=",
            "content-encoding: identity",
            "content-type: application/json; charset=\"UTF-8\"",
            "cookie: a=1; b=\"2\"",
            "date: today",
            "traceparent: 00-0-0-01",
            "via: 1.1 before",
            "x-empty: ",
            "x-forwarded-for: 1.2.3.4",
            "x-latin: \u{ff}\u{80}\u{c3}",
            "x-space: a \t b",
            "x-twice: b",
            "x-twice: a",
            "x-twice: b, c ,  d",
        ]
    );
}

#[tokio::test]
async fn all_else_goes_to_the_client_as_it_came() {
    let answer = returned(
        "Set-Cookie: b=1; Path=/\r\nContent-Type: text/plain\r\nset-cookie: a=2\r\n\
         X-Latin: \u{ff}\u{80}\r\nRetry-After: 7\r\nX-Empty:\r\nServer: uvicorn\r\n\
         Set-Cookie: b=3\r\nDate: today\r\nX-Request-Id: 1\r\nTrailer: x-sum\r\n",
    )
    .await;
    assert_eq!(
        answer.fields_but(&[]),
        [
            "content-length: 2",
            "content-type: text/plain",
            "date: today",
            "retry-after: 7",
            "server: uvicorn",
            "set-cookie: b=1; Path=/",
            "set-cookie: a=2",
            "set-cookie: b=3",
            "trailer: x-sum",
            "x-empty: ",
            "x-latin: \u{ff}\u{80}",
        ]
    );
}

/// A client may not talk the gateway out of what it says itself.
#[tokio::test]
async fn connection_cannot_take_away_host_and_length() {
    for fields in [
        "Connection: content-length, host\r\n",
        "Connection: Host\r\nConnection: close, Content-Length\r\n",
        "Connection: connection, transfer-encoding, trailer\r\n",
    ] {
        let wire = Wire::new().await;
        let address = wire.upstream.address().to_string();
        wire.ask(post_with(fields, BODY)).await;
        let request = wire.only().await;
        assert_eq!(request.all("host"), [address]);
        assert_eq!(request.all("content-length"), ["20"]);
        assert_eq!(request.text(), r#"{"model":"org/real"}"#);
        assert!(request.fields_but(OWN).is_empty(), "{request:?}");
    }
}

#[tokio::test]
async fn an_engine_cannot_take_away_the_length() {
    let answer = returned("Connection: content-length, date\r\nX-Kept: 1\r\n").await;
    assert_eq!(answer.all("content-length"), ["2"]);
    assert_eq!(answer.all("x-kept"), ["1"]);
}

#[tokio::test]
async fn connection_may_name_very_much() {
    let names: Vec<String> = (0..100).map(|i| format!("x-hop-{i}")).collect();
    let there: String = names
        .iter()
        .step_by(2)
        .map(|name| format!("{name}: 1\r\n"))
        .collect();
    let many = names.join(", ");
    let empty = ",".repeat(100_000);
    let fields = format!("Connection: {many}{empty}\r\n{there}X-Kept: 1\r\n");
    let request = forwarded(post_with(&fields, BODY)).await;
    assert_eq!(request.fields_but(OWN), ["x-kept: 1"]);
}
