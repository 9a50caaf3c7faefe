//! The codings, as a client does them and an engine undoes them.

use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZlibDecoder, ZlibEncoder, ZstdDecoder,
    ZstdEncoder,
};
use futures_util::FutureExt;
use test_kit::engines::Attempt;
use tokio::io::{AsyncRead, AsyncReadExt};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    pub(super) const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// In `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    pub(super) fn encode(self, body: impl AsRef<[u8]>) -> Vec<u8> {
        let body = body.as_ref();
        match self {
            Self::Gzip => read(GzipEncoder::new(body)),
            Self::Deflate => read(ZlibEncoder::new(body)),
            Self::Brotli => read(BrotliEncoder::with_quality(
                body,
                async_compression::Level::Fastest,
            )),
            Self::Zstd => read(ZstdEncoder::new(body)),
        }
    }

    pub(super) fn decode(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => read(GzipDecoder::new(body)),
            Self::Deflate => read(ZlibDecoder::new(body)),
            Self::Brotli => read(BrotliDecoder::new(body)),
            Self::Zstd => read(ZstdDecoder::new(body)),
        }
    }
}

fn read(mut codec: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut read = Vec::new();
    let end = codec.read_to_end(&mut read).now_or_never();
    end.expect("all of it is there").expect("it is sound");
    read
}

/// A zstd frame of these blocks: bytes as they are, or one byte so many times.
pub(super) fn zstd_frame(blocks: &[Block<'_>]) -> Vec<u8> {
    // A frame without its content's size and without a checksum, and a window of 2 MiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for (number, block) in (1..).zip(blocks) {
        let (size, kind, content) = match block {
            Block::Raw(bytes) => (bytes.len(), 0, *bytes),
            Block::Repeated(byte, times) => (*times, 1, std::slice::from_ref(byte)),
        };
        let is_last = usize::from(number == blocks.len());
        let header = u32::try_from(size << 3 | kind << 1 | is_last).unwrap();
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(content);
    }
    frame
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Block<'a> {
    Raw(&'a [u8]),
    /// At most 128 KiB.
    Repeated(u8, usize),
}

/// What an engine makes of what it got.
pub(super) trait Decodes {
    /// It is `body` in this coding, however well compressed.
    fn assert_decodes_to(&self, body: &[u8], coding: Coding);
}

impl Decodes for Attempt {
    #[track_caller]
    fn assert_decodes_to(&self, body: &[u8], coding: Coding) {
        assert!(coding.decode(&self.bytes()) == body, "{coding:?}");
        self.assert_is(&self.bytes(), Some(coding.name()));
    }
}
