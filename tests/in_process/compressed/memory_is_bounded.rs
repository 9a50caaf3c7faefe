//! What a compressed body takes of the gateway's memory.
//!
//! Counted is what Rust allocates, on the thread of the test: so all but the
//! window of zstd, whose decoder is C.

use allocation_counter::{AllocationInfo, measure};
use futures_util::FutureExt;
use test_kit::exchange::Outcome;
use tower_model_route::ModelRouteLayer;

use super::{
    bombs_are_refused::{all, dense_document, document},
    codecs::Coding,
    send::{layer, post, send},
};

/// What is allocated while this body goes through.
fn cost(layer: &ModelRouteLayer, coding: Coding, body: &[u8]) -> (AllocationInfo, Outcome) {
    let request = post(coding.name(), body.to_vec());
    let (mut outcome, layer) = (None, layer.clone());
    let cost = measure(|| outcome = send(layer, request).now_or_never());
    (cost, outcome.expect("all of it was there"))
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

/// Nothing is kept of what a look at a body brings to light, up to the last byte that is allowed.
#[test]
fn what_is_too_large_only_at_its_end_has_not_been_kept() {
    let body = dense_document(4 << 20);
    for coding in Coding::ALL {
        let sent = coding.encode(&body);
        let layer = layer().max_buffer_bytes(4 << 20);
        let (cost, outcome) = cost(&layer, coding, &sent);
        outcome.refused(413, "body_too_large");
        let most = own(coding) + 2 * sent.len() as u64;
        assert!(cost.bytes_max < most, "{coding:?}: {cost:?}");
    }
}

/// What is rewritten is inflated once, and held once: the engine's copy here is the test's.
#[test]
fn a_body_that_is_inflated_is_held_once() {
    let body = document(1_000_000);
    for coding in Coding::ALL {
        let (cost, outcome) = cost(&layer(), coding, &coding.encode(&body));
        let forwarded = outcome.forwarded().bytes().len() as u64;
        let most = own(coding) + 2 * forwarded;
        assert!(cost.bytes_max < most, "{coding:?}: {cost:?}");
    }
}
