//! What an error of hyper's client says about the connection.

use std::{io, time::Instant};

use http::Extensions;
use hyper_util::client::legacy;

use super::socket::History;
use crate::error::{BoxError, ConnectionFailure, ConnectionFailureKind as Kind, find};

/// The error that the layers get for `error`, which ended a request that began at `start`: a
/// [`ConnectionFailure`] if the connection failed, and otherwise the error itself.
pub(super) fn told(error: legacy::Error, start: Instant) -> BoxError {
    let Some(kind) = kind(&error, start) else {
        return error.into();
    };
    // h2 keeps the error of the socket to itself.
    let io = find::<h2::Error>(&error).and_then(|error| Some(error.get_io()?.kind()));
    let source = match io {
        Some(kind) => BoxError::from(io::Error::new(kind, error)),
        None => error.into(),
    };
    ConnectionFailure::new(kind, source).into()
}

fn kind(error: &legacy::Error, start: Instant) -> Option<Kind> {
    if error.is_connect() {
        return Some(Kind::NotConnected);
    }
    let cause = find::<hyper::Error>(error)?;
    if cause.is_user() || cause.is_parse() {
        return None;
    }
    if cause.is_canceled() {
        return Some(Kind::NotProcessed);
    }
    let stream = find::<h2::Error>(error);
    if stream.is_some_and(is_refused) {
        return Some(Kind::NotProcessed);
    }
    let is_lost = match stream {
        Some(error) => error.is_io() || error.is_go_away(),
        None => {
            cause.is_incomplete_message() || cause.is_closed() || find::<io::Error>(error).is_some()
        }
    };
    let Some(connected) = error.connect_info() else {
        // It ended during HTTP/2's first words, before a request.
        return is_lost.then_some(Kind::NotConnected);
    };
    let mut facts = Extensions::new();
    connected.get_extras(&mut facts);
    let history: &History = facts.get()?;
    let is_stale = history.is_older_than(start) && !history.answer_has_begun();
    is_lost.then_some(if is_stale { Kind::Stale } else { Kind::Lost })
}

/// Whether the engine says that it has not processed the request: a stream refused, or above
/// the last one that a GOAWAY names (RFC 9113 section 8.7). h2 gives a GOAWAY only to such streams.
fn is_refused(error: &h2::Error) -> bool {
    let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (is_refused || error.is_go_away())
}
