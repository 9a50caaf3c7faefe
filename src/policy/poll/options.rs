//! What is asked, and how often.

use std::time::Duration;

use http::{HeaderName, HeaderValue, uri::PathAndQuery};

use super::round::Question;
use crate::config::{BuildError, EngineHeader, MistakeKind};

/// The options that all who poll have.
#[derive(Clone, Debug)]
pub(crate) struct PollOptions {
    /// The name under which mistakes are reported.
    pub(crate) who: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<EngineHeader>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl PollOptions {
    pub(crate) fn new(who: &'static str, path: String) -> Self {
        Self {
            who,
            path,
            headers: Vec::new(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
        }
    }

    pub(crate) fn header(&mut self, name: String, value: String) {
        self.headers.push(EngineHeader::literal(name, value));
    }

    /// At least 1 ms, so that no loop spins.
    pub(crate) fn interval(&mut self, interval: Duration) {
        self.interval = interval.max(Duration::from_millis(1));
    }

    /// What is sent, if all options are valid.
    pub(crate) fn question(&self) -> Result<Question, BuildError> {
        let mistake = match PathAndQuery::try_from(&self.path) {
            _ if !self.path.starts_with('/') => {
                MistakeKind::InvalidPath("it does not begin with a slash".into())
            }
            Err(error) => MistakeKind::InvalidPath(error.to_string().into()),
            Ok(_) if self.timeout.is_zero() => MistakeKind::ZeroTime,
            Ok(path) => {
                return Ok(Question {
                    path,
                    headers: self.parsed_headers()?,
                    timeout: self.timeout,
                });
            }
        };
        Err(BuildError::other(self.who, mistake))
    }

    fn parsed_headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, BuildError> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for header in &self.headers {
            let mistaken = |kind| {
                let (name, _) = header.shown();
                let words = format!("{}, header {name:?}", self.who);
                BuildError::of(self.who, words, kind)
            };
            let (name, value) = header.parsed().map_err(mistaken)?;
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(mistaken(MistakeKind::DuplicateHeader));
            }
            headers.push((name, value));
        }
        Ok(headers)
    }
}
