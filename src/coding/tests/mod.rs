use compression_codecs::{
    DeflateEncoder, EncodeV2,
    core::{
        Level,
        util::{PartialBuffer, WriteBuffer},
    },
};

use super::{
    deflate::Deflate,
    inflate::{Inflate, InflateError},
    inflate_limits::InflateLimits,
};
use crate::config::Encoding;

mod bounds;
mod damage;
mod header;
mod properties;
mod recast;
mod round_trip;

const ALL: [Encoding; 4] = [
    Encoding::Gzip,
    Encoding::Deflate,
    Encoding::Brotli,
    Encoding::Zstd,
];

const UNLIMITED: InflateLimits = InflateLimits {
    max_bytes: u64::MAX,
    max_ratio: u32::MAX,
};

fn deflate(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    let mut deflate = Deflate::new(encoding);
    deflate.feed(body, &mut output).unwrap();
    deflate.finish(&mut output).unwrap();
    output
}

/// `deflate` without its zlib wrapping.
fn deflate_bare(body: &[u8]) -> Vec<u8> {
    let mut codec = DeflateEncoder::new(Level::Fastest.into());
    let mut output = vec![0; body.len() + 100];
    let mut input = PartialBuffer::new(body);
    let mut room = WriteBuffer::new_initialized(&mut output);
    while !input.unwritten().is_empty() {
        codec.encode(&mut input, &mut room).unwrap();
    }
    assert!(codec.finish(&mut room).unwrap());
    room.written().to_vec()
}

/// Inflates a chunk to its end.
fn feed<E: From<InflateError>>(
    inflate: &mut Inflate,
    mut chunk: &[u8],
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    while inflate.step(&mut chunk, &mut sink)?.is_some() {}
    assert!(chunk.is_empty());
    Ok(())
}

/// Inflates a body in chunks of the sizes given, over and over.
fn inflate_in(
    encoding: Encoding,
    compressed: &[u8],
    sizes: &[usize],
    limits: InflateLimits,
) -> (Vec<u8>, Result<(), InflateError>) {
    let mut body = Vec::new();
    let mut inflate = Inflate::new(encoding, limits);
    let mut rest = compressed;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        rest = after;
        let fed = feed(&mut inflate, chunk, |piece| {
            body.extend_from_slice(piece);
            Ok::<_, InflateError>(())
        });
        if fed.is_err() {
            assert!(inflate.finish().is_err());
            return (body, fed);
        }
    }
    (body, inflate.finish())
}

fn inflate(encoding: Encoding, compressed: &[u8]) -> Result<Vec<u8>, InflateError> {
    let (body, result) = inflate_in(encoding, compressed, &[usize::MAX], UNLIMITED);
    result.map(|()| body)
}

#[test]
fn they_travel_with_a_request() {
    fn assert_auto<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    assert_auto::<Inflate>();
    assert_auto::<Deflate>();
    assert_auto::<InflateError>();
}
