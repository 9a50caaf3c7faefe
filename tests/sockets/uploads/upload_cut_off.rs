//! What turns out to be wrong when the engine already has a part of it: the engine never gets a
//! body that looks complete, and the client is told why.

use test_kit::{
    document::{GROWTH, assert_same, filler},
    socket::{Between, LAST_CHUNK, Message, Peer, chunk, chunked_head, head_with_length},
};

/// What every document here begins with, and what is at the engine before the rest is sent.
const BEGIN: &str = r#"{"model":"alias""#;
const FORWARDED: &str = r#"{"model":"org/real""#;

/// Documents behind [`BEGIN`] that must not reach an engine, and the code of the answer.
const WRONG: &[(&str, &str)] = &[
    // A second model, as engines and routers read it differently.
    (r#","x":1,"model":"alias"}"#, "ambiguous_model"),
    (r#","model":"other"}"#, "ambiguous_model"),
    (r#","mod\u0065l":null,"x":[]}"#, "ambiguous_model"),
    // Truncated.
    ("", "invalid_json"),
    (",", "invalid_json"),
    (r#","x""#, "invalid_json"),
    (r#","x":[1,2],"y":"te"#, "invalid_json"),
    (r#","x":{"y":[1]"#, "invalid_json"),
    (r#","x":{"y":"}"#, "invalid_json"),
    (r#","x":1 "#, "invalid_json"),
    // Unbalanced.
    (r#","x":[[1]}"#, "invalid_json"),
    (r#","x":[1]]}"#, "invalid_json"),
    (r#","x":{}}}"#, "invalid_json"),
    // More than one document, or something behind it.
    ("}x", "invalid_json"),
    ("} \n{}", "invalid_json"),
    (r#"}{"model":"other"}"#, "invalid_json"),
    ("}\0", "invalid_json"),
    // No JSON at its top level.
    (r#","x":1 2}"#, "invalid_json"),
    (r#","x":tru}"#, "invalid_json"),
    (r#""x":1}"#, "invalid_json"),
];

/// A request whose beginning is at the engine.
struct Begun {
    gateway: Between,
    client: Peer,
    engine: Peer,
    request: Message,
}

impl Begun {
    async fn new(head: Vec<u8>, begin: Vec<u8>) -> Self {
        let gateway = Between::new().await;
        let mut client = gateway.client().await;
        client.send([head, begin].concat()).await;
        let mut engine = gateway.engine().await;
        let mut request = engine.message().await;
        engine.read(&mut request, FORWARDED.len()).await;
        assert_same(&request.body, FORWARDED.as_bytes());
        Self {
            gateway,
            client,
            engine,
            request,
        }
    }

    async fn with_length(rest: usize) -> Self {
        Self::new(head_with_length(BEGIN.len() + rest), BEGIN.into()).await
    }

    async fn chunked() -> Self {
        Self::new(chunked_head(), chunk(BEGIN)).await
    }

    /// Sends the rest; what the client is answered, and what has come of the request.
    async fn ends_with(mut self, rest: impl AsRef<[u8]>) -> (Message, Message) {
        tokio::join!(
            self.client.writer.send(rest),
            self.engine.reader.read_to_end(&mut self.request)
        );
        assert!(!self.request.complete, "{:?}", self.request);
        assert!(self.engine.reader.is_at_end().await);
        let answer = self.client.whole_message().await;
        self.gateway.is_idle().await;
        (answer, self.request)
    }
}

fn assert_refused(answer: &Message, code: &str, rest: &str) {
    assert_eq!((answer.status(), &*answer.code()), (400, code), "{rest}");
    assert!(answer.complete);
}

#[tokio::test]
async fn with_a_length() {
    for (rest, code) in WRONG.iter().filter(|(rest, _)| !rest.is_empty()) {
        let (answer, request) = Begun::with_length(rest.len()).await.ends_with(rest).await;
        assert_refused(&answer, code, rest);
        let complete = FORWARDED.len() + rest.len();
        assert!(request.body.len() < complete, "{rest}");
        assert!(
            [FORWARDED, rest]
                .concat()
                .as_bytes()
                .starts_with(&request.body)
        );
    }
}

#[tokio::test]
async fn in_chunks() {
    for (rest, code) in WRONG {
        let sent = match *rest {
            "" => LAST_CHUNK.as_bytes().to_vec(),
            rest => [&chunk(rest), LAST_CHUNK.as_bytes()].concat(),
        };
        let (answer, request) = Begun::chunked().await.ends_with(sent).await;
        assert_refused(&answer, code, rest);
        assert!(
            [FORWARDED, rest]
                .concat()
                .as_bytes()
                .starts_with(&request.body)
        );
    }
}

/// The chunk that ends a bad document may be forwarded, but not its end.
#[tokio::test]
async fn in_chunks_that_come_before_their_end() {
    let rest = r#","x":[1,2]"#;
    let mut begun = Begun::chunked().await;
    begun.client.send(chunk(rest)).await;
    let all = FORWARDED.len() + rest.len();
    begun.engine.read(&mut begun.request, all).await;
    let (answer, request) = begun.ends_with(LAST_CHUNK).await;
    assert_refused(&answer, "invalid_json", rest);
    assert_eq!(request.body.len(), all);
}

/// The engine has every byte but the last, which would make it look whole.
#[tokio::test]
async fn the_last_byte_is_withheld() {
    let rest = r#","x":{"y":"z"}  "#;
    let mut begun = Begun::with_length(rest.len()).await;
    let (most, last) = rest.split_at(rest.len() - 1);
    for byte in most.bytes() {
        begun.client.send([byte]).await;
    }
    let all_but_one = FORWARDED.len() + most.len();
    begun.engine.read(&mut begun.request, all_but_one).await;
    let (answer, request) = begun.ends_with(last).await;
    assert_refused(&answer, "invalid_json", rest);
    assert_eq!(request.body.len(), all_but_one);
}

#[tokio::test]
async fn after_megabytes() {
    for (end, code) in [
        (&br#"","model":"alias"}"#[..], "ambiguous_model"),
        (br#"""#, "invalid_json"),
        (br#""}}"#, "invalid_json"),
    ] {
        let rest = [br#","x":""#, &*filler(5_000_000), end].concat();
        let expected = [FORWARDED.as_bytes(), &rest].concat();

        let begun = Begun::with_length(rest.len()).await;
        let (answer, request) = begun.ends_with(&rest).await;
        assert_refused(&answer, code, "");
        assert_same(&request.body, &expected[..request.body.len()]);

        let chunks: Vec<_> = rest.chunks(70_001).flat_map(chunk).collect();
        let chunks = [&*chunks, LAST_CHUNK.as_bytes()].concat();
        let (answer, request) = Begun::chunked().await.ends_with(chunks).await;
        assert_refused(&answer, code, "");
        assert_same(&request.body, &expected[..request.body.len()]);
    }
}

/// Where all of the body is there at once, nothing of it goes out.
#[tokio::test]
async fn nothing_goes_out_of_what_is_wrong_at_once() {
    for replay_bytes in [1 << 20, 64, 1, 0] {
        let gateway = Between::with(|layer| layer.replay_bytes(replay_bytes)).await;
        for (rest, code) in WRONG {
            let body = [BEGIN, rest].concat();
            let mut client = gateway.client().await;
            let head = head_with_length(body.len());
            client.send([&head, body.as_bytes()].concat()).await;
            let answer = client.whole_message().await;
            assert_refused(&answer, code, rest);
        }
        gateway.leaves_the_engine_alone().await;
    }
}

/// The answer has the shape that the client's API gives to errors.
#[tokio::test]
async fn an_anthropic_client_is_answered_in_its_shape() {
    let rest = r#","model":"other"}"#;
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {}\r\n\r\n",
        BEGIN.len() + rest.len()
    );
    let begun = Begun::new(head.into_bytes(), BEGIN.into()).await;
    let (answer, _) = begun.ends_with(rest).await;
    assert_eq!(answer.status(), 400);
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["type"], "error");
    assert_eq!(json["error"]["type"], "invalid_request_error");
}

/// An upload that was cut off takes no other with it: the next request gets a connection of its own.
#[tokio::test]
async fn the_next_request_is_not_affected() {
    let rest = r#","model":"other"}"#;
    let mut begun = Begun::with_length(rest.len()).await;
    begun.client.send(rest).await;
    begun.engine.reader.read_to_end(&mut begun.request).await;
    assert!(!begun.request.complete);
    assert_eq!(begun.client.whole_message().await.status(), 400);

    let mut client = begun.gateway.client().await;
    let body = r#"{"model":"alias"}"#;
    client
        .send([&head_with_length(body.len()), body.as_bytes()].concat())
        .await;
    let mut engine = begun.gateway.engine().await;
    let request = engine.whole_message().await;
    assert!(request.complete);
    assert_eq!(request.body.len(), body.len() + GROWTH);
    engine.reply().await;
    assert_eq!(client.whole_message().await.status(), 200);
}
