//! Classifies answers and errors by what they mean for the endpoint.

use std::{
    any::Any,
    error::Error,
    io,
    time::{Duration, SystemTime},
};

use http::{Response, StatusCode, header::RETRY_AFTER};
use tower::{buffer::error::Closed, load_shed::error::Overloaded, timeout::error::Elapsed};

use crate::{
    error::{
        BoxError, ConnectionFailure, ConnectionFailureKind, RouteError, RouteErrorKind, find,
        in_chain,
    },
    server::Outcome,
};

pub(crate) fn outcome_of_answer<R>(response: &Response<R>) -> Outcome {
    // An error that a layer below has already turned into an answer.
    if let Some(error) = response.extensions().get::<RouteError>() {
        return outcome_of_own(error);
    }
    let status = response.status();
    match status {
        StatusCode::TOO_MANY_REQUESTS => Outcome::Full(status, retry_after(response)),
        // Anthropic's for being overloaded.
        _ if status.as_u16() == 529 => Outcome::Full(status, retry_after(response)),
        StatusCode::SERVICE_UNAVAILABLE => match retry_after(response) {
            Some(wait) => Outcome::Full(status, Some(wait)),
            None => Outcome::Answered(status),
        },
        _ => Outcome::Answered(status),
    }
}

/// The outcome of a call that no layer of this crate below has classified.
///
/// A timeout or a limit that it ran into belongs to a layer of the caller.
pub(crate) fn outcome_of<R, E: 'static>(result: &Result<Response<R>, E>) -> Outcome {
    let error = match result {
        Ok(response) => return outcome_of_answer(response),
        Err(error) => error,
    };
    match (error as &dyn Any).downcast_ref::<BoxError>() {
        Some(error) if is_own_limit(&**error) || in_chain(&**error, |e| e.is::<Elapsed>()) => {
            Outcome::Shed
        }
        Some(error) => outcome_of_error(&**error),
        None => {
            let error = error as &dyn Any;
            if let Some(failure) = error.downcast_ref::<ConnectionFailure>() {
                outcome_of_error(failure)
            } else if let Some(error) = error.downcast_ref::<RouteError>() {
                outcome_of_error(error)
            } else {
                Outcome::Failed
            }
        }
    }
}

pub(crate) fn outcome_of_error(error: &(dyn Error + 'static)) -> Outcome {
    if let Some(error) = find::<RouteError>(error) {
        return outcome_of_own(error);
    }
    if is_own_limit(error) {
        return Outcome::Shed;
    }
    match connection_failure(error) {
        Some(ConnectionFailureKind::NotConnected) => Outcome::NotConnected,
        Some(ConnectionFailureKind::NotProcessed) => Outcome::NotProcessed,
        Some(ConnectionFailureKind::Stale) => Outcome::Stale,
        Some(ConnectionFailureKind::Lost) => Outcome::Failed,
        None if in_chain(error, is_timeout) => Outcome::TimedOut,
        None if in_chain(error, is_refusal) => Outcome::NotConnected,
        None if in_chain(error, is_loss) => Outcome::Lost,
        None => Outcome::Failed,
    }
}

/// The outcome of an attempt that ended with an error of this crate's: of the request's body, of
/// one of its layers, or of a layer of the caller's that refuses requests.
fn outcome_of_own(error: &RouteError) -> Outcome {
    match (error.kind(), error.source()) {
        (RouteErrorKind::UpstreamTimeout, _) => Outcome::TimedOut,
        (RouteErrorKind::UpstreamUnreachable, Some(source)) => outcome_of_error(source),
        (RouteErrorKind::UpstreamUnreachable | RouteErrorKind::StreamInterrupted, _) => {
            Outcome::Failed
        }
        (RouteErrorKind::Overloaded, _) => Outcome::Shed,
        _ => Outcome::ClientFailed,
    }
}

/// What the HTTP client says about the connection, if it does.
fn connection_failure(error: &(dyn Error + 'static)) -> Option<ConnectionFailureKind> {
    find(error).map(ConnectionFailure::kind)
}

/// Whether the gateway itself refused the request or lacked something: a limit of a layer, file
/// descriptors, ports, memory. No engine is to blame.
fn is_own_limit(error: &(dyn Error + 'static)) -> bool {
    in_chain(error, |error| {
        error.is::<Overloaded>() || error.is::<Closed>() || is_shortage(error)
    })
}

fn is_shortage(error: &(dyn Error + 'static)) -> bool {
    let Some(error) = error.downcast_ref::<io::Error>() else {
        return false;
    };
    let kind = error.kind();
    matches!(kind, io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory)
        // ENFILE and EMFILE, which have no kind.
        || (cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24)))
}

/// Whether the connection was not opened, as far as the error of a client tells that knows
/// nothing of [`ConnectionFailure`].
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
        )
    })
}

/// Whether the connection was lost before an answer.
fn is_loss(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    }
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    })
}

/// The seconds or the date in `Retry-After` (RFC 9110 section 10.2.3), as a time from now.
fn retry_after<R>(response: &Response<R>) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

impl RouteError {
    /// Translates an error of a service below into one for the client.
    ///
    /// tower's `Elapsed` and an I/O timeout become 504. tower's `Overloaded` and `Closed`, and
    /// a shortage of file descriptors, ports or memory, become 503. All of them are found
    /// anywhere in the chain of sources; any other error becomes 502. A `RouteError` is
    /// returned unchanged. The message does not include the error's text, which may contain
    /// addresses: the error itself is kept as the [`source`](Error::source), for the logs.
    pub fn from_upstream(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = match error.into().downcast::<Self>() {
            Ok(own) => return *own,
            Err(error) => error,
        };
        let (kind, message) = if is_own_limit(&*error) {
            (
                RouteErrorKind::Overloaded,
                "the service is overloaded, try again shortly",
            )
        } else if in_chain(&*error, is_timeout) {
            return Self::upstream_timeout().with_source(error);
        } else {
            (
                RouteErrorKind::UpstreamUnreachable,
                "the engine could not be reached",
            )
        };
        Self::new(kind, message).with_source(error)
    }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error.is::<Elapsed>()
        || error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BoxError;

    fn wait(text: &str) -> Option<Duration> {
        let response = Response::builder().header(RETRY_AFTER, text).body(());
        retry_after(&response.unwrap())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait(" 0 "), Some(Duration::ZERO));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        let later = SystemTime::now() + Duration::from_secs(100);
        let later = wait(&httpdate::fmt_http_date(later)).unwrap().as_secs();
        assert!((90..=100).contains(&later), "{later}");
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn errors_from_below_are_told_apart_wherever_they_stand() {
        for (error, kind) in [
            (
                Box::new(Elapsed::new()) as BoxError,
                RouteErrorKind::UpstreamTimeout,
            ),
            (
                Box::new(io::Error::other(Elapsed::new())),
                RouteErrorKind::UpstreamTimeout,
            ),
            (
                Box::new(io::Error::from(io::ErrorKind::TimedOut)),
                RouteErrorKind::UpstreamTimeout,
            ),
            (Box::new(Overloaded::new()), RouteErrorKind::Overloaded),
            ("reset".into(), RouteErrorKind::UpstreamUnreachable),
        ] {
            assert_eq!(RouteError::from_upstream(error).kind(), kind);
        }
    }

    #[test]
    fn an_own_error_from_below_stays_what_it_is() {
        let error = RouteError::from_upstream(RouteError::no_endpoint("m"));
        assert_eq!(error.kind(), RouteErrorKind::NoEndpoint);
    }
}
