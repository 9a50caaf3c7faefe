//! How the request's body is framed upstream.

use test_kit::socket::{Framing, Wire, post_chunked, post_with};

const ALIAS: &str = r#"{"model":"alias"}"#;
const REAL: &str = r#"{"model":"org/real"}"#;

/// Sends these requests on one connection; each must come out as `REAL` with its length.
async fn assert_real_length(requests: &[Vec<u8>]) {
    let wire = Wire::new().await;
    for request in requests {
        assert_eq!(wire.ask(request).await.status(), 200);
    }
    let seen = wire.finish().await;
    assert_eq!(seen.len(), requests.len());
    for request in seen {
        // The reader has refused two lengths, and a length beside chunks.
        assert_eq!(request.framing, Framing::Length(REAL.len()));
        assert_eq!(request.all("content-length"), [REAL.len().to_string()]);
        assert!(request.all("transfer-encoding").is_empty());
        assert_eq!(request.text(), REAL);
    }
}

#[tokio::test]
async fn the_length_is_that_of_the_rewritten_body() {
    let length = ALIAS.len();
    assert_real_length(&[
        post_with("", ALIAS),
        // Said twice, it is still one length (RFC 9112 section 6.3).
        post_with(&format!("Content-Length: {length}\r\n"), ALIAS),
        post_with(&format!("content-length: 0{length}\r\n"), ALIAS),
    ])
    .await;
}

#[tokio::test]
async fn chunks_become_a_length() {
    let (left, right) = ALIAS.split_at(12);
    let bytes: Vec<String> = ALIAS.chars().map(String::from).collect();
    let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
    assert_real_length(&[
        post_chunked("", &[ALIAS], ""),
        post_chunked("", &[left, right], ""),
        post_chunked("", &bytes, ""),
        post_chunked("Connection: transfer-encoding\r\n", &[ALIAS], ""),
    ])
    .await;
}

#[tokio::test]
async fn how_the_client_writes_its_chunks_does_not_matter() {
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nTRANSFER-ENCODING: Chunked\r\n\r\n";
    let length = ALIAS.len();
    let whole = ["0000", &format!("{length:X}"), ";name=\"value\""].concat();
    assert_real_length(&[format!("{head}{whole}\r\n{ALIAS}\r\n00\r\n\r\n").into_bytes()]).await;
}

#[tokio::test]
async fn a_long_body_keeps_its_length_and_its_bytes() {
    let filler: String = (0..200_000).map(|i| format!("{i:05}")).collect();
    let [before, after] = [
        &*format!(r#"{{"a":"{filler}","model":"#),
        &*format!(r#","b":"{filler}"}}"#),
    ];
    let sent = format!(r#"{before}"alias"{after}"#);
    let expected = format!(r#"{before}"org/real"{after}"#);
    let parts: Vec<&str> = sent
        .as_bytes()
        .chunks(30_011)
        .map(|part| std::str::from_utf8(part).unwrap())
        .collect();
    let wire = Wire::new().await;
    for request in [post_with("", &sent), post_chunked("", &parts, "")] {
        assert_eq!(wire.ask(request).await.status(), 200);
    }
    let seen = wire.finish().await;
    // The second is too long to be held until its length is known.
    let framings: Vec<_> = seen.iter().map(|request| request.framing).collect();
    assert_eq!(
        framings,
        [Framing::Length(expected.len()), Framing::Chunked]
    );
    for request in seen {
        assert!(request.body == expected.as_bytes());
    }
}
