//! The content codings of request bodies (RFC 9110 section 8.4.1): which one
//! a request has, undoing it within bounds, and doing it again.

#[cfg(feature = "decompression")]
mod deflate;
mod encoding;
#[cfg(feature = "decompression")]
mod inflate;
mod inflate_limits;
#[cfg(all(test, feature = "decompression"))]
mod tests;
#[cfg(not(feature = "decompression"))]
mod unavailable;
mod undo;

pub(crate) use self::{
    inflate_limits::InflateLimits,
    undo::{Decoder, recode},
};
