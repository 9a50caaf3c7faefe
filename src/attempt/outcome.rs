//! What an answer or an error says about the endpoint.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use http::{Response, StatusCode, header::RETRY_AFTER};
use tower::load_shed::error::Overloaded;

use crate::{
    error::{RouteError, RouteErrorKind, in_chain, is_timeout},
    server::Outcome,
};

pub(crate) fn outcome_of_answer<R>(response: &Response<R>) -> Outcome {
    // An error that a layer below has already made an answer of.
    if let Some(error) = response.extensions().get::<RouteError>() {
        return match error.kind() {
            RouteErrorKind::UpstreamTimeout => Outcome::TimedOut,
            RouteErrorKind::UpstreamUnreachable => Outcome::Failed,
            RouteErrorKind::Overloaded => Outcome::Shed,
            _ => Outcome::Spoilt,
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

pub(crate) fn outcome_of_error(error: &(dyn Error + 'static)) -> Outcome {
    if in_chain(error, |error| error.is::<Overloaded>()) {
        Outcome::Shed
    } else if in_chain(error, is_timeout) {
        Outcome::TimedOut
    } else {
        Outcome::Failed
    }
}

/// The header's seconds or date (RFC 9110 section 10.2.3), as a time from now.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
