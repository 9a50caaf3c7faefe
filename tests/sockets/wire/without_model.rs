//! Requests that name no model.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use test_kit::{
    socket::{Framing, Message, Peer, Reply, Server, Wire, post},
    table::of_each_kind,
};
use tower::ServiceBuilder;
use tower_model_route::{ModelRouteLayer, RouteBody, Via, WithoutModel};

#[tokio::test]
async fn they_are_refused_by_default() {
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    for (method, target) in [
        ("GET", "/health"),
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/files/1"),
        ("OPTIONS", "*"),
        ("TRACE", "/"),
        ("get", "/v1/files/1"),
    ] {
        client
            .send(format!("{method} {target} HTTP/1.1\r\nHost: g\r\n\r\n"))
            .await;
        let answer = client.answer().await;
        let lower_case = method == "get";
        // Methods are case-sensitive: this one is unknown, so it may have a body, and has none.
        assert_eq!(answer.status(), if lower_case { 400 } else { 404 });
        if !lower_case {
            let (code, message) = match target.starts_with("/v1/") {
                true => (
                    "route_not_found",
                    "no such resource: this gateway only serves requests that name a model".into(),
                ),
                false => (
                    "unknown_path",
                    format!("no inference API has the path `{target}`"),
                ),
            };
            assert_eq!(
                answer.json(),
                json!({"error": {
                    "message": message,
                    "type": "invalid_request_error",
                    "param": null,
                    "code": code,
                }})
            );
        }
    }
    client
        .send("HEAD /health HTTP/1.1\r\nHost: g\r\n\r\n")
        .await;
    assert_eq!(client.answer_to_head().await.status(), 404);
    client
        .send("GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status(), &answer.json()["object"]),
        (200, &json!("list"))
    );
    wire.untouched().await;
}

/// A body on a GET is read past, or the connection ends with it: it is no request.
#[tokio::test]
async fn their_bodies_are_not_requests() {
    let inner = String::from_utf8(post(r#"{"model":"alias"}"#)).unwrap();
    let length = inner.len();
    let wire = Wire::new().await;
    let mut client = wire.connect().await;
    let head = format!("GET /health HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n");
    client.send(head + &inner).await;
    assert_eq!(client.answer().await.status(), 404);
    client.send("GET /again HTTP/1.1\r\nHost: g\r\n\r\n").await;
    if let Some(answer) = client.answer_or_end().await {
        assert_eq!(answer.status(), 404);
    }
    wire.untouched().await;
}

/// A gateway whose inner service answers with what it was sent.
async fn forwarding() -> Server {
    let layer = ModelRouteLayer::new(of_each_kind("http://engine.test"))
        .without_model(WithoutModel::Forward)
        .via(Via::named("gw").unwrap())
        .models_endpoint(false)
        .max_body_bytes(10);
    let told = |request: Request<RouteBody>| async {
        let (head, body) = request.into_parts();
        let mut told = format!("{} {} {:?}\n", head.method, head.uri, head.version).into_bytes();
        assert!(head.headers.contains_key("x-request-id"));
        let own = |name: &str| name == "x-request-id";
        let fields = head.headers.iter().filter(|(name, _)| !own(name.as_str()));
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat()
        };
        let mut fields: Vec<_> = fields.map(line).collect();
        fields.sort();
        told.extend(fields.concat());
        let length = body.size_hint().exact();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        told.extend_from_slice(&body.to_bytes());
        told.extend(format!("{length:?}{trailers:?}").into_bytes());
        let mut response = Response::new(Full::new(Bytes::from(told)));
        response
            .headers_mut()
            .insert("x-inner", "1".parse().unwrap());
        for (name, value) in [
            ("proxy-status", "kept"),
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
        ] {
            let headers = response.headers_mut();
            headers.insert(name, value.parse().unwrap());
        }
        Ok::<_, Infallible>(response)
    };
    Server::hyper(ServiceBuilder::new().layer(layer).service_fn(told)).await
}

async fn told(client: &mut Peer, request: &str) -> Message {
    client.send(request).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 200);
    let kept = [
        ("x-inner", "1"),
        ("proxy-status", "kept"),
        ("via", "1.1 gw"),
    ];
    for (name, value) in kept {
        assert_eq!(answer.all(name), [value]);
    }
    for name in ["connection", "x-hop"] {
        assert!(answer.all(name).is_empty(), "{name}");
    }
    answer
}

#[tokio::test]
async fn forwarded_they_lose_the_fields_of_the_connection_and_no_others() {
    let gateway = forwarding().await;
    let mut client = gateway.connect().await;
    for (request, expected) in [
        (
            "GET /health?a=%20 HTTP/1.1\r\nHost: gateway.test\r\nTE: trailers\r\nConnection: TE, X-Hop\r\n\
             X-Hop: 1\r\nX-A: 1\r\nx-a: 2\r\n\r\n",
            "GET /health?a=%20 HTTP/1.1\nhost: gateway.test\nvia: 1.1 gw\nx-a: 1\nx-a: 2\nSome(0){}",
        ),
        (
            "GET http://other.test/v1/models HTTP/1.1\r\nHost: other.test\r\n\r\n",
            "GET http://other.test/v1/models HTTP/1.1\nhost: other.test\nvia: 1.1 gw\nSome(0){}",
        ),
        (
            // No JSON and larger than the limit: neither is looked at.
            "DELETE /x HTTP/1.1\r\nHost: g\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot a model!",
            "DELETE /x HTTP/1.1\ncontent-encoding: gzip\ncontent-length: 12\nhost: g\nvia: 1.1 gw\nnot a model!Some(12){}",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
            "OPTIONS * HTTP/1.1\nhost: g\nvia: 1.1 gw\nabcNone{\"x-sum\": \"1\"}",
        ),
    ] {
        let answer = told(&mut client, request).await;
        assert_eq!(answer.text(), expected);
    }
    client
        .send("HEAD /health HTTP/1.1\r\nHost: g\r\n\r\n")
        .await;
    let answer = client.answer_to_head().await;
    assert_eq!((answer.status(), answer.framing), (200, Framing::None));
    // A request that does name one is still routed, and refused here.
    client.send(post(r#"{"a":1}"#)).await;
    assert_eq!(client.answer().await.status(), 400);
}

/// HTTP clients send none with a GET unless they are told to.
#[tokio::test]
async fn a_forwarded_get_keeps_a_body_whose_length_is_unknown() {
    let wire = Wire::with(
        |request| Reply::ok(&request.text()),
        |layer| layer.without_model(WithoutModel::Forward),
    );
    let wire = wire.await;
    let url = wire.upstream.url();
    let host = url.strip_prefix("http://").unwrap();
    let fields = format!("Host: {host}\r\nTransfer-Encoding: chunked\r\n");
    let request = format!("GET {url}/x HTTP/1.1\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(wire.ask(request).await.text(), "abc");
}

/// It is streamed: what the client has sent is there before it sends more.
#[tokio::test]
async fn a_forwarded_body_is_not_buffered() {
    let layer = ModelRouteLayer::new(of_each_kind("http://engine.test"))
        .without_model(WithoutModel::Forward);
    let echo = |request: Request<RouteBody>| async {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    };
    let gateway = Server::hyper(ServiceBuilder::new().layer(layer).service_fn(echo)).await;
    let mut client = gateway.connect().await;
    client
        .send("DELETE /x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.raw_until("\r\n\r\n").await;
    for part in ["3\r\none\r\n", "3\r\ntwo\r\n"] {
        client.send(part).await;
        client.raw_until(part).await;
    }
    client.send("0\r\n\r\n").await;
    client.raw_until("0\r\n\r\n").await;
}
