//! Real time: how long a test waits.

use std::time::Duration;

/// Far more than anything here needs, so that it only ever ends a test that has failed; and less
/// than the layer's own `body_timeout`, so that a request that only that one ends is seen.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a test waits where it can only see that nothing happens.
pub const A_WHILE: Duration = Duration::from_millis(80);

/// `future`, or a panic where it hangs.
pub async fn within<F: Future>(future: F) -> F::Output {
    limited(LIMIT, future).await
}

/// Waits until `holds`: for what another task does in its own time.
pub async fn eventually(holds: impl Fn() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) async fn limited<F: Future>(limit: Duration, future: F) -> F::Output {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("nothing happened for {limit:?}"),
    }
}
