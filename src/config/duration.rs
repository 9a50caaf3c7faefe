//! Durations as Go and manifests write them: `10s`, `1m30s`, `100ms`.

use std::time::Duration;

/// The shortest form of `duration` that Go parses back exactly.
pub(crate) fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos().min(i64::MAX as u128);
    let (seconds, below) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let unit = |nanos: u128| match nanos {
        _ if nanos.is_multiple_of(1_000_000) => format!("{}ms", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => format!("{}us", nanos / 1_000),
        _ => format!("{nanos}ns"),
    };
    match (seconds, below) {
        (0, 0) => "0s".to_owned(),
        (0, below) => unit(below),
        (seconds, 0) if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        (seconds, 0) if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, below) => format!("{seconds}s{}", unit(below)),
    }
}
