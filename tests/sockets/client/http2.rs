//! Engines that speak HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Response, Version};
use test_kit::{gateway::Gateway, request::asked, table::table, time::within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tower::ServiceExt;
use tower_model_route::{
    ConnectionFailureKind as Kind, EngineClient, ModelRouteLayer, ModelServer, Rule, TrafficPolicy,
    stack,
};

use super::{ask, failure, kind, post, send};

fn client() -> EngineClient {
    let builder = EngineClient::builder().http2_prior_knowledge();
    builder.build().unwrap()
}

/// What an engine does with a request.
#[derive(Clone, Copy)]
enum Does {
    Answer,
    /// More than is kept of an answer that its client does not read.
    AnswerMuch,
    Refuse,
    Break,
}

/// The URL of an engine whose connections do this, one request after the other.
async fn engine(script: &'static [Does]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(socket, script));
        }
    });
    url
}

async fn serve(socket: tokio::net::TcpStream, script: &[Does]) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    for does in script {
        let Some(Ok((_request, mut respond))) = connection.accept().await else {
            return;
        };
        match does {
            Does::Answer => {
                let mut body = respond.send_response(Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(b"{}"), true).unwrap();
            }
            Does::AnswerMuch => {
                let mut body = respond.send_response(Response::new(()), false).unwrap();
                let much = Bytes::from(vec![b' '; 4 << 20]);
                body.send_data(much, true).unwrap();
            }
            Does::Refuse => respond.send_reset(Reason::REFUSED_STREAM),
            Does::Break => return,
        }
    }
    while connection.accept().await.is_some() {}
}

#[tokio::test]
async fn it_is_spoken_where_it_is_known_to_be() {
    let url = engine(&[Does::Answer, Does::Answer]).await;
    let client = client();
    for _ in 0..2 {
        let response = send(&client, post(&url)).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, Version::HTTP_2)
        );
    }
}

#[tokio::test]
async fn a_refused_stream_was_not_processed() {
    let url = engine(&[Does::Refuse]).await;
    assert_eq!(
        failure(&client(), post(&url)).await,
        Some(Kind::NotProcessed)
    );
}

/// It says so in a GOAWAY whose last stream is 0 (RFC 9113 section 6.8), and hangs up.
#[tokio::test]
async fn an_engine_that_went_away_before_has_not_processed_it() {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(SETTINGS).await.unwrap();
        // The preface, and then frames (RFC 9113 sections 3.4 and 4.1) up to the HEADERS.
        let (mut preface, mut frame) = ([0; 24], [0; 9]);
        socket.read_exact(&mut preface).await.unwrap();
        while frame[3] != 1 {
            socket.read_exact(&mut frame).await.unwrap();
            let length = usize::from(frame[1]) << 8 | usize::from(frame[2]);
            socket.read_exact(&mut vec![0; length]).await.unwrap();
        }
        socket.write_all(GOAWAY).await.unwrap();
        _ = socket.read_to_end(&mut Vec::new()).await;
    });
    assert_eq!(
        failure(&client(), post(&url)).await,
        Some(Kind::NotProcessed)
    );
}

#[tokio::test]
async fn clients_that_read_nothing_hold_up_no_others() {
    use Does::{Answer, AnswerMuch};
    let url = engine(&[AnswerMuch, AnswerMuch, AnswerMuch, AnswerMuch, Answer]).await;
    let (client, mut unread) = (client(), Vec::new());
    for _ in 0..4 {
        unread.push(send(&client, post(&url)).await.unwrap());
    }
    assert_eq!(ask(&client, post(&url)).await, (200, "{}".into()));
}

/// Its host has lost power, or a firewall its memory: nothing comes back any more, not even an end.
/// Other requests would have to wait for ever on the connection that they share.
#[tokio::test]
async fn a_connection_that_is_dead_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (client, engine) = (client(), tokio::spawn(first_answers_then_nothing(listener)));
    send(&client, post(&url)).await.unwrap();
    tokio::time::pause();
    let given_up = timeout(Duration::from_secs(60), client.oneshot(post(&url))).await;
    let error = given_up.expect("it is given up").expect_err("no answer");
    assert_eq!(kind(&error), Some(Kind::Stale));
    drop(engine);
}

/// Answers one request, and from the next on nothing.
async fn first_answers_then_nothing(listener: TcpListener) {
    let (socket, _) = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    respond.send_response(Response::new(()), true).unwrap();
    let _second = connection.accept().await;
    std::future::pending().await
}

/// Each connection takes one request and refuses the next.
#[tokio::test]
async fn through_the_stack_a_refused_stream_is_sent_once_more() {
    let url = engine(&[Does::Answer, Does::Refuse]).await;
    let server = ModelServer::new("server")
        .endpoint(url)
        .traffic_policy(TrafficPolicy::new().max_retries(1));
    let table = table([server], Rule::new("rule").target("server"));
    let gateway = Gateway::new(stack(ModelRouteLayer::new(table)).service(client()));
    for _ in 0..2 {
        let Ok(answer) = within(gateway.clone().oneshot(asked())).await;
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn a_connection_is_lost_fresh_or_reused() {
    let url = engine(&[Does::Break]).await;
    assert_eq!(failure(&client(), post(&url)).await, Some(Kind::Lost));
    let (url, client) = (engine(&[Does::Answer, Does::Break]).await, client());
    send(&client, post(&url)).await.unwrap();
    assert_eq!(failure(&client, post(&url)).await, Some(Kind::Stale));
}
