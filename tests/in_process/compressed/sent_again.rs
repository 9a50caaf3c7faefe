//! Compressed bodies that are sent again: each attempt is made of what the client has sent.

use http::StatusCode;
use test_kit::{
    engines::{Engines, says, status},
    exchange::Outcome,
};
use tower::{ServiceBuilder, retry::RetryLayer};
use tower_model_route::{Failover, ModelRouteLayer};

use super::{
    bombs_are_refused::document,
    codecs::{Coding, Decodes},
    send::{REAL, chain, chat, post, send},
};

/// What an engine may call the model: as the client does, or otherwise.
const NAMES: [Option<&str>; 3] = [None, Some(REAL), Some("another")];

/// Whether the three engines read compressed bodies.
const ACCEPT: [[bool; 3]; 4] = [
    [false, false, false],
    [true, false, true],
    [false, true, false],
    [true, true, true],
];

/// Sends a body to three engines, of which only the last answers.
async fn assert_all_get_theirs(coding: Coding, models: [Option<&str>; 3], accept: [bool; 3]) {
    let sent = coding.encode(chat("alias"));
    let layer = ModelRouteLayer::new(chain(&models, &accept));
    let outcome = send(layer, post(coding.name(), sent.clone())).await;
    assert_eq!(outcome.status(), StatusCode::OK);
    assert_eq!(outcome.forwarded.len(), models.len());
    let engines = models.into_iter().zip(accept);
    for ((model, accepts), forwarded) in engines.zip(outcome.forwarded) {
        match (model, accepts) {
            (None, true) => forwarded.assert_is(&sent, Some(coding.name())),
            (None, false) => forwarded.assert_is(&chat("alias"), None),
            (Some(name), true) => forwarded.assert_decodes_to(&chat(name), coding),
            (Some(name), false) => forwarded.assert_is(&chat(name), None),
        }
    }
}

#[tokio::test]
async fn each_engine_gets_the_name_that_it_knows_in_a_coding_that_it_reads() {
    for one in NAMES {
        for two in NAMES {
            for three in NAMES {
                for accept in ACCEPT {
                    let models = [one, two, three];
                    assert_all_get_theirs(Coding::Zstd, models, accept).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn in_every_coding_and_both_ways() {
    for coding in Coding::ALL {
        for models in [[None, Some(REAL), None], [Some(REAL), None, Some(REAL)]] {
            for accept in ACCEPT {
                assert_all_get_theirs(coding, models, accept).await;
            }
        }
    }
}

/// tower's retry layer knows nothing of bodies that take a while to be made: they are, once the client
/// asks for them.
#[tokio::test]
async fn by_a_policy_in_place_of_the_layer() {
    for coding in Coding::ALL {
        for (model, accepts) in [(None, false), (Some(REAL), false), (Some(REAL), true)] {
            for body in [chat("alias"), document(400_000)] {
                let sent = coding.encode(&body);
                let table = chain(&[None, model], &[true, accepts]);
                let engines = Engines::default();
                engines.always("http://full.test:8000", || status(503));
                engines.always("http://free.test:8001", || says(200, ""));
                let service = ServiceBuilder::new()
                    .layer(ModelRouteLayer::new(table).replay_bytes(16 << 20))
                    .layer(RetryLayer::new(Failover::new()))
                    .service(engines.service());
                let request = post(coding.name(), sent.clone());
                let outcome = Outcome::of(&engines, service, request).await;
                assert_eq!(outcome.status(), StatusCode::OK);
                let [first, second] = &outcome.forwarded[..] else {
                    panic!("{} attempts", outcome.forwarded.len());
                };
                first.assert_is(&sent, Some(coding.name()));
                let expected = renamed(&body, model);
                match accepts {
                    // Nobody has waited for its length.
                    true => assert!(coding.decode(&second.bytes()) == expected),
                    false => second.assert_is(&expected, None),
                }
            }
        }
    }
}

/// `body` with the name that an engine knows in place of the client's.
fn renamed(body: &[u8], model: Option<&str>) -> Vec<u8> {
    let name = serde_json::Value::from(model.unwrap_or("alias")).to_string();
    let at = body.windows(7).position(|part| part == b"\"alias\"");
    let at = at.expect("it names the model");
    [&body[..at], name.as_bytes(), &body[at + 7..]].concat()
}

/// It was inflated for the first attempt, and is too large to be kept so.
#[tokio::test]
async fn what_is_too_large_when_inflated_is_sent_once() {
    let sent = Coding::Gzip.encode(chat("alias"));
    for (models, attempts) in [([Some(REAL), None], 1), ([None, Some(REAL)], 2)] {
        let accept = [models[0].is_none(), false];
        let layer = ModelRouteLayer::new(chain(&models, &accept)).replay_bytes(sent.len());
        let outcome = send(layer, post("gzip", sent.clone())).await;
        assert_eq!(outcome.forwarded.len(), attempts);
        assert_eq!(outcome.status() == StatusCode::OK, attempts == 2);
    }
}
