use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    coding::{Decoder, Recast},
    error::RouteError,
    pieces::{Chunks, Edit, Edits},
};

/// What is made, and in how many polls.
fn make(recast: &mut Recast) -> (Result<Vec<u8>, RouteError>, usize) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut polls = 1;
    loop {
        if let Poll::Ready(made) = recast.poll(&mut cx, |_| Ok(())) {
            let bytes = made.map(|chunks| chunks.into_iter().collect::<Vec<_>>().concat());
            return (bytes, polls);
        }
        polls += 1;
    }
}

fn chunks(body: &[u8], size: usize) -> Chunks {
    let mut chunks = Chunks::default();
    for chunk in body.chunks(size) {
        chunks.push(Bytes::copy_from_slice(chunk));
    }
    chunks
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop::sample::select(&ALL[..])
}

/// Text that compresses, of any length around the slices.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let sizes = prop_oneof![1..3000_usize, 100_000..400_000_usize];
    (sizes, any::<u64>()).prop_map(|(size, seed)| {
        let number = |at: u64| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
        let words = (0..).flat_map(|at| format!("word {} ", number(at)).into_bytes());
        words.take(size).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However it came, whatever is made of it: the same as at once and naively.
    #[test]
    fn what_is_made_in_slices_is_what_was_to_be_made(
        text in text(),
        size in 1..100_000_usize,
        undo in prop::option::of(encoding()),
        redo in prop::option::of(encoding()),
        edit in any::<(prop::sample::Index, u8)>(),
        stop in 0..4_usize,
    ) {
        let start = edit.0.index(text.len());
        let end = text.len().min(start + 1 + usize::from(edit.1));
        let value = Bytes::from_static(b"another");
        let expected = [&text[..start], &value, &text[end..]].concat();
        let edits = Edits::One(Edit { span: start as u64..end as u64, value });

        let source = undo.map_or_else(|| text.clone(), |coding| deflate(coding, &text));
        let undo = undo.map(|coding| (coding, UNLIMITED));
        let mut recast = Recast::new(chunks(&source, size), undo, edits, redo);
        // A clone of what has begun makes all of it.
        for _ in 0..stop {
            let mut cx = Context::from_waker(Waker::noop());
            if recast.poll(&mut cx, |_| Ok(())).is_ready() {
                break;
            }
        }
        let mut clone = recast.clone();
        for recast in [&mut clone, &mut recast] {
            let made = make(recast).0.unwrap();
            let made = redo.map_or_else(|| made.clone(), |coding| inflate(coding, &made).unwrap());
            prop_assert!(made == expected);
        }
    }

    /// Byte by byte or at once: what is kept while a body is looked at is all of it, or nothing.
    #[test]
    fn what_is_kept_is_what_was_seen(
        text in text(),
        size in 1..100_000_usize,
        coding in encoding(),
    ) {
        let mut decoder = decoder(coding).keeping(true);
        let mut seen = Vec::new();
        let body = deflate(coding, &text);
        for chunk in body.chunks(size) {
            feed_to_end(&mut decoder, &Bytes::copy_from_slice(chunk), &mut seen);
        }
        decoder.finish().unwrap();
        prop_assert!(seen == text);
        prop_assert_eq!(decoder.plain_len(), text.len() as u64);
        let kept = decoder.take_kept().expect("it is no bomb");
        prop_assert!(kept.into_iter().collect::<Vec<_>>().concat() == text);
    }
}

fn decoder(coding: Encoding) -> Decoder {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-encoding", coding.name().parse().unwrap());
    let limits = InflateLimits {
        max_bytes: u64::MAX,
        max_ratio: 100,
    };
    Decoder::new(&headers, limits).unwrap().unwrap()
}

/// In how many polls.
fn feed_to_end(decoder: &mut Decoder, chunk: &Bytes, seen: &mut Vec<u8>) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut polls = 1;
    let mut see = |plain: &[u8]| {
        seen.extend_from_slice(plain);
        Ok(())
    };
    loop {
        if let Poll::Ready(fed) = decoder.poll_feed(chunk, &mut cx, &mut see) {
            fed.unwrap();
            assert!(decoder.begun().is_none());
            return polls;
        }
        assert_eq!(decoder.begun(), Some(chunk));
        polls += 1;
    }
}

#[test]
fn nothing_dense_is_kept_and_nothing_unasked() {
    for coding in ALL {
        for (text, may_need) in [(&[0; 100_000][..], true), (b"{}", false)] {
            let mut decoder = decoder(coding).keeping(may_need);
            let body = deflate(coding, text).into();
            let mut seen = Vec::new();
            feed_to_end(&mut decoder, &body, &mut seen);
            assert!(seen == text && decoder.kept().is_none(), "{coding}");
        }
    }
}

#[test]
fn what_is_made_is_counted_and_stops_where_there_is_no_room() {
    let text = [b'x'; 500_000];
    let mut cx = Context::from_waker(Waker::noop());
    for coding in ALL {
        for redo in [None, Some(coding)] {
            let source = chunks(&text, usize::MAX);
            let recast = || Recast::new(source.clone(), None, Edits::None, redo);
            let len = make(&mut recast()).0.unwrap().len() as u64;
            for limit in [len - 1, len] {
                let (mut recast, mut held) = (recast(), 0);
                let made = loop {
                    let room = |more| {
                        held += more;
                        let fits = held <= limit;
                        fits.then_some(())
                            .ok_or_else(|| RouteError::overloaded("m"))
                    };
                    if let Poll::Ready(made) = recast.poll(&mut cx, room) {
                        break made;
                    }
                };
                assert_eq!(made.is_ok(), limit == len, "{coding}");
            }
        }
    }
}

/// Also where next to nothing comes out.
#[test]
fn each_poll_does_about_as_much() {
    let text: Vec<_> = (0..1_000_000_u32)
        .map(|n| (n / 7).wrapping_mul(n) as u8)
        .collect();
    for coding in ALL {
        let body = deflate(coding, &text);
        let limits = Some((coding, UNLIMITED));
        let undo = Recast::new(chunks(&body, usize::MAX), limits, Edits::None, None);
        let redo = Recast::new(chunks(&text, usize::MAX), None, Edits::None, Some(coding));
        let both = Recast::new(chunks(&body, usize::MAX), limits, Edits::None, Some(coding));
        for (mut recast, least) in [(undo, 7), (redo, 28), (both, 28)] {
            let (made, polls) = make(&mut recast);
            made.unwrap();
            assert!((least..3 * least).contains(&polls), "{coding}: {polls}");
        }
    }
    let empty = deflate(Encoding::Gzip, b"").repeat(1000);
    let limits = Some((Encoding::Gzip, UNLIMITED));
    let mut members = Recast::new(chunks(&empty, usize::MAX), limits, Edits::None, None);
    assert!(make(&mut members).1 > 3);
}
