//! Undoes a content coding, chunk by chunk and within bounds.

use std::{error::Error, fmt, io, mem};

use compression_codecs::{
    BrotliDecoder, DecodeV2, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
    core::util::{PartialBuffer, WriteBuffer},
    zstd::params::DParameter,
};

use super::inflate_limits::InflateLimits;
use crate::config::Encoding;

/// Inflates a body that is fed to it in chunks of any size, in small steps.
///
/// Neither the input nor the output is kept. Each instance takes a buffer of
/// 16 KiB and the codec's memory, which no body can raise above
/// - 48 KB for gzip and deflate,
/// - 8.5 MiB for zstd: a window of 8 MiB, a few blocks and the tables,
/// - 28 MiB for brotli: a window of 16 MiB, for a moment together with the one
///   of 8 MiB that it replaces, and the tables.
///
/// The windows start small or are only touched as far as they are written, so
/// that a typical body takes a small part of this.
///
/// Errors are final: after one, every further call returns an error.
pub(crate) struct Inflate {
    encoding: Encoding,
    limits: InflateLimits,
    state: State,
    output: Box<[u8]>,
    consumed: u64,
    produced: u64,
    members: u32,
}

type Codec = Box<dyn DecodeV2 + Send + Sync>;

enum State {
    /// Before the first byte, which helps to select the decoder for the rest.
    Empty,
    /// Within a stream: a gzip member, a zstd frame, or the whole body.
    Within(Codec),
    /// The body may end here.
    Ended(Codec),
    Failed,
}

/// Why a body could not be inflated.
#[derive(Debug)]
pub(crate) enum InflateError {
    /// It is not in the declared coding, or it is damaged.
    Corrupt(io::Error),
    /// It ended too early; an empty body is not valid in any coding.
    Truncated,
    /// Something follows the end of the compressed stream.
    TrailingData,
    /// It consists of more gzip members or zstd frames than anyone needs.
    TooManyMembers,
    /// It is larger than [`InflateLimits::max_bytes`].
    TooLarge(u64),
    /// It is larger than [`InflateLimits::max_ratio`] allows for its compressed size.
    RatioTooHigh(u32),
}

impl Inflate {
    const OUTPUT: usize = 16 * 1024;

    /// A decoder for brotli goes through all of its input before it gives out the first byte, up to
    /// the size of its window.
    const INPUT: usize = 4 * 1024;

    /// What a call of the decoder costs that makes nothing, such as one that begins a member.
    const CALL: usize = 512;

    /// Starting one costs as much as decoding some kilobytes, for as little as
    /// 9 bytes (zstd) or 20 (gzip).
    const MAX_MEMBERS: u32 = 1024;

    /// 8 MiB, the most that the `zstd` coding allows (RFC 9659).
    const ZSTD_WINDOW_LOG: u32 = 23;

    pub(crate) fn new(encoding: Encoding, limits: InflateLimits) -> Self {
        Self {
            encoding,
            limits,
            state: State::Empty,
            output: vec![0; Self::OUTPUT].into_boxed_slice(),
            consumed: 0,
            produced: 0,
            members: 0,
        }
    }

    /// Inflates some of `input`, which is cut off it, and gives what comes out to `sink`, unless
    /// that exceeds a limit.
    ///
    /// Returns what that cost, in bytes, or `None` once nothing is left, neither of the input nor
    /// in the codec.
    pub(crate) fn step<E>(
        &mut self,
        input: &mut &[u8],
        sink: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<Option<usize>, E>
    where
        E: From<InflateError>,
    {
        // It stays failed if this returns early.
        let codec = match (mem::replace(&mut self.state, State::Failed), input.first()) {
            (State::Failed, _) => return Err(failed_before().into()),
            (State::Empty, Some(&first)) => open(self.encoding, first)?,
            (State::Within(codec), _) => codec,
            (State::Ended(codec), Some(&next)) => self.open_next(codec, next)?,
            (state @ (State::Empty | State::Ended(_)), None) => {
                self.state = state;
                return Ok(None);
            }
        };
        self.decode(codec, input, sink)
    }

    /// How many bytes have come out.
    pub(crate) fn produced(&self) -> u64 {
        self.produced
    }

    /// Whether so many for so few that went in as at no time in a large body.
    pub(crate) fn is_dense(&self) -> bool {
        self.produced > self.consumed.saturating_mul(self.limits.max_ratio.into())
    }

    /// Ends the body; an error if it was not complete.
    pub(crate) fn finish(&mut self) -> Result<(), InflateError> {
        match self.state {
            State::Empty | State::Within(_) => Err(InflateError::Truncated),
            State::Ended(_) => Ok(()),
            State::Failed => Err(failed_before()),
        }
    }

    /// Continues with another gzip member or zstd frame.
    ///
    /// Other decoders differ here: some stop after the first and drop the
    /// rest. That can't make an engine see another model than we do: a JSON
    /// object that is cut short is no longer a valid one, unless only white
    /// space was cut.
    fn open_next(&mut self, mut codec: Codec, next: u8) -> Result<Codec, InflateError> {
        let starts_one = match self.encoding {
            Encoding::Gzip => next == 0x1f,
            // The magic number of a frame, or of a skippable one.
            Encoding::Zstd => next == 0x28 || next & 0xf0 == 0x50,
            Encoding::Deflate | Encoding::Brotli => false,
        };
        if !starts_one {
            return Err(InflateError::TrailingData);
        }
        self.members += 1;
        if self.members >= Self::MAX_MEMBERS {
            return Err(InflateError::TooManyMembers);
        }
        codec.reinit().map_err(InflateError::Corrupt)?;
        Ok(codec)
    }

    fn decode<E>(
        &mut self,
        mut codec: Codec,
        input: &mut &[u8],
        sink: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<Option<usize>, E>
    where
        E: From<InflateError>,
    {
        // A codec that has taken all its input may still hold output.
        let is_drained = input.is_empty();
        let mut part = PartialBuffer::new(input.get(..Self::INPUT).unwrap_or(input));
        let mut output = WriteBuffer::new_initialized(&mut self.output);
        let has_ended = match codec.decode(&mut part, &mut output) {
            Ok(has_ended) => has_ended,
            Err(_) if is_drained && fails_when_drained(self.encoding) => false,
            Err(error) => return Err(InflateError::Corrupt(error).into()),
        };
        let (consumed, produced) = (part.written_len(), output.written_len());
        *input = input.get(consumed..).unwrap_or_default();
        self.count(consumed, produced)?;
        if produced > 0 {
            sink(&self.output[..produced])?;
        }
        let is_stuck = !has_ended && consumed == 0 && produced == 0;
        if is_stuck && !is_drained {
            return Err(InflateError::Corrupt(io::Error::other("the decoder is stuck")).into());
        }
        self.state = match has_ended {
            true => State::Ended(codec),
            false => State::Within(codec),
        };
        Ok((!is_stuck).then_some(Self::CALL + consumed + produced))
    }

    fn count(&mut self, consumed: usize, produced: usize) -> Result<(), InflateError> {
        self.consumed += consumed as u64;
        self.produced += produced as u64;
        if self.produced > self.limits.max_bytes {
            Err(InflateError::TooLarge(self.limits.max_bytes))
        } else if self.produced > InflateLimits::RATIO_FLOOR && self.is_dense() {
            Err(InflateError::RatioTooHigh(self.limits.max_ratio))
        } else {
            Ok(())
        }
    }
}

fn open(encoding: Encoding, first: u8) -> Result<Codec, InflateError> {
    Ok(match encoding {
        Encoding::Gzip => Box::new(GzipDecoder::new()),
        // The low half of a zlib header's first byte is 8, the method. A bare
        // stream that began so would be a stored block with stray padding.
        Encoding::Deflate if first & 0x0f == 8 => Box::new(ZlibDecoder::new()),
        Encoding::Deflate => Box::new(DeflateDecoder::new()),
        // The decoder knows an extension by the pattern that RFC 7932 section
        // 9.1 calls invalid: windows of up to 1 GiB.
        Encoding::Brotli if first & 0x7f == 0x11 => {
            return Err(InflateError::Corrupt(io::Error::new(
                io::ErrorKind::InvalidData,
                "the window is larger than brotli allows",
            )));
        }
        Encoding::Brotli => Box::new(BrotliDecoder::new()),
        Encoding::Zstd => Box::new(ZstdDecoder::new_with_params(&[DParameter::window_log_max(
            Inflate::ZSTD_WINDOW_LOG,
        )])),
    })
}

/// Whether the codec reports an error when it runs out of input, even while it
/// returns the last of its output. (A real error found while draining recurs
/// with the next input; if no input follows, the body is truncated.)
fn fails_when_drained(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Gzip | Encoding::Deflate)
}

fn failed_before() -> InflateError {
    InflateError::Corrupt(io::Error::other("inflating has failed before"))
}

impl fmt::Debug for Inflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflate")
            .field("encoding", &self.encoding)
            .field("limits", &self.limits)
            .field("consumed", &self.consumed)
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}

impl InflateError {
    /// Whether the error is about the size of the body, and not about its content.
    pub(super) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::RatioTooHigh(_))
    }
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(_) => f.write_str("is damaged"),
            Self::Truncated => f.write_str("ends too early"),
            Self::TrailingData => f.write_str("has something after its end"),
            Self::TooManyMembers => f.write_str("consists of too many parts"),
            Self::TooLarge(limit) => write!(
                f,
                "is larger than the {limit} bytes allowed once it is decompressed"
            ),
            Self::RatioTooHigh(ratio) => write!(
                f,
                "is more than {ratio} times its compressed size once it is decompressed"
            ),
        }
    }
}

impl Error for InflateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Corrupt(error) => Some(error),
            _ => None,
        }
    }
}
