//! Requests that name no model.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use test_kit::{
    socket::{Framing, Message, Peer, Server, Wire, post},
    table::of_each_kind,
};
use tower::ServiceBuilder;
use tower_model_route::{ModelRouteLayer, RouteBody, WithoutModel};

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
        .models_endpoint(false)
        .max_body_bytes(10);
    let told = |request: Request<RouteBody>| async {
        let (head, body) = request.into_parts();
        let mut told = format!("{} {} {:?}\n", head.method, head.uri, head.version).into_bytes();
        assert!(head.headers.contains_key("x-request-id"));
        let own = |name: &str| name == "x-request-id";
        for (name, value) in head.headers.iter().filter(|(name, _)| !own(name.as_str())) {
            told.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
        }
        let length = body.size_hint().exact();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        told.extend_from_slice(&body.to_bytes());
        told.extend(format!("{length:?}{trailers:?}").into_bytes());
        let mut response = Response::new(Full::new(Bytes::from(told)));
        response
            .headers_mut()
            .insert("x-inner", "1".parse().unwrap());
        response
            .headers_mut()
            .insert("proxy-status", "kept".parse().unwrap());
        Ok::<_, Infallible>(response)
    };
    Server::hyper(ServiceBuilder::new().layer(layer).service_fn(told)).await
}

async fn told(client: &mut Peer, request: &str) -> Message {
    client.send(request).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 200);
    // Neither the request nor the answer is the layer's: it leaves both alone.
    assert_eq!(
        (answer.all("x-inner"), answer.all("proxy-status")),
        (vec!["1"], vec!["kept"])
    );
    answer
}

#[tokio::test]
async fn forwarded_they_stay_as_they_are() {
    let gateway = forwarding().await;
    let mut client = gateway.connect().await;
    for (request, expected) in [
        (
            "GET /health?a=%20 HTTP/1.1\r\nHost: gateway.test\r\nTE: trailers\r\nX-A: 1\r\nx-a: 2\r\n\r\n",
            "GET /health?a=%20 HTTP/1.1\nhost: gateway.test\nte: trailers\nx-a: 1\nx-a: 2\nSome(0){}",
        ),
        (
            "GET http://other.test/v1/models HTTP/1.1\r\nHost: other.test\r\n\r\n",
            "GET http://other.test/v1/models HTTP/1.1\nhost: other.test\nSome(0){}",
        ),
        (
            // No JSON and larger than the limit: neither is looked at.
            "DELETE /x HTTP/1.1\r\nHost: g\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot a model!",
            "DELETE /x HTTP/1.1\nhost: g\ncontent-encoding: gzip\ncontent-length: 12\nnot a model!Some(12){}",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
            "OPTIONS * HTTP/1.1\nhost: g\ntransfer-encoding: chunked\nabcNone{\"x-sum\": \"1\"}",
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
