//! Compressed bodies that are sent again: each attempt is made of what the client has sent.

use http::StatusCode;
use tower_model_route::ModelRouteLayer;

use super::{
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
