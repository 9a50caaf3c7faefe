//! Clients that speak HTTP/2, whose bodies end apart from their last bytes.

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use test_kit::{
    body::{Script, script_of},
    document::{Document, GROWTH, assert_same},
    socket::{Between, Framing, Message, Peer},
    time::within,
};
use tokio::{net::TcpStream, task::JoinHandle};

/// An upload of which the engine has the first bytes.
struct Begun {
    gateway: Between,
    client: Script,
    answer: JoinHandle<hyper::Result<Response<Incoming>>>,
    engine: Peer,
    request: Message,
}

impl Begun {
    /// Sends `now`; of the whole body `length` is told, if it is.
    async fn new(now: &[u8], length: Option<u64>) -> Self {
        let gateway = Between::new().await;
        let socket = within(TcpStream::connect(gateway.address())).await.unwrap();
        let (mut connection, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
        tokio::spawn(driver);
        let (client, body) = script_of(length);
        client.send(now);
        let request = Request::post("http://gateway.test/v1/chat/completions").body(body);
        let answer = tokio::spawn(async move {
            // The connection lives as long as it is asked.
            connection.send_request(request.unwrap()).await
        });
        let mut engine = gateway.engine().await;
        let mut request = engine.message().await;
        engine.read(&mut request, now.len() + GROWTH).await;
        Self {
            gateway,
            client,
            answer,
            engine,
            request,
        }
    }

    async fn answered_with(self, status: u16) -> String {
        let answer = within(self.answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), status);
        let body = within(answer.into_body().collect()).await.unwrap();
        self.gateway.is_idle().await;
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }
}

#[tokio::test]
async fn the_first_bytes_arrive_before_the_rest_is_sent() {
    let document = Document::model_first(1_000_000);
    let (body, expected) = (document.sent(), document.forwarded());
    let (now, later) = body.split_at(100);
    for length in [None, Some(body.len() as u64)] {
        let mut begun = Begun::new(now, length).await;
        assert_eq!(
            begun.request.framing,
            match length {
                Some(_) => Framing::Length(expected.len()),
                None => Framing::Chunked,
            }
        );
        assert_same(&begun.request.body, &expected[..100 + GROWTH]);
        begun.client.send(later);
        begun.client.end();
        begun.engine.reader.read_to_end(&mut begun.request).await;
        assert!(begun.request.complete);
        assert_same(&begun.request.body, &expected);
        begun.engine.reply().await;
        begun.answered_with(200).await;
    }
}

#[tokio::test]
async fn what_turns_out_to_be_wrong_is_cut_off() {
    let begin = br#"{"model":"alias""#;
    for (rest, code) in [
        (r#","model":"other"}"#, "ambiguous_model"),
        (r#","x":[1]"#, "invalid_json"),
        (r#","x":[1]}}"#, "invalid_json"),
    ] {
        for has_length in [false, true] {
            let length = begin.len() + rest.len();
            let mut begun = Begun::new(begin, has_length.then_some(length as u64)).await;
            begun.client.send(rest);
            begun.client.end();
            begun.engine.reader.read_to_end(&mut begun.request).await;
            assert!(!begun.request.complete, "{rest}");
            assert!(begun.answered_with(400).await.contains(code), "{rest}");
        }
    }
}

/// Of a body whose length was told, the last byte makes it whole for the engine, whether or not
/// the client has said that it was the last.
#[tokio::test]
async fn the_last_byte_counts_as_the_end() {
    let body = br#"{"model":"alias","x":[1] "#;
    let mut begun = Begun::new(&body[..16], Some(body.len() as u64)).await;
    begun.client.send(&body[16..]);
    begun.engine.reader.read_to_end(&mut begun.request).await;
    assert!(!begun.request.complete);
    assert!(begun.answered_with(400).await.contains("invalid_json"));
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let document = Document::model_first(10_000);
    let body = document.sent();
    for length in [None, Some(body.len() as u64)] {
        let mut begun = Begun::new(&body[..100], length).await;
        begun.answer.abort();
        begun.engine.reader.read_to_end(&mut begun.request).await;
        assert!(!begun.request.complete);
        begun.gateway.is_idle().await;
    }
}
