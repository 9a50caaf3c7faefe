//! How slowly a client may send: the longest pause, the lowest rate, the whole time.

use std::time::Duration;

use crate::error::{RouteError, RouteErrorKind};

/// The limits on the time spent waiting for a client, without the time that the
/// engine takes. `Duration::MAX` and a rate of 0 are no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The longest wait for the next bytes.
    pub(crate) pause: Duration,
    /// In bytes per second.
    pub(crate) rate: u64,
    /// For all waits of a body together.
    pub(crate) total: Duration,
}

impl Pace {
    pub(crate) const ANY: Self = Self {
        pause: Duration::MAX,
        rate: 0,
        total: Duration::MAX,
    };

    /// How far a client may fall behind the rate: a minute, or a pause that is allowed.
    fn lag(&self) -> Duration {
        match self.rate {
            0 => Duration::MAX,
            _ => self.pause.max(Duration::from_secs(60)),
        }
    }
}

/// The limit that a client has not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooSlow {
    Paused,
    Rate,
    Total,
}

impl TooSlow {
    pub(super) fn error(self, pace: Pace) -> RouteError {
        let seconds = |time: Duration| time.as_secs_f64();
        let message = match self {
            Self::Paused => format!(
                "the request body was not received in time: nothing came for {} seconds",
                seconds(pace.pause)
            ),
            Self::Rate => format!(
                "the request body was not received in time: it came at less than {} bytes per second",
                pace.rate
            ),
            Self::Total => format!(
                "the request body was not received in time: it took more than {} seconds",
                seconds(pace.total)
            ),
        };
        RouteError::new(RouteErrorKind::BodyTimeout, message)
    }
}

/// How much of each limit the client has used up.
///
/// The rate is a bucket of time: waiting fills it, each byte takes out the time that it may
/// take at that rate. A client that has been fast can therefore not rest on it for hours.
#[derive(Default)]
pub(super) struct Patience {
    /// Waited since the last byte.
    paused: Duration,
    /// How far the client is behind the rate.
    behind: Duration,
    waited: Duration,
}

impl Patience {
    pub(super) fn use_up(&mut self, time: Duration) {
        for used in [&mut self.paused, &mut self.behind, &mut self.waited] {
            *used = used.saturating_add(time);
        }
    }

    pub(super) fn renew(&mut self, bytes: usize, pace: Pace) {
        self.paused = Duration::ZERO;
        if self.behind > Duration::ZERO && pace.rate > 0 {
            let worth = bytes as f64 / pace.rate as f64;
            let worth = Duration::try_from_secs_f64(worth).unwrap_or(Duration::MAX);
            self.behind = self.behind.saturating_sub(worth);
        }
    }

    /// How long the client may still be waited for now, and which limit that is.
    pub(super) fn left(&self, pace: Pace) -> Option<(Duration, TooSlow)> {
        [
            (pace.pause, self.paused, TooSlow::Paused),
            (pace.lag(), self.behind, TooSlow::Rate),
            (pace.total, self.waited, TooSlow::Total),
        ]
        .into_iter()
        .filter(|(limit, ..)| *limit < Duration::MAX)
        .map(|(limit, used, which)| (limit.saturating_sub(used), which))
        .min_by_key(|(left, _)| *left)
    }
}
