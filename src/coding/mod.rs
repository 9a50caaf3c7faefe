//! The content codings of request bodies (RFC 9110 section 8.4.1): which one
//! a request has, undoing it within bounds and doing it again, both in slices.

mod coded;
#[cfg(feature = "decompression")]
mod deflate;
mod encoding;
#[cfg(feature = "decompression")]
mod inflate;
mod inflate_limits;
mod recast;
mod slice;
#[cfg(all(test, feature = "decompression"))]
mod tests;
#[cfg(not(feature = "decompression"))]
mod unavailable;
mod undo;

pub(crate) use self::{coded::Coded, inflate_limits::InflateLimits, recast::Recast, undo::Decoder};
