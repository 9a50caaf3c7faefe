//! The errors of a request.

use std::{borrow::Cow, error::Error, fmt, io, sync::Arc, time::Duration};

use http::StatusCode;

/// Any error, boxed.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request was not answered by an engine.
///
/// The client gets it as a JSON error in the shape of the API that it uses
/// ([`to_response`](Self::to_response)); layers above find it in the response's extensions:
///
/// ```
/// use tower_model_route::{RouteError, RouteErrorKind};
///
/// fn was_unknown<B>(response: &http::Response<B>) -> bool {
///     response
///         .extensions()
///         .get::<RouteError>()
///         .is_some_and(|error| error.kind() == RouteErrorKind::ModelNotFound)
/// }
/// # let _ = was_unknown::<()>;
/// ```
///
/// The message never contains any of the body except the model's name, cut to
/// 256 characters.
#[derive(Clone, Debug)]
pub struct RouteError {
    kind: RouteErrorKind,
    message: Cow<'static, str>,
    /// How long the client has to wait, where that is not the kind's default.
    wait: Option<Duration>,
    source: Option<Arc<dyn Error + Send + Sync>>,
    model: Option<Arc<str>>,
}

/// The kinds of [`RouteError`], each with its HTTP status and error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteErrorKind {
    /// 400 `invalid_json`: the body is not a JSON object.
    InvalidJson,
    /// 400 `invalid_multipart`: the body is not multipart, or parsers would
    /// read it differently.
    InvalidMultipart,
    /// 400 `missing_model`: the request names no model.
    MissingModel,
    /// 400 `invalid_model`: the model is not a valid string, is empty or is too long.
    InvalidModel,
    /// 400 `ambiguous_model`: the request names the model more than once, or different models.
    AmbiguousModel,
    /// 400 `invalid_body`: the body could not be read to its end, has two Content-Types, or a
    /// transfer coding that does not mark its end.
    InvalidBody,
    /// 400 `invalid_target`: the request's target can't be forwarded.
    InvalidTarget,
    /// 400 `invalid_host`: the request has several `Host` headers, or one that differs from its
    /// target.
    InvalidHost,
    /// 401 `unauthorized`: the caller is not known, with `WWW-Authenticate: Bearer`. For
    /// extractors and layers of your own: the crate itself never uses it.
    Unauthorized,
    /// 403 `forbidden`: the caller may not do this. For extractors and hooks of your own.
    Forbidden,
    /// 404 `model_not_found`: no route has this model or adapter.
    ModelNotFound,
    /// 404 `unknown_path`: the path belongs to no inference API
    /// ([`ApiPaths`](crate::ApiPaths)).
    UnknownPath,
    /// 404 `route_not_found`: the model has routes, but no rule matches; or the
    /// head of a request shows that it names no model.
    RouteNotFound,
    /// 408 `request_timeout`: the body was not received in time.
    BodyTimeout,
    /// 413 `body_too_large`: the body is larger than allowed, or names its model too late.
    BodyTooLarge,
    /// 415 `unsupported_media_type`: by its Content-Type the body is not JSON in UTF-8.
    UnsupportedMediaType,
    /// 415 `unsupported_encoding`: the body is compressed in a way that is not supported.
    UnsupportedEncoding,
    /// 429 `rate_limit_exceeded`: a [`RateLimit`](crate::RateLimit) of the route does not have
    /// enough left.
    RateLimited,
    /// 431 `headers_too_large`: the request has more header fields than can be passed on.
    HeadersTooLarge,
    /// 500 `extractor_error`: a custom `ExtractModel` returned a span outside the request, or
    /// an empty name.
    ExtractorFault,
    /// 501 `unsupported_transfer_coding`: the body has a transfer coding other than `chunked`.
    UnsupportedTransferCoding,
    /// 502 `upstream_unreachable`: the exchange with the engine failed.
    UpstreamUnreachable,
    /// 502 `stream_interrupted`: the engine's answer ended too early.
    StreamInterrupted,
    /// 503 `no_endpoint`: no target of the rule has a usable endpoint.
    NoEndpoint,
    /// 503 `overloaded`: the gateway or the engines are at their limits.
    Overloaded,
    /// 504 `upstream_timeout`: the engine did not answer in time.
    UpstreamTimeout,
    /// 508 `loop_detected`: the request has already passed through this
    /// gateway.
    LoopDetected,
}

impl RouteErrorKind {
    /// The HTTP status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson
            | Self::InvalidMultipart
            | Self::MissingModel
            | Self::InvalidModel
            | Self::AmbiguousModel
            | Self::InvalidBody
            | Self::InvalidTarget
            | Self::InvalidHost => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::ModelNotFound | Self::UnknownPath | Self::RouteNotFound => StatusCode::NOT_FOUND,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::UnsupportedEncoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ExtractorFault => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnsupportedTransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::UpstreamUnreachable | Self::StreamInterrupted => StatusCode::BAD_GATEWAY,
            Self::NoEndpoint | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
        }
    }

    /// The `code` of the JSON error.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidMultipart => "invalid_multipart",
            Self::MissingModel => "missing_model",
            Self::InvalidModel => "invalid_model",
            Self::AmbiguousModel => "ambiguous_model",
            Self::InvalidBody => "invalid_body",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidHost => "invalid_host",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::ModelNotFound => "model_not_found",
            Self::UnknownPath => "unknown_path",
            Self::RouteNotFound => "route_not_found",
            Self::BodyTimeout => "request_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::RateLimited => "rate_limit_exceeded",
            Self::HeadersTooLarge => "headers_too_large",
            Self::ExtractorFault => "extractor_error",
            Self::UnsupportedTransferCoding => "unsupported_transfer_coding",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::StreamInterrupted => "stream_interrupted",
            Self::NoEndpoint => "no_endpoint",
            Self::Overloaded => "overloaded",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::LoopDetected => "loop_detected",
        }
    }

    /// The `param` of the JSON error: `model` if the error is about the model.
    pub(crate) fn param(self) -> Option<&'static str> {
        matches!(
            self,
            Self::MissingModel | Self::InvalidModel | Self::AmbiguousModel | Self::ModelNotFound
        )
        .then_some("model")
    }
}

impl RouteError {
    /// An error of this kind; the client reads `message`.
    ///
    /// For your own [`ExtractModel`](crate::ExtractModel), and for
    /// [`ModelRouteLayer::authorize`](crate::ModelRouteLayer::authorize).
    pub fn new(kind: RouteErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            wait: None,
            source: None,
            model: None,
        }
    }

    /// Gives the cause of the error. Logs and observers see it ([`Error::source`]); the client does not.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Sets what [`retry_after`](Self::retry_after) says, for an error of a kind that has it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_model_route::{RouteError, RouteErrorKind};
    ///
    /// let error = RouteError::new(RouteErrorKind::RateLimited, "your daily quota is used up")
    ///     .with_retry_after(Duration::from_secs(3600));
    /// assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    /// ```
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    fn about(self, model: &str) -> Self {
        Self {
            model: Some(Excerpt(model).as_str().into()),
            ..self
        }
    }

    pub(crate) fn model_not_found(model: &str) -> Self {
        Self::new(
            RouteErrorKind::ModelNotFound,
            format!("the model `{}` does not exist", Excerpt(model)),
        )
        .about(model)
    }

    pub(crate) fn route_not_found(model: &str) -> Self {
        Self::new(
            RouteErrorKind::RouteNotFound,
            format!(
                "no rule for the model `{}` matches this request",
                Excerpt(model)
            ),
        )
        .about(model)
    }

    pub(crate) fn model_too_late(limit: u64) -> Self {
        Self::new(
            RouteErrorKind::BodyTooLarge,
            format!("the request body names no model in its first {limit} bytes"),
        )
    }

    /// A clone of a body was polled whose bytes are not kept.
    pub(crate) fn too_large_to_repeat() -> Self {
        Self::new(
            RouteErrorKind::InvalidBody,
            "the request body is too large to be sent again",
        )
    }

    pub(crate) fn not_buffered(limit: u64) -> Self {
        Self::new(
            RouteErrorKind::BodyTooLarge,
            format!(
                "the request body must be read as a whole, but is larger than the {limit} bytes \
                 that may be buffered"
            ),
        )
    }

    /// A limit of a layer above, which does not say how many bytes it allows.
    pub(crate) fn above_outer_limit() -> Self {
        Self::new(
            RouteErrorKind::BodyTooLarge,
            "the request body is larger than this server allows",
        )
    }

    pub(crate) fn body_too_large(limit: u64) -> Self {
        Self::new(
            RouteErrorKind::BodyTooLarge,
            format!("the request body is larger than the {limit} bytes allowed"),
        )
    }

    /// The limit on `what` will not have enough left for this long.
    pub(crate) fn rate_limited(what: &str, wait: Duration) -> Self {
        let seconds = whole_seconds(wait);
        let unit = if seconds == 1 { "second" } else { "seconds" };
        Self::new(
            RouteErrorKind::RateLimited,
            format!("the limit on {what} is reached, try again in {seconds} {unit}"),
        )
        .with_retry_after(wait)
    }

    pub(crate) fn overloaded(model: &str) -> Self {
        Self::new(
            RouteErrorKind::Overloaded,
            format!(
                "all engines for the model `{}` are busy, try again shortly",
                Excerpt(model)
            ),
        )
    }

    pub(crate) fn upstream_timeout() -> Self {
        Self::new(
            RouteErrorKind::UpstreamTimeout,
            "the engine did not answer in time",
        )
    }

    pub(crate) fn stalled() -> Self {
        Self::new(
            RouteErrorKind::UpstreamTimeout,
            "the engine has stopped in the middle of its answer",
        )
    }

    /// The code in the error event of a stream that was interrupted, for whatever reason.
    pub(crate) const INTERRUPTED: &'static str = "stream_interrupted";

    /// An answer that ended without its terminal event, or within an event.
    pub(crate) fn interrupted() -> Self {
        Self::new(
            RouteErrorKind::StreamInterrupted,
            "the engine has ended its answer too early",
        )
    }

    /// An answer that is not a stream although its head says so.
    pub(crate) fn no_stream() -> Self {
        Self::new(
            RouteErrorKind::UpstreamUnreachable,
            "the engine's answer is not the stream that was asked for",
        )
    }

    /// An engine's refusal, behind a head that was sent already.
    pub(crate) fn refused_late(status: StatusCode) -> Self {
        Self::new(
            RouteErrorKind::UpstreamUnreachable,
            format!(
                "the engine has answered with the status {}",
                status.as_u16()
            ),
        )
    }

    /// A connection that was lost in the middle of an answer.
    pub(crate) fn broken_off() -> Self {
        Self::new(
            RouteErrorKind::StreamInterrupted,
            "the connection to the engine was lost in the middle of its answer",
        )
    }

    pub(crate) fn no_endpoint(model: &str) -> Self {
        Self::new(
            RouteErrorKind::NoEndpoint,
            format!(
                "no engine for the model `{}` is available, try again shortly",
                Excerpt(model)
            ),
        )
    }

    pub(crate) fn draining(model: &str) -> Self {
        Self::new(
            RouteErrorKind::NoEndpoint,
            format!(
                "all engines for the model `{}` are out of service, try again shortly",
                Excerpt(model)
            ),
        )
    }

    /// The error's kind.
    pub fn kind(&self) -> RouteErrorKind {
        self.kind
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// The message that the client reads.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The model that the client asked for, if no rule was found for it; cut to 256 characters.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// How long a 429 or a 503 tells the client to wait; `None` for other errors. The default is 5 s
    /// for `NoEndpoint`, and 1 s for `Overloaded` and `RateLimited`. The header (`Retry-After`) rounds
    /// it up to whole seconds, at least one.
    pub fn retry_after(&self) -> Option<Duration> {
        let default = match self.kind {
            RouteErrorKind::NoEndpoint => Duration::from_secs(5),
            RouteErrorKind::Overloaded | RouteErrorKind::RateLimited => Duration::from_secs(1),
            _ => return None,
        };
        Some(self.wait.unwrap_or(default))
    }
}

/// As `Retry-After` has it: no client comes too early, and none at once.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    let begun = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(begun).max(1)
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for RouteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// Whether `is` is true for `error` or one of its sources.
pub(crate) fn in_chain(
    error: &(dyn Error + 'static),
    is: impl Fn(&(dyn Error + 'static)) -> bool,
) -> bool {
    chain(error).any(is)
}

/// The first of `error` and its sources that is an `E`.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// An error with all its causes, for people.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = String::new();
        for (position, error) in chain(self.0).enumerate() {
            let text = error.to_string();
            // Some errors say what their cause says.
            if position == 0 {
                f.write_str(&text)?;
            } else if !before.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            before = text;
        }
        Ok(())
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // The `source` of an io::Error skips the error that it wraps.
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// A client's text, cut to a length that fits into a message or a log line.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl Excerpt<'_> {
    const CHARS: usize = 256;

    pub(crate) fn as_str(&self) -> &str {
        match self.0.char_indices().nth(Self::CHARS) {
            Some((end, _)) => &self.0[..end],
            None => self.0,
        }
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.as_str();
        f.write_str(shown)?;
        if shown.len() < self.0.len() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_whole_seconds_and_never_too_short() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let error = RouteError::model_not_found(&"ä".repeat(1000));
        assert!(error.message().len() < 600);
        assert!(error.message().contains("ä...`"));
    }
}
