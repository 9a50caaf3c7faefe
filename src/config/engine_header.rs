//! A header that goes to a ModelServer's engines, such as their API key.

use std::fmt;

use http::{HeaderName, HeaderValue};

use super::mistake::MistakeKind;

/// The value is a secret: only [`parsed`](Self::parsed) gives it. Everything else, and everyone who
/// reads a configuration, gets what is `shown` instead.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EngineHeader {
    name: String,
    shown: String,
    value: String,
}

/// The fields of a connection or of a body, which are the gateway's to set.
const RESERVED: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl EngineHeader {
    /// One whose value stands in the program: it is shown as a reference named after it.
    pub(crate) fn literal(name: String, value: String) -> Self {
        let key = name.to_ascii_uppercase().replace('-', "_");
        let shown = format!("${{{key}}}");
        Self { name, shown, value }
    }

    /// One whose value was made of the text that is shown.
    #[cfg(feature = "manifest")]
    pub(super) fn of(name: String, shown: String, value: String) -> Self {
        Self { name, shown, value }
    }

    pub(crate) fn shown(&self) -> (&str, &str) {
        (&self.name, &self.shown)
    }

    pub(crate) fn parsed(&self) -> Result<(HeaderName, HeaderValue), MistakeKind> {
        let name = HeaderName::try_from(&self.name).map_err(|_| MistakeKind::InvalidHeaderName)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(MistakeKind::ReservedHeader);
        }
        let value = HeaderValue::try_from(&self.value);
        let mut value = value.map_err(|_| MistakeKind::InvalidHeaderValue)?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

impl fmt::Debug for EngineHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.name, self.shown)
    }
}

#[cfg(feature = "serde")]
pub(super) fn serialize<S: serde::Serializer>(
    headers: &[EngineHeader],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(EngineHeader::shown))
}
