//! The model in the query, and connections that change their protocol.

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::Empty;
use test_kit::{
    engines::says,
    request::{get, post},
};
use tower_model_route::ModelRouteLayer;

use super::send::{REAL_IN_URI, send, send_through, table};

/// As a browser or an SDK begins a WebSocket.
fn websocket(uri: &str) -> Request<Empty<Bytes>> {
    get(uri)
        .header("connection", "keep-alive, Upgrade")
        .header("keep-alive", "timeout=5")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "realtime")
        .header("proxy-authorization", "secret")
        .body(Empty::new())
        .unwrap()
}

#[tokio::test]
async fn the_query_is_rewritten_and_the_upgrade_asked_for() {
    for (query, expected) in [
        ("model=alias", format!("model={REAL_IN_URI}")),
        (
            "a=1&model=alias&b=%20",
            format!("a=1&model={REAL_IN_URI}&b=%20"),
        ),
        ("mod%65l=org%2Falias", format!("mod%65l={REAL_IN_URI}")),
        ("model=plain%2fmodel&x", "model=plain%2fmodel&x".to_owned()),
    ] {
        let request = websocket(&format!("/v1/realtime?{query}"));
        let forwarded = send(request).await.forwarded();
        let expected = format!("http://engine.test:8000/base/v1/realtime?{expected}");
        assert_eq!(forwarded.uri().to_string(), expected);
        assert_eq!(forwarded.head.method, Method::GET);
        assert_eq!(forwarded.header("connection"), Some("upgrade"));
        assert_eq!(forwarded.header("upgrade"), Some("websocket"));
        assert_eq!(forwarded.header("sec-websocket-version"), Some("13"));
        assert_eq!(
            forwarded.header("sec-websocket-key"),
            Some("dGhlIHNhbXBsZSBub25jZQ==")
        );
        assert_eq!(forwarded.header("sec-websocket-protocol"), Some("realtime"));
        assert_eq!(forwarded.header("host"), Some("engine.test:8000"));
        // What belongs to the client's connection stays behind, and no body is made up.
        for gone in [
            "keep-alive",
            "proxy-authorization",
            "content-length",
            "transfer-encoding",
        ] {
            assert_eq!(forwarded.header(gone), None, "{gone}");
        }
        assert_eq!(
            forwarded.head.headers.get_all("connection").iter().count(),
            1
        );
    }
}

#[tokio::test]
async fn the_engines_agreement_reaches_the_client() {
    let layer = ModelRouteLayer::new(table());
    let request = websocket("/v1/realtime?model=alias");
    let outcome = send_through(layer, request, || {
        says(101, "")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            .header("sec-websocket-protocol", "realtime")
    })
    .await;
    assert_eq!(outcome.status(), StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "realtime"),
    ] {
        assert_eq!(outcome.answer.headers().get(name).unwrap(), value);
    }
}

/// An engine that refuses answers like to any request.
#[tokio::test]
async fn the_engines_refusal_reaches_the_client_without_its_connection() {
    let layer = ModelRouteLayer::new(table());
    let request = websocket("/v1/realtime?model=alias");
    let outcome = send_through(layer, request, || {
        says(426, "")
            .header("connection", "upgrade")
            .header("upgrade", "other")
            .header("x-why", "no")
    })
    .await;
    assert_eq!(outcome.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(outcome.answer.headers().get("x-why").unwrap(), "no");
    assert!(!outcome.answer.headers().contains_key("connection"));
    assert!(!outcome.answer.headers().contains_key("upgrade"));
}

/// Others would be tunnels past every rule, such as `h2c`.
#[tokio::test]
async fn only_a_websocket_is_asked_for() {
    for (asked, expected) in [
        ("h2c", None),
        ("TLS/1.2", None),
        ("websockets", None),
        ("WebSocket", Some("websocket")),
        ("h2c , websocket", Some("websocket")),
    ] {
        let mut request = websocket("/v1/realtime?model=alias");
        let headers = request.headers_mut();
        headers.insert("upgrade", asked.parse().unwrap());
        headers.insert("http2-settings", "x".parse().unwrap());
        let forwarded = send(request).await.forwarded();
        assert_eq!(forwarded.header("upgrade"), expected, "{asked}");
        assert_eq!(forwarded.header("connection"), expected.map(|_| "upgrade"));
        assert_eq!(forwarded.header("http2-settings"), None);
    }
}

/// Only a GET asks for another protocol here; what a POST asks for is settled with this hop.
#[tokio::test]
async fn a_post_loses_its_upgrade() {
    let mut request = post("/v1/chat/completions", r#"{"model":"alias"}"#);
    let headers = request.headers_mut();
    headers.insert("connection", "upgrade, x-hop".parse().unwrap());
    headers.insert("upgrade", "h2c".parse().unwrap());
    headers.insert("http2-settings", "x".parse().unwrap());
    headers.insert("x-hop", "x".parse().unwrap());
    let forwarded = send(request).await.forwarded();
    for gone in ["connection", "upgrade", "http2-settings", "x-hop"] {
        assert_eq!(forwarded.header(gone), None, "{gone}");
    }
}

/// Upgrade says nothing where Connection does not name it (RFC 9110 section 7.8).
#[tokio::test]
async fn an_upgrade_that_is_not_asked_for() {
    for connection in [None, Some("keep-alive"), Some("x-upgrade")] {
        let mut request = websocket("/v1/realtime?model=alias");
        let headers = request.headers_mut();
        headers.remove("connection");
        if let Some(connection) = connection {
            headers.insert("connection", connection.parse().unwrap());
        }
        let forwarded = send(request).await.forwarded();
        assert_eq!(forwarded.header("upgrade"), None);
        assert_eq!(forwarded.header("connection"), None);
    }
}

/// Nor does it in HTTP/1.0, and HTTP/2 has none (RFC 9110 section 7.8, RFC 9113 section 8.6).
#[tokio::test]
async fn an_upgrade_in_a_version_that_has_none() {
    for (version, expected) in [
        (Version::HTTP_10, None),
        (Version::HTTP_11, Some("websocket")),
        (Version::HTTP_2, None),
    ] {
        let mut request = websocket("/v1/realtime?model=alias");
        *request.version_mut() = version;
        let forwarded = send(request).await.forwarded();
        assert_eq!(forwarded.header("upgrade"), expected, "{version:?}");
        assert_eq!(forwarded.header("connection"), expected.map(|_| "upgrade"));
    }
}

#[tokio::test]
async fn a_query_that_names_none_or_two() {
    for (query, code) in [
        ("", "missing_model"),
        ("?intent=transcription", "missing_model"),
        ("?model=", "invalid_model"),
        ("?model=alias&model=alias", "ambiguous_model"),
        ("?model=alias&mod%65l=lora", "ambiguous_model"),
    ] {
        let request = websocket(&format!("/v1/realtime{query}"));
        send(request).await.refused(400, code);
    }
}

/// Of other paths the query is no place of a model.
#[tokio::test]
async fn a_query_elsewhere() {
    let sent = post("/v1/chat/completions?model=alias", r#"{"model":"lora"}"#);
    let forwarded = send(sent).await.forwarded();
    assert_eq!(forwarded.asked_for(), "lora");
    assert_eq!(forwarded.uri().query(), Some("model=alias"));
}
