//! Classifies answers and errors by what they mean for the endpoint.

use std::{
    error::Error,
    io,
    time::{Duration, SystemTime},
};

use http::{Response, StatusCode, header::RETRY_AFTER};
use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};

use crate::{
    error::{RouteError, RouteErrorKind, in_chain},
    server::Outcome,
};

pub(crate) fn outcome_of_answer<R>(response: &Response<R>) -> Outcome {
    // An error that a layer below has already turned into an answer.
    if let Some(error) = response.extensions().get::<RouteError>() {
        return match error.kind() {
            RouteErrorKind::UpstreamTimeout => Outcome::TimedOut,
            RouteErrorKind::UpstreamUnreachable => Outcome::Failed,
            RouteErrorKind::Overloaded => Outcome::Shed,
            _ => Outcome::ClientFailed,
        };
    }
    let status = response.status();
    let may_say = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let wait = if may_say { retry_after(response) } else { None };
    Outcome::Answered(status, wait)
}

/// The outcome of a call whose error no layer below has classified.
pub(crate) fn outcome_of<R, E>(result: &Result<Response<R>, E>) -> Outcome {
    match result {
        Ok(response) => outcome_of_answer(response),
        Err(_) => Outcome::Failed,
    }
}

pub(crate) fn outcome_of_error(error: &(dyn Error + 'static)) -> Outcome {
    if in_chain(error, |error| error.is::<Overloaded>()) {
        Outcome::Shed
    } else if in_chain(error, is_timeout) {
        Outcome::TimedOut
    } else {
        Outcome::Failed
    }
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
    /// Translates an error of the services below into one for the client.
    ///
    /// tower's `Elapsed` and an I/O timeout become 504, tower's `Overloaded`
    /// 503, anywhere in the chain of sources; any other error becomes 502. A
    /// `RouteError` is returned unchanged. The message does not include the
    /// error's text, which may contain addresses: the error itself is kept as the
    /// [`source`](Error::source), for the logs.
    pub fn from_upstream(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = match error.into().downcast::<Self>() {
            Ok(own) => return *own,
            Err(error) => error,
        };
        let (kind, message) = if in_chain(&*error, is_timeout) {
            return Self::upstream_timeout().with_source(error);
        } else if in_chain(&*error, |error| error.is::<Overloaded>()) {
            (
                RouteErrorKind::Overloaded,
                "the service is overloaded, try again shortly",
            )
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
