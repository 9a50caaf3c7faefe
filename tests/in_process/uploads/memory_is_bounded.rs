//! What an upload takes of the gateway's memory, whatever its size and its chunks.

use std::{pin::pin, time::Duration};

use allocation_counter::measure;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use test_kit::{
    body::script_of,
    document::{Document, filler},
};
use tower_model_route::RouteBody;

use super::forward::{forwarded, layer};

const KB: usize = 1 << 10;

/// The most bytes that were allocated at once while an upload of `chunks` went through, once or
/// with a clone that waits to be sent.
fn most_held(chunks: &[Bytes], replay_bytes: usize, cloned: bool) -> u64 {
    let layer = layer()
        .replay_bytes(replay_bytes)
        .body_timeout(Duration::MAX);
    let measured = measure(|| {
        let (client, body) = script_of(None);
        let named = Document::model_first(KB).sent();
        client.send(&named[..100]);
        let mut forwarded = pin!(forwarded(layer.clone(), body));
        // Without a runtime, which would be measured too: the model is known, so it goes out.
        let mut body = loop {
            if let Some(request) = forwarded.as_mut().now_or_never() {
                break request.into_body();
            }
        };
        let again = cloned.then(|| body.clone());
        for chunk in chunks {
            client.data(chunk.clone());
            drain(&mut body);
        }
        drop(again);
    });
    measured.bytes_max
}

/// Reads and keeps nothing.
fn drain(body: &mut RouteBody) {
    for _ in 0..2 {
        while let Some(frame) = body.frame().now_or_never() {
            frame.expect("it goes on").expect("it is good");
        }
    }
}

/// As a server's are: parts of buffers that are counted elsewhere.
fn chunks(size: usize, each: usize) -> Vec<Bytes> {
    let all = Bytes::from(filler(size));
    (0..size / each)
        .map(|n| all.slice(n * each..(n + 1) * each))
        .collect()
}

#[test]
fn without_a_clone_nothing_is_held() {
    for each in [1, 100, 64 * KB] {
        let held = most_held(&chunks(320 * KB, each), 64 * KB, false);
        assert!(held < 32 * KB as u64, "{held} bytes with chunks of {each}");
    }
}

#[test]
fn with_a_clone_no_more_is_held_than_may_be_sent_again() {
    let replay_bytes = 64 * KB;
    for each in [1, 10, 100, 64 * KB] {
        let held = most_held(&chunks(320 * KB, each), replay_bytes, true);
        // A list may double, and its items be joined; nothing more.
        let most = 3 * replay_bytes + 32 * KB;
        assert!(held < most as u64, "{held} bytes with chunks of {each}");
    }
}
