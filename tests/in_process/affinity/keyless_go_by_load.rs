//! Requests in which there is no key: they go by load.

use std::collections::HashSet;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower_model_route::{Balance, HashKey};

use super::users::{ENDPOINTS, Gateway, bodiless, chat, post};

fn every_affinity() -> [Balance; 5] {
    [
        Balance::ConsistentHash(HashKey::User.into()),
        Balance::ConsistentHash(HashKey::SessionId.into()),
        Balance::ConsistentHash(HashKey::Header("x-session".into()).into()),
        Balance::ConsistentHash(HashKey::ClientAddr.into()),
        Balance::PrefixHash(1024.into()),
    ]
}

/// Idle endpoints take turns, so none is left out.
async fn assert_spread(request: impl Fn() -> Request<Full<Bytes>>) {
    for balance in every_affinity() {
        let gateway = Gateway::balanced(balance);
        let mut all = HashSet::new();
        for _ in 0..ENDPOINTS {
            all.insert(gateway.ask(request()).await);
        }
        assert_eq!(all.len(), ENDPOINTS);
    }
}

#[tokio::test]
async fn json_without_one() {
    for rest in [
        r#""n":1"#,
        r#""user":null,"session_id":7,"messages":[]"#,
        r#""user":"","session_id":"","prompt":"""#,
        r#""user":{"id":"u"},"metadata":"user_id","messages":[1,[2],null]"#,
    ] {
        assert_spread(|| chat(rest)).await;
    }
}

/// The model stands in the path: what the body is does not matter.
#[tokio::test]
async fn bodies_that_are_not_json() {
    for body in [
        &b""[..],
        b"plain text",
        b"{\"user\":",
        b"\xff\xfe{",
        b"[[[[",
        b"\"user\"",
    ] {
        assert_spread(|| {
            let mut request = post(body);
            *request.uri_mut() = "/v2/models/asked/infer".parse().unwrap();
            let binary = "application/octet-stream".parse().unwrap();
            request.headers_mut().insert("content-type", binary);
            request
        })
        .await;
    }
}

#[tokio::test]
async fn forms() {
    let form = "--X\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nu\r\n\
                --X\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nasked\r\n--X--\r\n";
    assert_spread(|| {
        let mut request = post(form);
        let content_type = "multipart/form-data; boundary=X".parse().unwrap();
        request.headers_mut().insert("content-type", content_type);
        request
    })
    .await;
}

#[tokio::test]
async fn requests_without_a_body() {
    for balance in every_affinity() {
        let gateway = Gateway::balanced(balance);
        let mut all = HashSet::new();
        for _ in 0..ENDPOINTS {
            let request = Request::get("/v1/realtime?model=asked");
            all.insert(gateway.ask(bodiless(request)).await);
        }
        assert_eq!(all.len(), ENDPOINTS);
    }
}

/// A header is a key whatever the body is.
#[tokio::test]
async fn but_a_header_needs_no_body() {
    let by_header = Balance::ConsistentHash(HashKey::Header("x-session".into()).into());
    let gateway = Gateway::balanced(by_header);
    let mut all = HashSet::new();
    for _ in 0..10 {
        let request = Request::get("/v1/realtime?model=asked").header("x-session", "s");
        all.insert(gateway.ask(bodiless(request)).await);
    }
    assert_eq!(all.len(), 1);
}

/// Whatever the affinity, a body that is wrong is refused as it is elsewhere.
#[tokio::test]
async fn what_is_refused_stays_refused() {
    for balance in every_affinity() {
        let gateway = Gateway::balanced(balance);
        for (body, status) in [
            (r#"{"user":"u","model":"asked""#, 400),
            (r#"{"user":"u","model":"asked","model":"x"}"#, 400),
            (r#"{"user":"u"}"#, 400),
            (r#"{"user":"u","model":"other"}"#, 404),
        ] {
            assert_eq!(gateway.send(post(body)).await.status(), status, "{body}");
        }
    }
}
