//! A paused clock: time goes by only while nothing else can go on.

use std::time::Duration;

/// Longer than any time that a test lets go by.
const LIMIT: Duration = Duration::from_secs(100_000);

/// A runtime with such a clock, for each case of a property.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap()
}

/// `future`, or a panic instead of a hang, which takes no real time.
pub async fn within<F: Future>(future: F) -> F::Output {
    crate::time::limited(LIMIT, future).await
}

/// Lets everything go on that can without the clock.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
