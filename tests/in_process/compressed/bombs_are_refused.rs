//! Small bodies that would be large.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::{
    codecs::{Block, Coding, zstd_frame},
    send::{in_pieces, layer, post, send},
};

const OPEN: &[u8] = br#"{"model":"alias","prompt":""#;
const CLOSE: &[u8] = br#""}"#;

/// A document of `size` bytes and a few, nearly all of them the same.
pub(crate) fn document(size: usize) -> Vec<u8> {
    [OPEN, &vec![b'x'; size], CLOSE].concat()
}

/// One of `size` bytes and a few, which compresses well but not as a bomb does.
pub(crate) fn dense_document(size: usize) -> Vec<u8> {
    let noise: String = (0..200_000_u64).map(|n| (n * n).to_string()).collect();
    let mut document = document(size);
    // In front: what has come out may at no time be too much for what has gone in.
    document[OPEN.len()..][..noise.len()].copy_from_slice(noise.as_bytes());
    document
}

/// A document of 200 MB in 6.4 KB.
pub(crate) fn zstd_bomb() -> Vec<u8> {
    let mut blocks = vec![Block::Raw(OPEN)];
    blocks.extend([Block::Repeated(b'x', 128 << 10); 1600]);
    blocks.push(Block::Raw(CLOSE));
    let bomb = zstd_frame(&blocks);
    assert!(bomb.len() < 6500);
    bomb
}

/// Bombs for each coding, of 200 MB where a coding can do that in a few bytes.
pub(crate) fn all() -> Vec<(Coding, Vec<u8>)> {
    let large = document(6 << 20);
    vec![
        (Coding::Gzip, Coding::Gzip.encode(&large)),
        (Coding::Deflate, Coding::Deflate.encode(&large)),
        (Coding::Brotli, Coding::Brotli.encode(&large)),
        (Coding::Zstd, zstd_bomb()),
    ]
}

#[tokio::test]
async fn by_their_ratio() {
    for (coding, bomb) in all() {
        for size in [100, bomb.len()] {
            let request = in_pieces(post(coding.name(), bomb.clone()), size);
            let outcome = send(layer(), request).await;
            outcome.refused(413, "body_too_large");
            assert!(outcome.answer.text().contains("more than 100 times"));
        }
    }
}

#[tokio::test]
async fn by_their_size() {
    for coding in Coding::ALL {
        // No ratio counts up to a megabyte.
        let body = document(900_000);
        let layer = |bytes| layer().max_buffer_bytes(bytes);
        let request = || post(coding.name(), coding.encode(&body));
        send(layer(body.len()), request()).await.forwarded();
        let limit = body.len() - 1;
        let outcome = send(layer(limit), request()).await;
        outcome.refused(413, "body_too_large");
        let limit = format!("larger than the {limit} bytes");
        assert!(outcome.answer.text().contains(&limit));
    }
}

#[tokio::test]
async fn of_many_members() {
    let middle = Coding::Gzip.encode(vec![b'x'; 1 << 20]);
    let bomb = [
        Coding::Gzip.encode(OPEN),
        middle.repeat(200),
        Coding::Gzip.encode(CLOSE),
    ];
    let outcome = send(layer(), post("gzip", bomb.concat())).await;
    outcome.refused(413, "body_too_large");
}

#[tokio::test]
async fn a_body_that_compresses_well_is_no_bomb() {
    for coding in Coding::ALL {
        let body = dense_document(4 << 20);
        let forwarded = send(layer(), post(coding.name(), coding.encode(&body))).await;
        assert_eq!(forwarded.status(), 200, "{coding:?}");
    }
}

/// What has gone off is not read on.
#[tokio::test]
async fn the_rest_is_not_asked_for() {
    for (coding, bomb) in all() {
        let bomb = [bomb, vec![0; 1 << 20]].concat();
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        let pieces: Vec<_> = bomb.chunks(1000).map(Bytes::copy_from_slice).collect();
        let all = pieces.len();
        let pieces =
            stream::iter(pieces).inspect(move |_| _ = count.fetch_add(1, Ordering::Relaxed));
        let pieces = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let mut request = post(coding.name(), "").map(|_| StreamBody::new(pieces).boxed_unsync());
        request.headers_mut().remove("content-length");
        let layer = layer().drain_bytes(0);
        send(layer, request).await.refused(413, "body_too_large");
        assert!(asked.load(Ordering::Relaxed) < all / 2, "{coding:?}");
    }
}
