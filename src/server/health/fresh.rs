//! Slow start: since when an endpoint is new or recovered, and its share of requests until
//! then.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The share of its weight with which a slow start begins.
const FLOOR: f64 = 0.1;

/// When an endpoint last was new in a running table, or came back.
///
/// ModelServers that share the endpoint read it by their own times.
#[derive(Debug)]
pub(crate) struct Fresh {
    base: Instant,
    /// In milliseconds after the base, plus one; 0 if it never was.
    at: AtomicU64,
}

impl Default for Fresh {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            at: AtomicU64::new(0),
        }
    }
}

impl Fresh {
    pub(super) fn begin(&self) {
        self.at.store(self.now() + 1, Ordering::Relaxed);
    }

    /// How much of its weight the endpoint gets: from a tenth to all of it, in a straight line
    /// over this time.
    pub(crate) fn share(&self, over: Duration) -> f64 {
        let Some(at) = self.at.load(Ordering::Relaxed).checked_sub(1) else {
            return 1.0;
        };
        let elapsed = self.now().saturating_sub(at) as f64 / 1000.0;
        let part = (elapsed / over.as_secs_f64()).min(1.0);
        FLOOR + (1.0 - FLOOR) * part
    }

    fn now(&self) -> u64 {
        self.base.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_grows_in_a_straight_line() {
        let (fresh, over) = (Fresh::default(), Duration::from_secs(40));
        let near = |share: f64| (fresh.share(over) - share).abs() < 1e-3;
        assert_eq!(fresh.share(over), 1.0);
        advance(Duration::from_secs(100)).await;
        assert_eq!(fresh.share(over), 1.0);
        fresh.begin();
        for share in [0.1, 0.325, 0.55, 0.775, 1.0, 1.0] {
            assert!(near(share), "{} for {share}", fresh.share(over));
            advance(over / 4).await;
        }
        fresh.begin();
        assert!(near(0.1));
        assert!(fresh.share(Duration::MAX) >= 0.1);
    }
}
