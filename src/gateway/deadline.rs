//! How long a client says it will wait.

use std::time::Duration;

use http::{HeaderName, request::Parts};
use tokio::time::Instant;

use crate::{
    attempt::LEAST_TIME,
    error::{RouteError, RouteErrorKind},
};

/// When a client stops waiting, if it says so in its header of this name.
pub(super) fn of(name: Option<&HeaderName>, head: &Parts) -> Option<Instant> {
    let text = head.headers.get(name?)?.to_str().ok()?.trim();
    let is_decimal = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_decimal)?;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    Instant::now().checked_add(time)
}

/// Fails if too little of the client's time is left to begin an attempt.
pub(super) fn check(deadline: Option<Instant>) -> Result<(), RouteError> {
    match has_time(deadline) {
        true => Ok(()),
        false => Err(RouteError::new(
            RouteErrorKind::UpstreamTimeout,
            "the client's deadline passed before an engine was asked",
        )),
    }
}

/// Whether enough time is left to begin an attempt.
pub(super) fn has_time(until: Option<Instant>) -> bool {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    left.is_none_or(|left| left >= LEAST_TIME)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn seconds_with_decimals_and_nothing_else() {
        let name = HeaderName::from_static("x-request-timeout");
        let left = |text: &str| {
            let request = Request::builder().header(&name, text).body(()).unwrap();
            let deadline = of(Some(&name), &request.into_parts().0)?;
            let left = deadline.saturating_duration_since(Instant::now());
            Some((left.as_secs_f64() * 10.0).round() / 10.0)
        };
        for (text, expected) in [
            ("30", Some(30.0)),
            (" 2.5 ", Some(2.5)),
            ("0", Some(0.0)),
            (".5", Some(0.5)),
            ("", None),
            (".", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("inf", None),
            ("NaN", None),
            ("5s", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(left(text), expected, "{text}");
        }
        let request = Request::new(()).into_parts().0;
        assert_eq!(of(Some(&name), &request), None);
        assert_eq!(of(None, &request), None);
    }
}
