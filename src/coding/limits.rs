//! How far a body may be inflated.

/// How far a body may be inflated.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "decompression"),
    allow(dead_code, reason = "nothing is inflated")
)]
pub(crate) struct Limits {
    /// The maximum size of the output, in bytes.
    pub(crate) max_bytes: u64,
    /// The maximum number of output bytes per input byte, enforced once the output
    /// exceeds [`RATIO_FLOOR`](Self::RATIO_FLOOR) bytes.
    pub(crate) max_ratio: u32,
}

#[cfg(feature = "decompression")]
impl Limits {
    /// The output size, in bytes, up to which no ratio is too high: a small body of one
    /// repeated token compresses as well as a bomb does, and costs nothing.
    pub(crate) const RATIO_FLOOR: u64 = 1 << 20;
}
