//! A retry policy below the layer.

use test_kit::{
    document::{Document, GROWTH, assert_same},
    socket::{Between, LAST_CHUNK, Message, Peer, chunk, chunked_head, head_with_length},
};

/// An upload of which the engine has the first bytes, on the first of its connections.
struct Begun {
    gateway: Between,
    client: Peer,
    first: Peer,
    request: Message,
    rest: Vec<u8>,
}

const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";

/// Larger than any one read, and as much as is kept.
const SIZE: usize = 100_000;

/// What is sent before the engine says something.
const NOW: usize = 1_000;

impl Begun {
    async fn new(chunked: bool, replay_bytes: usize) -> Self {
        let body = Document::model_first(SIZE).sent();
        let (now, later) = body.split_at(NOW);
        let (first, rest) = if chunked {
            (
                [chunked_head(), chunk(now)].concat(),
                [&chunk(later), LAST_CHUNK.as_bytes()].concat(),
            )
        } else {
            (
                [&head_with_length(body.len()), now].concat(),
                later.to_vec(),
            )
        };
        let gateway = Between::retrying(|layer| layer.replay_bytes(replay_bytes)).await;
        let mut client = gateway.client().await;
        client.send(first).await;
        let mut engine = gateway.engine().await;
        let mut request = engine.message().await;
        engine.read(&mut request, NOW + GROWTH).await;
        Self {
            gateway,
            client,
            first: engine,
            request,
            rest,
        }
    }

    /// The connection of the next attempt, and the request on it as far as there is one.
    async fn next_attempt(&self) -> (Peer, Message) {
        let mut engine = self.gateway.engine().await;
        let mut request = engine.message().await;
        engine.read(&mut request, NOW + GROWTH).await;
        assert_same_head(&request, &self.request);
        (engine, request)
    }

    async fn answered_with(mut self, status: u16) {
        let answer = self.client.whole_message().await;
        assert_eq!(answer.status(), status);
        self.gateway.is_idle().await;
    }
}

fn assert_same_head(one: &Message, other: &Message) {
    assert_eq!(one.start, other.start);
    assert_eq!(one.fields, other.fields);
}

#[track_caller]
fn assert_whole(request: &Message) {
    assert!(request.complete);
    assert_same(&request.body, &Document::model_first(SIZE).forwarded());
}

#[tokio::test]
async fn a_body_is_sent_again_from_its_first_byte_while_the_rest_still_comes() {
    for chunked in [false, true] {
        let mut begun = Begun::new(chunked, SIZE).await;
        begun.first.send(UNAVAILABLE).await;
        let (mut second, mut request) = begun.next_attempt().await;
        begun.client.send(&begun.rest).await;
        second.reader.read_to_end(&mut request).await;
        assert_whole(&request);
        second.reply().await;
        begun.answered_with(200).await;
    }
}

#[tokio::test]
async fn a_body_is_sent_again_that_has_been_read_to_its_end() {
    for chunked in [false, true] {
        let mut begun = Begun::new(chunked, SIZE).await;
        begun.client.send(&begun.rest).await;
        begun.first.reader.read_to_end(&mut begun.request).await;
        assert_whole(&begun.request);
        // Having closed the connection, it is not used for the next attempt.
        let closing = UNAVAILABLE.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        begun.first.send(closing).await;
        let (mut second, mut request) = begun.next_attempt().await;
        second.reader.read_to_end(&mut request).await;
        assert_whole(&request);
        second.reply().await;
        begun.answered_with(200).await;
    }
}

#[tokio::test]
async fn more_than_once() {
    for chunked in [false, true] {
        let mut begun = Begun::new(chunked, SIZE).await;
        begun.first.send(UNAVAILABLE).await;
        let (mut second, _) = begun.next_attempt().await;
        second.send(UNAVAILABLE).await;
        let (mut third, _) = begun.next_attempt().await;
        third.send(UNAVAILABLE).await;
        let (mut fourth, mut request) = begun.next_attempt().await;
        begun.client.send(&begun.rest).await;
        fourth.reader.read_to_end(&mut request).await;
        assert_whole(&request);
        // The retries are spent: this one's answer is the client's.
        fourth.send(UNAVAILABLE).await;
        begun.answered_with(503).await;
    }
}

/// The first attempt's connection is closed only when the second attempt already waits for the
/// client: what the client then sends must not be lost on a connection that is gone.
#[tokio::test]
async fn the_second_attempt_outlives_the_first() {
    for chunked in [false, true] {
        let mut begun = Begun::new(chunked, SIZE).await;
        begun.first.send(UNAVAILABLE).await;
        let (mut second, mut request) = begun.next_attempt().await;
        drop(begun.first);
        // So that the gateway has seen it.
        tokio::time::sleep(test_kit::time::A_WHILE).await;
        begun.client.send(&begun.rest).await;
        second.reader.read_to_end(&mut request).await;
        assert_whole(&request);
        second.reply().await;
        assert_eq!(begun.client.whole_message().await.status(), 200);
        begun.gateway.is_idle().await;
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_sent_once_and_its_answer_stands() {
    let mut begun = Begun::new(false, SIZE - 1).await;
    begun.first.send(UNAVAILABLE).await;
    let answer = begun.client.whole_message().await;
    assert_eq!((answer.status(), &*answer.body), (503, &b"busy"[..]));
    begun.gateway.leaves_the_engine_alone().await;
}

#[tokio::test]
async fn a_body_that_becomes_too_large_is_sent_once_and_its_answer_stands() {
    let mut begun = Begun::new(true, SIZE / 2).await;
    begun.client.send(&begun.rest).await;
    begun.first.reader.read_to_end(&mut begun.request).await;
    assert_whole(&begun.request);
    begun.first.send(UNAVAILABLE).await;
    let answer = begun.client.whole_message().await;
    assert_eq!((answer.status(), &*answer.body), (503, &b"busy"[..]));
    begun.gateway.leaves_the_engine_alone().await;
}

/// No attempt gets a body that looks whole, and the client gets the reason.
#[tokio::test]
async fn a_body_that_turns_out_to_be_wrong_in_its_second_attempt() {
    for chunked in [false, true] {
        let mut begun = Begun::new(chunked, SIZE).await;
        begun.first.send(UNAVAILABLE).await;
        let (mut second, mut request) = begun.next_attempt().await;
        let wrong = br#"","model":"other","x":""#;
        let wrong = if chunked {
            chunk(wrong)
        } else {
            wrong.to_vec()
        };
        begun.client.send(&wrong).await;
        second.reader.read_to_end(&mut request).await;
        begun.first.reader.read_to_end(&mut begun.request).await;
        assert!(!request.complete && !begun.request.complete);
        begun.answered_with(400).await;
    }
}
