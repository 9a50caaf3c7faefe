//! Clients of HTTP/2, and engines of HTTP/1.1.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use test_kit::{
    socket::{Framing, H2Client, Reply, Server, Upstream, Wire, frames, h2_post, whole},
    time::within,
};
use tokio::sync::Notify;
use tower_model_route::{
    ModelMatch, ModelRoute, ModelRouteLayer, ModelServer, RouteTable, Rule, StringMatch,
};

const ALIAS: &str = r#"{"model":"alias"}"#;
const REAL: &str = r#"{"model":"org/real"}"#;

fn one(name: &'static str, value: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_static(value));
    headers
}

#[tokio::test]
async fn the_engine_gets_http_1_1() {
    let wire = Wire::new().await;
    let address = wire.upstream.address().to_string();
    let mut client = H2Client::connect(wire.gateway.address).await;
    let (left, right) = ALIAS.split_at(7);
    for body in [whole(ALIAS), frames(&[left, "", right], None)] {
        let request = Request::post("http://gateway.test/v1/chat?a=%20b").header("x-a", "1");
        let request = request.header("te", "trailers").header("x-a", "2");
        let answer = client.ask(request.body(body).unwrap()).await;
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, Version::HTTP_2)
        );
    }
    let seen = wire.finish().await;
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert_eq!(request.start, "POST /v1/chat?a=%20b HTTP/1.1");
        assert_eq!(request.all("host"), [&*address]);
        assert_eq!(request.framing, Framing::Length(REAL.len()));
        assert_eq!(request.text(), REAL);
        assert_eq!(
            request.fields_but(&["host", "content-length"]),
            ["x-a: 1", "x-a: 2"]
        );
    }
}

#[tokio::test]
async fn a_host_field_beside_the_authority_is_the_same_or_refused() {
    let wire = Wire::new().await;
    let address = wire.upstream.address().to_string();
    let mut client = H2Client::connect(wire.gateway.address).await;
    let request = h2_post()
        .header("host", "evil.test")
        .body(whole(ALIAS))
        .unwrap();
    assert_eq!(client.ask(request).await.status(), 400);
    let request = h2_post().header("host", "Gateway.test").body(whole(ALIAS));
    assert_eq!(client.ask(request.unwrap()).await.status(), 200);
    assert_eq!(wire.only().await.all("host"), [address]);
}

#[tokio::test]
async fn trailers_of_the_request_arrive() {
    let wire = Wire::new().await;
    let mut client = H2Client::connect(wire.gateway.address).await;
    let length = ALIAS.len();
    // Only HTTP/2 can have both a length and trailers.
    for request in [h2_post(), h2_post().header("content-length", length)] {
        let body = frames(&[ALIAS], Some(one("x-sum", "abc")));
        assert_eq!(client.ask(request.body(body).unwrap()).await.status(), 200);
    }
    let seen = wire.finish().await;
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert_eq!(request.framing, Framing::Chunked);
        assert_eq!(request.text(), REAL);
        assert_eq!(request.trailers, [("x-sum".to_owned(), "abc".to_owned())]);
    }
}

#[tokio::test]
async fn trailers_of_the_answer_arrive() {
    // Only HTTP/1.1 needs them announced.
    for trailer in ["Trailer: x-sum\r\n", ""] {
        let wire = Wire::answering(Reply::new(format!(
            "HTTP/1.1 200 OK\r\n{trailer}Transfer-Encoding: chunked\r\nConnection: x-hop\r\n\
             X-Hop: 1\r\nKeep-Alive: x\r\n\r\n2\r\nok\r\n0\r\nX-Sum: a\r\n\r\n"
        )))
        .await;
        let mut client = H2Client::connect(wire.gateway.address).await;
        let answer = client.ask(h2_post().body(whole(ALIAS)).unwrap()).await;
        for hop in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
            assert!(!answer.headers().contains_key(hop), "{hop}");
        }
        let (body, trailers) = answer.into_body();
        assert_eq!((&*body, trailers), (&b"ok"[..], one("x-sum", "a")));
        assert_eq!(wire.in_flight(), 0);
    }
}

/// Any of them would cost the client the whole answer.
#[tokio::test]
async fn trailers_of_the_connection_and_of_the_body_stay_behind() {
    for field in [
        "Connection: close",
        "Content-Length: 7",
        "Keep-Alive: x",
        "TE: trailers",
        "Transfer-Encoding: chunked",
        "Upgrade: h2c",
    ] {
        for (more, expected) in [("", HeaderMap::new()), ("X-Sum: a\r\n", one("x-sum", "a"))] {
            let wire = Wire::answering(Reply::new(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{field}\r\n{more}\r\n"
            )))
            .await;
            let mut client = H2Client::connect(wire.gateway.address).await;
            let answer = client.ask(h2_post().body(whole(ALIAS)).unwrap()).await;
            let (body, trailers) = answer.into_body();
            assert_eq!((&*body, trailers), (&b"ok"[..], expected), "{field}");
        }
    }
}

#[tokio::test]
async fn answers_come_with_their_status_and_length() {
    for (status, body) in [
        (200, "ok"),
        (404, ""),
        (429, "slow"),
        (500, "oh"),
        (503, "no"),
    ] {
        let length = body.len();
        let wire = Wire::answering(Reply::new(format!(
            "HTTP/1.1 {status} Own\r\nContent-Length: {length}\r\nRetry-After: 7\r\n\r\n{body}"
        )))
        .await;
        let mut client = H2Client::connect(wire.gateway.address).await;
        let answer = client.ask(h2_post().body(whole(ALIAS)).unwrap()).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(answer.headers()["content-length"], *length.to_string());
        assert_eq!(answer.body().0, body);
    }
}

#[tokio::test]
async fn a_cut_answer_is_an_error() {
    for framing in [
        "Content-Length: 10\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let seen = Arc::<Notify>::default();
        let answer = Reply::new(format!("HTTP/1.1 200 OK\r\n{framing}"));
        let wire = Wire::answering(answer.then_wait(&seen).then_close()).await;
        let mut client = H2Client::connect(wire.gateway.address).await;
        let mut answer = client.send(h2_post().body(whole(ALIAS)).unwrap()).await;
        let data = within(answer.frame()).await.unwrap().unwrap();
        assert_eq!(data.into_data().unwrap(), "hello");
        seen.notify_one();
        assert!(within(answer.frame()).await.unwrap().is_err());
        assert_eq!(wire.in_flight(), 0);
    }
}

/// HTTP/2 lets a client write each cookie as a field of its own; to HTTP/1.1 they go as one
/// (RFC 9113 section 8.2.3).
#[tokio::test]
async fn cookies_are_joined() {
    let wire = Wire::new().await;
    let mut client = H2Client::connect(wire.gateway.address).await;
    let request = h2_post()
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3");
    client.ask(request.body(whole(ALIAS)).unwrap()).await;
    assert_eq!(wire.only().await.all("cookie"), ["a=1; b=2; c=3"]);
}

#[tokio::test]
async fn errors_are_answered_and_the_connection_goes_on() {
    let wire = Wire::with(|_| Reply::ok("{}"), |layer| layer.max_body_bytes(100)).await;
    let mut client = H2Client::connect(wire.gateway.address).await;
    let long = format!(r#"{{"a":"{}"#, "x".repeat(95));
    for (body, status) in [
        (whole("{"), 400),
        (whole(&long), 413),
        (frames(&[&long[..60], &long[60..]], None), 413),
        (whole(r#"{"model":"gone"}"#), 404),
    ] {
        let answer = client.ask(h2_post().body(body).unwrap()).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert!(answer.body().0.starts_with(b"{\"error\":{"));
    }
    wire.untouched().await;
}

/// Streams of one connection do not wait for each other.
#[tokio::test]
async fn streams_go_to_their_own_models_at_the_same_time() {
    let release = Arc::<Notify>::default();
    let hold = Arc::clone(&release);
    let wire = Wire::scripted(move |request| {
        let model = &request.json()["model"];
        if model == "org/real" {
            Reply::new("")
                .then_wait(&hold)
                .then("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
        } else {
            Reply::ok(model.as_str().unwrap())
        }
    })
    .await;
    let mut client = H2Client::connect(wire.gateway.address).await;
    let mut other = client.clone();
    let first =
        tokio::spawn(async move { client.ask(h2_post().body(whole(ALIAS)).unwrap()).await });
    let body = whole(r#"{"model":"second"}"#);
    let second = other.ask(h2_post().body(body).unwrap()).await;
    assert_eq!(second.body().0, "org/other");
    release.notify_one();
    assert_eq!(within(first).await.unwrap().body().0, "first");
    assert_eq!(wire.finish().await.len(), 2);
}

/// The length that a client announces is checked by hyper; what doesn't match goes nowhere.
#[tokio::test]
async fn a_body_of_another_length_is_not_sent() {
    for length in ["16", "18", "0"] {
        let wire = Wire::new().await;
        let mut client = H2Client::connect(wire.gateway.address).await;
        let request = h2_post().header("content-length", length);
        let request = request.body(frames(&[ALIAS], None)).unwrap();
        if let Ok(answer) = client.try_send(request).await {
            assert_eq!(answer.status(), 400, "{length}");
        }
        wire.untouched().await;
    }
}

#[tokio::test]
async fn an_upload_that_is_reset_is_not_sent() {
    let wire = Wire::new().await;
    let mut client = H2Client::connect(wire.gateway.address).await;
    let sent = futures_util::stream::iter([Frame::data(Bytes::from(&ALIAS[..9]))].map(Ok));
    let never = sent.chain(futures_util::stream::pending());
    let mut other = client.clone();
    let upload = tokio::spawn(async move {
        let body = BodyExt::boxed_unsync(StreamBody::new(never));
        client.try_send(h2_post().body(body).unwrap()).await
    });
    // The upload has begun by then: streams of one connection are in order.
    assert_eq!(
        other
            .ask(h2_post().body(whole("{}")).unwrap())
            .await
            .status(),
        400
    );
    upload.abort();
    assert!(within(upload).await.unwrap_err().is_cancelled());
    assert_eq!(
        other
            .ask(h2_post().body(whole("{}")).unwrap())
            .await
            .status(),
        400
    );
    wire.untouched().await;
}

/// HTTP/2 has no Host: a condition on it sees the authority.
#[tokio::test]
async fn a_condition_on_host_holds() {
    let upstream = Upstream::start(|_| Reply::ok("{}")).await;
    let gateway = ModelMatch::new().header("host", StringMatch::exact("gateway.test"));
    let table = RouteTable::builder()
        .model_server(ModelServer::new("s").endpoint(upstream.url()))
        .model_route(
            ModelRoute::new("r")
                .model_name("alias")
                .rule(Rule::new("here").when(gateway).target("s")),
        )
        .build()
        .unwrap();
    let server = Server::routing(ModelRouteLayer::new(table)).await;
    let mut client = H2Client::connect(server.address).await;
    for (host, status) in [("gateway.test", 200), ("other.test", 404)] {
        let request = Request::post(format!("http://{host}/v1/chat/completions"));
        let answer = client.ask(request.body(whole(ALIAS)).unwrap()).await;
        assert_eq!(answer.status().as_u16(), status, "{host}");
    }
}
