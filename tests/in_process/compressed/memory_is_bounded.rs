//! What a compressed body takes of the gateway's memory.
//!
//! Counted is what Rust allocates, on the thread of the test: so all but the
//! window of zstd, whose decoder is C.

use std::pin::pin;

use allocation_counter::{AllocationInfo, measure};
use futures_util::FutureExt;
use test_kit::exchange::Outcome;
use tower_model_route::ModelRouteLayer;

use super::{
    bombs_are_refused::{all, document},
    codecs::Coding,
    send::{LARGE, accepting, chain, keyed, large, layer, post, send},
};

/// What is allocated while this body goes through.
fn cost(layer: &ModelRouteLayer, coding: Coding, body: &[u8]) -> (AllocationInfo, Outcome) {
    let request = post(coding.name(), body.to_vec());
    let (mut outcome, layer) = (None, layer.clone());
    let cost = measure(|| {
        let mut sent = pin!(send(layer, request));
        // All of it is there, but is not done at once.
        while outcome.is_none() {
            outcome = sent.as_mut().now_or_never();
        }
    });
    (cost, outcome.expect("it was awaited"))
}

/// The most that a decoder holds itself, and what it costs to answer; brotli has a large window.
fn own(coding: Coding) -> u64 {
    match coding {
        Coding::Gzip | Coding::Deflate | Coding::Zstd => 100 << 10,
        Coding::Brotli => 8 << 20,
    }
}

/// 6 KB that would be 200 MB take nothing of what they would be.
#[test]
fn a_bomb_is_refused_within_its_decoders_memory() {
    for (coding, bomb) in all() {
        let (cost, outcome) = cost(&layer(), coding, &bomb);
        outcome.refused(413, "body_too_large");
        assert!(cost.bytes_max < own(coding), "{coding:?}: {cost:?}");
    }
}

/// An engine that reads the coding, and calls the model as the client does, needs no more than what
/// was sent: nothing else is kept, up to the last byte that is allowed.
#[test]
fn nothing_is_kept_where_all_engines_get_what_was_sent() {
    let body = large();
    for coding in Coding::ALL {
        let sent = coding.encode(&body);
        let most = own(coding) + 3 * sent.len() as u64;
        let layer = || ModelRouteLayer::new(chain(&[None], &[true]));
        let (cost, outcome) = cost(&layer().max_buffer_bytes(LARGE - 1), coding, &sent);
        outcome.refused(413, "body_too_large");
        assert!(cost.bytes_max < most, "{coding:?}: {cost:?}");
        let (cost, outcome) = self::cost(&layer(), coding, &sent);
        outcome.forwarded().assert_is(&sent, Some(coding.name()));
        assert!(cost.bytes_max < most, "{coding:?}: {cost:?}");
    }
}

/// What may be needed is kept as it is inflated, so that this is done once: up to the limit on what
/// is buffered.
#[test]
fn what_is_too_large_only_at_its_end_has_been_held_up_to_the_limit() {
    let body = large();
    for coding in Coding::ALL {
        let sent = coding.encode(&body);
        let layer = layer().max_buffer_bytes(LARGE - 1);
        let (cost, outcome) = cost(&layer, coding, &sent);
        outcome.refused(413, "body_too_large");
        let most = own(coding) + 2 * sent.len() as u64 + LARGE as u64;
        assert!(cost.bytes_max < most, "{coding:?}: {cost:?}");
        assert_eq!(layer.buffered_bytes(), 0);
    }
}

/// What is rewritten is inflated once, and held once: the engine's copy here is the test's. So it is
/// where it is so dense that it was not kept at first, and then inflated again.
#[test]
fn a_body_that_is_inflated_is_held_once() {
    for body in [document(1_000_000), large()] {
        for coding in Coding::ALL {
            let (cost, outcome) = cost(&layer(), coding, &coding.encode(&body));
            let forwarded = outcome.forwarded().bytes().len() as u64;
            let most = own(coding) + 2 * forwarded + forwarded / 2;
            assert!(cost.bytes_max < most, "{coding:?}: {cost:?}");
        }
    }
}

/// What is kept only to be at hand leaves half of the room to others; without it the body is inflated
/// again once it has to be.
#[test]
fn what_is_at_hand_takes_half_of_the_room_at_most() {
    const SLICE: usize = 256 << 10;
    let body = large();
    for layer in [layer(), accepting(), keyed()] {
        for coding in Coding::ALL {
            let sent = coding.encode(&body);
            let half = body.len() / 2 + sent.len();
            let layer = layer.clone().max_total_buffer_bytes(2 * half);
            let mut sending = pin!(send(layer.clone(), post(coding.name(), sent)));
            let mut held = Vec::new();
            let outcome = loop {
                match sending.as_mut().now_or_never() {
                    Some(outcome) => break outcome,
                    None => held.push(usize::try_from(layer.buffered_bytes()).unwrap()),
                }
            };
            let let_go = held.windows(2).find(|held| held[1] < held[0]).unwrap();
            assert!((half - SLICE..=half).contains(&let_go[0]), "{coding:?}");
            let forwarded = outcome.forwarded();
            let plain = match forwarded.header("content-encoding") {
                Some(_) => coding.decode(&forwarded.bytes()),
                None => forwarded.bytes().to_vec(),
            };
            assert!(plain.starts_with(&body[..body.len() / 2]), "{coding:?}");
            assert_eq!(layer.buffered_bytes(), 0);
        }
    }
}

/// There is room for what was sent, and not for what an engine is to get.
#[test]
fn what_does_not_fit_is_refused() {
    let body = large();
    for layer in [layer(), keyed()] {
        for coding in Coding::ALL {
            let layer = layer.clone().max_total_buffer_bytes(body.len() - 1);
            let (_, outcome) = cost(&layer, coding, &coding.encode(&body));
            outcome.refused(503, "overloaded");
            assert_eq!(layer.buffered_bytes(), 0);
        }
    }
}
