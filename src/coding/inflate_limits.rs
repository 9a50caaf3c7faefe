//! Limits on the inflated size of a body.

/// The limits of inflating a body.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "decompression"),
    allow(dead_code, reason = "nothing is inflated")
)]
pub(crate) struct InflateLimits {
    /// The most bytes that may come out.
    pub(crate) max_bytes: u64,
    /// The most bytes that may come out for each byte that went in, counted
    /// once [`RATIO_FLOOR`](Self::RATIO_FLOOR) bytes have come out.
    pub(crate) max_ratio: u32,
}

#[cfg(feature = "decompression")]
impl InflateLimits {
    /// Up to here no ratio is too high: a small body of one repeated token
    /// compresses as well as a bomb does, and costs nothing.
    pub(crate) const RATIO_FLOOR: u64 = 1 << 20;
}
