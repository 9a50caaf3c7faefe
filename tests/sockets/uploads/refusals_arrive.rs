//! Requests that are answered while the client still sends: it reads the answer only once it has
//! sent everything, as many clients do.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use test_kit::{
    document::Document,
    socket::{
        Between, H2Client, Message, Peer, chunk, chunked_head, h2_post, head_with_length, post,
    },
    time::within,
};
use tower_model_route::ModelRouteLayer;

/// Far more than all buffers of a connection.
const SIZE: usize = 20_000_000;

const REFUSAL: &str =
    "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";

/// An upload, the layer's options, and the status and code.
type Refused = (
    Vec<u8>,
    fn(ModelRouteLayer) -> ModelRouteLayer,
    u16,
    &'static str,
);

/// Uploads that are refused before their end.
fn refused() -> [Refused; 5] {
    let rest = "x".repeat(SIZE);
    let body = |start: &str| [start, &rest, "\"}"].concat().into_bytes();
    let named = body(r#"{"model":"plain","a":""#);
    [
        (
            body(r#"{"model":"nobody","a":""#),
            |layer| layer,
            404,
            "model_not_found",
        ),
        (
            named,
            |layer| layer.max_body_bytes(100_000),
            413,
            "body_too_large",
        ),
        (
            body(r#"{"a":""#),
            |layer| layer.max_buffer_bytes(100_000),
            413,
            "body_too_large",
        ),
        (
            body(r#"{"model":7,"a":""#),
            |layer| layer,
            400,
            "invalid_model",
        ),
        (
            // It is on its way to the engine when it turns out to be wrong.
            body(r#"{"model":"plain","model":"plain","a":""#),
            |layer| layer.replay_bytes(10),
            400,
            "ambiguous_model",
        ),
    ]
}

fn in_chunks(body: &[u8]) -> Vec<u8> {
    let chunks = body.chunks(1 << 20).flat_map(chunk);
    chunked_head()
        .into_iter()
        .chain(chunks)
        .chain(*b"0\r\n\r\n")
        .collect()
}

/// Sends everything, and only then reads.
async fn told(client: &mut Peer, request: &[u8]) -> Message {
    client.send(request).await;
    client.answer().await
}

#[tokio::test]
async fn refusals_reach_a_client_that_reads_last_over_http1() {
    for (body, options, status, code) in refused() {
        let with_length = [head_with_length(body.len()), body.clone()].concat();
        for request in [with_length, in_chunks(&body)] {
            let gateway = Between::with(options).await;
            let mut client = gateway.client().await;
            let answer = told(&mut client, &request).await;
            assert_eq!(answer.status(), status);
            assert_eq!(answer.json()["error"]["code"], code);
            // The connection is none the worse for it.
            let answer = told(&mut client, &post(r#"{"model":"nobody"}"#)).await;
            assert_eq!(answer.status(), 404);
            gateway.is_idle().await;
        }
    }
}

#[tokio::test]
async fn refusals_reach_a_client_over_http2() {
    for (body, options, status, code) in refused() {
        let gateway = Between::with(options).await;
        let mut client = H2Client::connect(gateway.address()).await;
        let body = Full::new(Bytes::from(body)).boxed_unsync();
        let answer = client.ask(h2_post().body(body).unwrap()).await;
        assert_eq!(answer.status(), status);
        let json: serde_json::Value = serde_json::from_slice(&answer.body().0).unwrap();
        assert_eq!(json["error"]["code"], code);
        gateway.is_idle().await;
    }
}

/// The gateway's connection with the engine ends with its answer, and so does the reader of the upload.
#[tokio::test]
async fn an_engines_refusal_reaches_a_client_that_reads_last() {
    for refusal in [REFUSAL, &REFUSAL.replace("2\r\n\r\nno", "0\r\n\r\n")] {
        let body = Document::model_first(SIZE).sent();
        let gateway = Between::new().await;
        let mut client = gateway.client().await;
        let engine = async {
            let mut engine = gateway.engine().await;
            engine.message().await;
            engine.send(refusal).await;
            engine
        };
        let request = [head_with_length(body.len()), body].concat();
        let (answer, _engine) = tokio::join!(told(&mut client, &request), engine);
        assert_eq!(answer.status(), 401);
        gateway.is_idle().await;
    }
}

/// A client that has seen the answer and has stopped does not wait for what it will not send.
#[tokio::test]
async fn a_client_that_stops_is_not_waited_for() {
    let forever = Duration::from_secs(3600);
    let gateway = Between::with(|layer: ModelRouteLayer| layer.drain_timeout(forever)).await;
    let mut client = gateway.client().await;
    client.send(head_with_length(SIZE)).await;
    client
        .send(r#"{"model":"nobody","#.to_owned() + &" ".repeat(2 << 20))
        .await;
    assert_eq!(client.answer().await.status(), 404);
    assert!(client.answer_or_end().await.is_none());
}

/// What never ends is given up.
#[tokio::test]
async fn no_more_is_read_than_may_be() {
    for options in [
        (|layer: ModelRouteLayer| layer.drain_bytes(1 << 20)) as fn(_) -> _,
        |layer: ModelRouteLayer| layer.drain_timeout(Duration::from_millis(300)),
    ] {
        let gateway = Between::with(options).await;
        let mut client = gateway.client().await;
        client.send(chunked_head()).await;
        client.send(chunk(r#"{"model":"nobody","#)).await;
        let more = chunk(" ".repeat(64 << 10));
        let Peer { reader, writer } = &mut client;
        let endless = async {
            loop {
                writer.send(&more).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let answer = async {
            let mut answer = reader.message().await;
            reader.read_to_end(&mut answer).await;
            answer
        };
        let answer = tokio::select! {
            answer = within(answer) => answer,
            () = endless => unreachable!(),
        };
        assert_eq!(answer.status(), 404);
    }
}
