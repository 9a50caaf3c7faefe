//! Answers that take their time: they are streamed, and the request counts as in flight until
//! they have ended.

use std::sync::Arc;

use axum::Router;
use http::{Request, Response};
use test_kit::{
    body::{BoxError, script},
    socket::{Framing, Message, Reply, Server, Wire, post},
    table::{in_flight, of_each_kind},
    time::within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};
use tower::service_fn;
use tower_model_route::{ModelRouteLayer, RouteBody, stack};

const BODY: &str = r#"{"model":"alias","stream":true}"#;

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
const TEXT: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

#[tokio::test]
async fn what_the_engine_has_said_is_there_before_it_says_more() {
    let (head_seen, first_seen) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let wire = Wire::answering(
        Reply::new(format!("{EVENTS}Transfer-Encoding: chunked\r\n\r\n"))
            .then_wait(&head_seen)
            .then("9\r\ndata: 1\n\n\r\n")
            .then_wait(&first_seen)
            .then("e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"),
    )
    .await;
    let mut client = wire.connect().await;
    client.send(post(BODY)).await;
    let head = client.raw_until("\r\n\r\n").await;
    assert!(head.contains("text/event-stream"), "{head}");
    assert_eq!(wire.in_flight(), 1);
    head_seen.notify_one();
    assert_eq!(client.raw_until("data: 1\n\n\r\n").await, "9\r\n");
    assert_eq!(wire.in_flight(), 1);
    first_seen.notify_one();
    assert_eq!(
        client.raw_until("0\r\n\r\n").await,
        "E\r\ndata: [DONE]\n\n\r\n"
    );
    assert_eq!(wire.in_flight(), 0);
    wire.only().await;
}

#[tokio::test]
async fn an_answer_with_a_length_is_streamed_too() {
    let seen = Arc::<Notify>::default();
    let wire = Wire::answering(
        Reply::new(format!("{TEXT}Content-Length: 8\r\n\r\nhalf"))
            .then_wait(&seen)
            .then("half"),
    )
    .await;
    let mut client = wire.connect().await;
    client.send(post(BODY)).await;
    client.raw_until("\r\n\r\nhalf").await;
    assert_eq!(wire.in_flight(), 1);
    seen.notify_one();
    client.raw_until("half").await;
    assert_eq!(wire.in_flight(), 0);
}

/// The answer of an engine that sends this head and this part of a body, and closes.
async fn cut(head: String, part: &str) -> (Wire, Message) {
    let seen = Arc::<Notify>::default();
    let reply = Reply::new(head)
        // Otherwise the head and the cut are one, and there is no answer to begin with.
        .then_wait(&seen)
        .then(part)
        .then_close();
    let wire = Wire::answering(reply).await;
    let mut client = wire.connect().await;
    client.send(post(BODY)).await;
    seen.notify_one();
    let answer = client.answer().await;
    (wire, answer)
}

/// What an engine has sent before it broke off reaches the client, and so does that it broke off.
#[tokio::test]
async fn an_answer_that_is_cut_looks_cut() {
    for (framing, part, expected) in [
        ("Content-Length: 10", "hello", Framing::Length(10)),
        (
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n",
            Framing::Chunked,
        ),
        (
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n7\r\n",
            Framing::Chunked,
        ),
        (
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\nzz\r\n",
            Framing::Chunked,
        ),
        (
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\n",
            Framing::Chunked,
        ),
    ] {
        let (wire, answer) = cut(format!("{TEXT}{framing}\r\n\r\n"), part).await;
        assert_eq!((answer.status(), answer.framing), (200, expected));
        assert_eq!(answer.text(), "hello");
        assert!(!answer.complete, "{part:?}");
        assert_eq!(wire.in_flight(), 0);
        wire.only().await;
    }
}

/// hyper's server throws away what it has not sent when it hears of the cut.
#[tokio::test]
async fn what_came_right_before_a_cut_is_not_lost() {
    let engine = service_fn(|_: Request<RouteBody>| async {
        let (script, body) = script();
        script.data("hello").fail("reset");
        Ok::<_, BoxError>(Response::new(body))
    });
    let app = stack(of_each_kind("http://engine.test")).service(engine);
    let gateway = Server::axum(Router::new().fallback_service(app)).await;
    let mut client = gateway.connect().await;
    client.send(post(BODY)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.complete), (200, false));
    assert_eq!(answer.text(), "hello");
}

/// However a stream is cut, also where its end is that of the connection, an SDK sees an error.
#[tokio::test]
async fn a_stream_that_is_cut_ends_in_an_error_event() {
    let content = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let chunk = format!("{:x}\r\n{content}\r\n", content.len());
    for (framing, part) in [
        ("Transfer-Encoding: chunked", chunk.clone()),
        ("Transfer-Encoding: chunked", format!("{chunk}7\r\n")),
        ("Transfer-Encoding: chunked", format!("{chunk}zz\r\n")),
        ("Transfer-Encoding: chunked", format!("{chunk}0\r\n\r\n")),
        ("Connection: close", content.to_owned()),
    ] {
        let (wire, answer) = cut(format!("{EVENTS}{framing}\r\n\r\n"), &part).await;
        assert!(answer.complete, "{part:?}");
        let text = answer.text();
        let event = text.strip_prefix(content).expect("what was sent");
        assert!(event.starts_with("data: {\"error\":"), "{event}");
        assert!(event.contains("\"stream_interrupted\""), "{event}");
        assert_eq!(wire.in_flight(), 0);
    }
}

/// An engine may refuse a request before it has read all of it.
#[tokio::test]
async fn an_answer_may_come_before_the_engine_has_read_the_body() {
    let engine = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let table = of_each_kind(&format!("http://{}", engine.local_addr().unwrap()));
    let gateway = Server::routing(ModelRouteLayer::new(table.clone())).await;
    let engine = tokio::spawn(async move {
        let (mut socket, _) = engine.accept().await.unwrap();
        let mut byte = [0];
        socket.read_exact(&mut byte).await.unwrap();
        let refusal = "HTTP/1.1 429 Slow Down\r\nContent-Length: 4\r\n\r\nwait";
        socket.write_all(refusal.as_bytes()).await.unwrap();
        // The connection stays open but is not read from: far more is on its way than fits.
        std::future::pending::<()>().await;
    });
    let mut client = gateway.connect().await;
    let filler = "x".repeat(16 << 20);
    // As the engine reads no further, the gateway does not either.
    let answer = client
        .answer_while_sending(post(format!(r#"{{"model":"alias","x":"{filler}"}}"#)))
        .await;
    assert_eq!(answer.start, "HTTP/1.1 429 Slow Down");
    assert_eq!(answer.text(), "wait");
    assert_eq!(in_flight(&table), 0);
    engine.abort();
    _ = within(engine).await;
}

#[tokio::test]
async fn a_long_answer_keeps_its_bytes() {
    let text: String = (0..400_000).map(|i| format!("{i:06}")).collect();
    let length = text.len();
    let chunks: String = text
        .as_bytes()
        .chunks(50_021)
        .map(|chunk| {
            format!(
                "{:x}\r\n{}\r\n",
                chunk.len(),
                String::from_utf8_lossy(chunk)
            )
        })
        .collect();
    for answer in [
        format!("{TEXT}Content-Length: {length}\r\n\r\n{text}"),
        format!("{TEXT}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
    ] {
        let wire = Wire::answering(Reply::new(answer)).await;
        let answer = wire.ask(post(BODY)).await;
        assert!(answer.complete && answer.body == text.as_bytes());
        assert_eq!(wire.in_flight(), 0);
    }
}
