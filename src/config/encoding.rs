//! The content codings of request bodies.

use std::fmt;

/// A coding of request bodies (RFC 9110 section 8.4.1), by its name in `Content-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// `gzip` or `x-gzip` (RFC 1952): one member or several.
    Gzip,
    /// `deflate`: the zlib format (RFC 1950), or the bare stream (RFC 1951)
    /// that some clients send under this name.
    Deflate,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878): one frame or several, with windows of at most 8 MiB
    /// (RFC 9659).
    Zstd,
}

impl Encoding {
    #[cfg(feature = "manifest")]
    pub(crate) const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// The coding's name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Encoding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
