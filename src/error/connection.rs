//! What is known about a connection that failed.

use std::{error::Error, fmt};

use super::route::BoxError;

/// A connection to an engine failed before any of an answer arrived.
///
/// It says whether the engine may have seen the request. The HTTP client below the layers
/// returns it as its error, or anywhere in the chain of its error's sources, as `engine_client`
/// (feature `client`) does. A failed connection is not always the engine's fault, so the layers
/// above treat each [kind](ConnectionFailureKind) differently.
///
/// ```
/// use std::io;
/// use tower_model_route::{ConnectionFailure, ConnectionFailureKind};
///
/// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
/// let failure = ConnectionFailure::new(ConnectionFailureKind::NotConnected, refused);
/// assert!(!failure.kind().may_have_been_processed());
/// ```
#[derive(Debug)]
pub struct ConnectionFailure {
    kind: ConnectionFailureKind,
    source: BoxError,
}

/// What a [`ConnectionFailure`] says about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionFailureKind {
    /// There was no connection, and nothing was sent: it was refused, the name could not be
    /// resolved, the TLS handshake failed, or any of these took too long.
    NotConnected,
    /// There was a connection, but none of the request was written to it; or the engine said
    /// that it has not processed the request (HTTP/2's `REFUSED_STREAM` and `GOAWAY`, RFC 9113
    /// section 8.7).
    NotProcessed,
    /// A connection that had carried an earlier request was lost before a byte of the answer.
    /// Usually the engine had closed it as idle, or was restarted, and has not seen the request;
    /// but this can't be told apart from an engine that died of the request (RFC 9112 section
    /// 9.3.1).
    Stale,
    /// A fresh connection was lost before a byte of the answer.
    Lost,
}

impl ConnectionFailureKind {
    /// Whether the engine may have processed the request. If not, it can be sent again
    /// whatever its method (RFC 9110 section 9.2.2).
    pub fn may_have_been_processed(self) -> bool {
        match self {
            Self::NotConnected | Self::NotProcessed => false,
            Self::Stale | Self::Lost => true,
        }
    }
}

impl ConnectionFailure {
    /// A failure of this kind. `source` is the client's own error, with the `io::Error`, if there
    /// is one, in its chain of sources.
    pub fn new(
        kind: ConnectionFailureKind,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    /// What is known about the request.
    pub fn kind(&self) -> ConnectionFailureKind {
        self.kind
    }
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ConnectionFailureKind::NotConnected => "no connection to the engine",
            ConnectionFailureKind::NotProcessed => "the engine has not processed the request",
            ConnectionFailureKind::Stale => "a reused connection was lost before an answer",
            ConnectionFailureKind::Lost => "the connection was lost before an answer",
        })
    }
}

impl Error for ConnectionFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::route::in_chain;

    #[test]
    fn the_kind_and_the_io_error_are_found_in_a_chain() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let failure = ConnectionFailure::new(ConnectionFailureKind::Stale, reset);
        let outer = io::Error::other(failure);
        assert!(in_chain(&outer, |error| {
            let failure = error.downcast_ref::<ConnectionFailure>();
            failure.is_some_and(|failure| failure.kind() == ConnectionFailureKind::Stale)
        }));
        assert!(in_chain(&outer, |error| {
            let error = error.downcast_ref::<io::Error>();
            error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
        }));
    }

    #[test]
    fn only_what_was_written_can_have_been_processed() {
        use ConnectionFailureKind::{Lost, NotConnected, NotProcessed, Stale};
        for (kind, may) in [
            (NotConnected, false),
            (NotProcessed, false),
            (Stale, true),
            (Lost, true),
        ] {
            assert_eq!(kind.may_have_been_processed(), may, "{kind:?}");
        }
    }
}
