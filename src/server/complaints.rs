//! Warnings about an endpoint that are logged now and then, however often their
//! cause occurs.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::pieces::lock;

/// How often at most.
const EACH: Duration = Duration::from_secs(10);

/// When it was said last, and how often it was not said since.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<Option<(Instant, u64)>>);

impl Complaints {
    /// Whether it is to be said now; then how often it was not said since the last time.
    pub(crate) fn due(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = lock(&self.0);
        match &mut *last {
            Some((said, unsaid)) if now.saturating_duration_since(*said) < EACH => {
                *unsaid += 1;
                None
            }
            other => other
                .replace((now, 0))
                .map_or(Some(0), |(_, unsaid)| Some(unsaid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn at_once_and_then_every_ten_seconds() {
        let complaints = Complaints::default();
        assert_eq!(complaints.due(), Some(0));
        for _ in 0..7 {
            assert_eq!(complaints.due(), None);
        }
        tokio::time::advance(EACH).await;
        assert_eq!(complaints.due(), Some(7));
        assert_eq!(complaints.due(), None);
    }
}
