//! What an error of hyper's client means for the connection.

use std::{io, time::Instant};

use http::Extensions;
use hyper_util::client::legacy;
use rustls::AlertDescription;

use super::{connector::Versions, socket::History};
use crate::error::{BoxError, ConnectionFailure, ConnectionFailureKind as Kind, find};

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) start: Instant,
    /// If it asks for a WebSocket, and so in HTTP/1.1: the versions in which its engine is spoken to
    /// otherwise.
    pub(super) upgrades: Option<Versions>,
}

/// The error that the layers get for `error`, which ended `call`: a [`ConnectionFailure`] if the
/// connection failed, and otherwise the error itself.
pub(super) fn told(error: legacy::Error, call: Call) -> BoxError {
    let is_refused = |usual| may_lack_http1(&error, usual);
    let kind = match call.upgrades.is_some_and(is_refused) {
        true => Some(Kind::NotProcessed),
        false => kind(&error, call.start),
    };
    let Some(kind) = kind else {
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
            // A time out is that of HTTP/2's pings.
            cause.is_incomplete_message()
                || cause.is_closed()
                || cause.is_timeout()
                || find::<io::Error>(error).is_some()
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

/// Whether this is how an engine fails that speaks HTTP/2 alone, and was spoken to in HTTP/1.1. That is
/// no fault of it: any client may ask for a WebSocket.
fn may_lack_http1(error: &legacy::Error, usual: Versions) -> bool {
    let alert = AlertDescription::NoApplicationProtocol;
    let is_refused = find(error) == Some(&rustls::Error::AlertReceived(alert));
    is_refused || usual == Versions::Http2 && !error.is_connect()
}

/// Whether the engine says that it has not processed the request: a stream refused, or above
/// the last one that a GOAWAY names (RFC 9113 section 8.7). h2 gives a GOAWAY only to such streams.
fn is_refused(error: &h2::Error) -> bool {
    let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (is_refused || error.is_go_away())
}
