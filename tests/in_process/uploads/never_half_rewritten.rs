//! For all documents, however they are cut and whatever the limits: the engine gets the document
//! with nothing changed but its model's value, or it gets something that it can't take for one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Map, Value};
use test_kit::{
    body::{Scripted, Step},
    document::Document,
    request::chat_with_length,
    table::REAL,
    time::within,
};
use tokio::task::yield_now;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_model_route::{AnswerErrorsLayer, RouteBody};

use super::forward::layer;

/// A document in its pieces, as bytes on their way.
#[derive(Clone, Debug)]
struct Sent {
    document: Document,
    /// The client's spelling of the model.
    value: &'static str,
    /// The length of each piece, and how often there is nothing before it.
    pieces: Vec<(usize, usize)>,
    has_length: bool,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    replay_bytes: usize,
    max_buffer_bytes: usize,
    has_timeout: bool,
}

impl Sent {
    fn body(&self) -> Vec<u8> {
        let Document { before, after } = &self.document;
        [before, self.value.as_bytes(), after].concat()
    }

    fn forwarded(&self) -> Vec<u8> {
        let Document { before, after } = &self.document;
        [before, format!("\"{REAL}\"").as_bytes(), after].concat()
    }

    fn named_at(&self) -> usize {
        self.document.before.len() + self.value.len()
    }

    /// The pieces of `body`; what is left is the last one.
    fn steps(&self, body: &[u8]) -> Vec<Step> {
        let mut rest = Bytes::copy_from_slice(body);
        let mut steps = Vec::new();
        for (length, pauses) in self.pieces.iter().copied().chain([(usize::MAX, 1)]) {
            steps.extend((0..pauses).map(|_| Step::Pause));
            steps.push(Step::Data(rest.split_to(length.min(rest.len()))));
        }
        steps
    }

    /// Whether more than `limit` bytes of `body` had come at a moment when the model had not.
    fn is_named_too_late(&self, body: &[u8], limit: usize) -> bool {
        let ends = self.steps(body).into_iter().scan(0, |end, step| {
            *end += step.len();
            Some(*end)
        });
        ends.into_iter()
            .any(|end| end > limit && end < self.named_at())
    }
}

/// What has come out at the other end.
#[derive(Debug)]
struct Outcome {
    status: StatusCode,
    /// What the engine was sent; `None` if it was not asked.
    seen: Option<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    length: Option<u64>,
    data: Vec<u8>,
    complete: bool,
}

fn run(sent: &Sent, body: &[u8], settings: Settings) -> Outcome {
    let layer = layer()
        .replay_bytes(settings.replay_bytes)
        .max_buffer_bytes(settings.max_buffer_bytes);
    let layer = if settings.has_timeout {
        layer
    } else {
        layer.body_timeout(Duration::MAX)
    };
    let seen = Arc::<Mutex<Option<Seen>>>::default();
    let engine = Arc::clone(&seen);
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(AnswerErrorsLayer::new())
        .service(service_fn(move |request: Request<RouteBody>| {
            let engine = Arc::clone(&engine);
            async move { read(request, &engine).await }
        }));
    let request = chat_with_length(Scripted::of(sent.steps(body), sent.has_length));
    let answer = block_on(service.oneshot(request));
    let Ok(answer) = answer;
    Outcome {
        status: answer.status(),
        seen: seen.lock().unwrap().take(),
    }
}

/// Reads as hyper's client does: up to the length, if there is one, and not behind it.
async fn read(
    request: Request<RouteBody>,
    seen: &Mutex<Option<Seen>>,
) -> Result<Response<String>, BoxError> {
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.map(|length| length.to_str().unwrap().parse().unwrap());
    let mut body = request.into_body();
    assert_eq!(body.size_hint().exact(), length);
    let mut note = Seen {
        length,
        data: Vec::new(),
        complete: false,
    };
    while !body.is_end_stream() {
        *seen.lock().unwrap() = Some(note.clone());
        let Some(frame) = body.frame().await else {
            break;
        };
        note.data.extend(frame?.into_data().unwrap());
    }
    note.complete = true;
    *seen.lock().unwrap() = Some(note);
    Ok(Response::new(String::new()))
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(within(future))
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..5)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// With all that a scanner could stumble over.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("model".to_owned()),
        Just("\",\"model\":\"".to_owned()),
        "[\\\\\"{}\\[\\]:,a]{0,12}",
        "\\PC{0,8}",
        "[a-z ]{60,300}",
    ]
}

/// `"key":value`, of another key than the model's.
fn member() -> impl Strategy<Value = String> {
    (text(), json()).prop_map(|(key, value)| {
        // In no case: that would be a second one.
        let key = match key.eq_ignore_ascii_case("model") {
            true => Value::from("another"),
            false => Value::from(key),
        };
        format!("{key}:{value}")
    })
}

fn space() -> impl Strategy<Value = String> {
    "[ \n\r\t]{0,3}"
}

fn document() -> impl Strategy<Value = Document> {
    let members = || prop::collection::vec(member(), 0..4);
    (members(), members(), space(), space()).prop_map(|(before, after, one, other)| {
        let before: String = before
            .iter()
            .map(|member| format!("{member},{one}"))
            .collect();
        let after: String = after
            .iter()
            .map(|member| format!("{one},{member}"))
            .collect();
        Document::new(
            format!("{one}{{{other}{before}\"model\"{one}:{other}"),
            format!("{one}{after}{other}}}{one}"),
        )
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let value = prop_oneof![
        Just(r#""alias""#),
        Just(r#""\u0061li\u0061s""#),
        Just(r#""\u0061\u006c\u0069\u0061\u0073""#),
    ];
    let piece = (
        prop_oneof![0..4_usize, 0..100_usize, 0..1000_usize],
        0..4_usize,
    );
    (
        document(),
        value,
        prop::collection::vec(piece, 0..12),
        any::<bool>(),
    )
        .prop_map(|(document, value, pieces, has_length)| Sent {
            document,
            value,
            pieces,
            has_length,
        })
}

fn settings() -> impl Strategy<Value = Settings> {
    let bytes = || prop_oneof![Just(0), 0..100_usize, 0..2000_usize, Just(1 << 20)];
    (bytes(), bytes(), any::<bool>()).prop_map(|(replay_bytes, max_buffer_bytes, has_timeout)| {
        Settings {
            replay_bytes,
            max_buffer_bytes,
            has_timeout,
        }
    })
}

/// Ways to spoil a document behind its model, or to leave out its end.
#[derive(Clone, Debug)]
enum Damage {
    /// So much is missing, of its end.
    Truncated(prop::sample::Index),
    /// Another model, as the last member.
    Second(&'static str),
    /// Something behind its end.
    Trailing(char),
    Unbalanced(char),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Truncated),
        prop_oneof![
            Just(r#","model":"alias"}"#),
            Just(r#","model":null}"#),
            Just(r#","\u006dodel":{}}"#),
        ]
        .prop_map(Damage::Second),
        any::<char>()
            .prop_filter("not white space", |byte| !" \n\r\t".contains(*byte))
            .prop_map(Damage::Trailing),
        prop::sample::select(vec!['[', '{', ']', '}', '"']).prop_map(Damage::Unbalanced),
    ]
}

impl Damage {
    fn done_to(&self, sent: &Sent) -> Sent {
        let mut sent = sent.clone();
        let after = &mut sent.document.after;
        let end = after.iter().rposition(|byte| *byte == b'}').unwrap();
        let mut char = [0; 4];
        match self {
            // Something of the document stays, and its last brace goes.
            Self::Truncated(index) => after.truncate(index.index(end + 1)),
            Self::Second(model) => {
                after.truncate(end);
                after.extend(model.as_bytes());
            }
            Self::Trailing(behind) => after.extend(behind.encode_utf8(&mut char).as_bytes()),
            Self::Unbalanced(bracket) => {
                let bracket = bracket.encode_utf8(&mut char).bytes();
                after.splice(end..end, b",\"z\":[[1".iter().copied().chain(bracket));
            }
        }
        sent
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_good_document_arrives_with_nothing_changed_but_its_model(
        sent in sent(),
        settings in settings(),
    ) {
        let body = sent.body();
        let outcome = run(&sent, &body, settings);
        if sent.is_named_too_late(&body, settings.max_buffer_bytes) {
            prop_assert_eq!(outcome.status, StatusCode::PAYLOAD_TOO_LARGE);
            prop_assert!(outcome.seen.is_none());
            return Ok(());
        }
        prop_assert_eq!(outcome.status, StatusCode::OK);
        let seen = outcome.seen.unwrap();
        let expected = sent.forwarded();
        prop_assert!(seen.complete);
        if sent.has_length {
            prop_assert_eq!(seen.length, Some(expected.len() as u64));
        }
        prop_assert!(seen.length.is_none_or(|length| length == expected.len() as u64));
        prop_assert_eq!(seen.data, expected);
    }

    #[test]
    fn a_bad_document_arrives_in_part_or_not_at_all(
        sent in sent(),
        damage in damage(),
        settings in settings(),
    ) {
        let sent = damage.done_to(&sent);
        let body = sent.body();
        let outcome = run(&sent, &body, settings);
        let too_late = sent.is_named_too_late(&body, settings.max_buffer_bytes);
        prop_assert!(
            outcome.status == StatusCode::BAD_REQUEST
                || too_late && outcome.status == StatusCode::PAYLOAD_TOO_LARGE,
            "{outcome:?}"
        );
        if let Some(seen) = outcome.seen {
            prop_assert!(!seen.complete, "{seen:?}");
            prop_assert!(sent.forwarded().starts_with(&seen.data), "{seen:?}");
            prop_assert!(seen.length.is_none_or(|length| length > seen.data.len() as u64));
        }
    }

    #[test]
    fn a_document_over_the_limit_arrives_in_part_or_not_at_all(
        sent in sent(),
        settings in settings(),
        limit in any::<prop::sample::Index>(),
    ) {
        let body = sent.body();
        let limit = limit.index(body.len() + 1);
        let seen = Arc::<Mutex<Option<Seen>>>::default();
        let engine = Arc::clone(&seen);
        let service = ServiceBuilder::new()
            .layer(layer().max_body_bytes(limit).replay_bytes(settings.replay_bytes))
            .layer(AnswerErrorsLayer::new())
            .service(service_fn(move |request: Request<RouteBody>| {
                let engine = Arc::clone(&engine);
                async move { read(request, &engine).await }
            }));
        let request = chat_with_length(Scripted::of(sent.steps(&body), sent.has_length));
        let Ok(answer) = block_on(service.oneshot(request));
        let seen = seen.lock().unwrap().take();
        if limit == body.len() {
            prop_assert_eq!(answer.status(), StatusCode::OK);
            prop_assert!(seen.is_some_and(|seen| seen.complete));
        } else {
            prop_assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
            prop_assert!(seen.is_none_or(|seen| !seen.complete && !sent.has_length));
        }
    }

    /// The first attempt is given up after some steps, or goes on, while the second reads.
    #[test]
    fn a_body_that_says_that_it_can_be_sent_again_can(
        sent in sent(),
        replay_bytes in prop_oneof![0..2000_usize, Just(1 << 20)],
        steps in 0..40_usize,
        overlap in 0..40_usize,
    ) {
        let body = sent.body();
        let length = body.len();
        let replayed = Arc::<Mutex<VecDeque<(bool, Vec<u8>)>>>::default();
        let log = Arc::clone(&replayed);
        let service = ServiceBuilder::new()
            .layer(layer().replay_bytes(replay_bytes))
            .layer(AnswerErrorsLayer::new())
            .service(service_fn(move |request: Request<RouteBody>| {
                let log = Arc::clone(&log);
                async move {
                    let mut body = request.into_body();
                    let again = body.clone();
                    for _ in 0..steps {
                        let Some(frame) = body.frame().await else { break };
                        frame?;
                    }
                    // In tasks of their own: each is woken only for itself.
                    let first = tokio::spawn(body.collect());
                    let replayable = again.is_replayable();
                    let second = tokio::spawn(again.collect());
                    for _ in 0..overlap {
                        yield_now().await;
                    }
                    first.abort();
                    let second = second.await?;
                    let data = second.map(|whole| whole.to_bytes().to_vec()).unwrap_or_default();
                    log.lock().unwrap().push_back((replayable, data));
                    Ok::<_, BoxError>(Response::new(String::new()))
                }
            }));
        let request = chat_with_length(Scripted::of(sent.steps(&body), sent.has_length));
        let Ok(answer) = block_on(service.oneshot(request));
        prop_assert_eq!(answer.status(), StatusCode::OK);
        let (replayable, data) = replayed.lock().unwrap().pop_front().unwrap();
        if length <= replay_bytes {
            prop_assert!(replayable);
        } else if sent.has_length && steps > 0 {
            prop_assert!(!replayable);
        }
        // One that is not, or no longer, may fail, but does not arrive with something else in it.
        // A large one that nobody has begun to read is read by one of the two.
        if length <= replay_bytes || !data.is_empty() {
            prop_assert_eq!(data, sent.forwarded());
        }
    }
}
