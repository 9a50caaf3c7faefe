//! The supported content codings, and which one a body has.

use http::{HeaderMap, header::CONTENT_ENCODING};

use crate::{config::Encoding, pieces::members};

/// A body is in an unsupported coding, or in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported;

impl Encoding {
    /// The coding that `Content-Encoding` names, if the body has one.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Unsupported> {
        let mut codings = members(headers, &CONTENT_ENCODING)
            .filter(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Ok(None),
            (Some(coding), None) => Self::from_name(coding).map(Some).ok_or(Unsupported),
            (Some(_), Some(_)) => Err(Unsupported),
        }
    }

    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        if cfg!(not(feature = "decompression")) {
            return None;
        }
        const NAMES: [(&[u8], Encoding); 5] = [
            (b"gzip", Encoding::Gzip),
            (b"x-gzip", Encoding::Gzip),
            (b"deflate", Encoding::Deflate),
            (b"br", Encoding::Brotli),
            (b"zstd", Encoding::Zstd),
        ];
        let (_, encoding) = NAMES
            .into_iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))?;
        Some(encoding)
    }
}
