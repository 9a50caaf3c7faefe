//! A stack for whatever a manifest may hold.

use std::{io, panic, thread};

/// What a document nested as deep as is allowed needs, and as much again: 3 MiB without optimization.
const STACK_BYTES: usize = 8 << 20;

/// Runs what reads manifests in a thread of its own: how much stack a nested document takes is
/// known, how much the caller has is not.
///
/// # Errors
///
/// There is no thread.
pub(crate) fn on_deep_stack<T: Send>(read: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let reader = thread::Builder::new().stack_size(STACK_BYTES);
        match reader.spawn_scoped(scope, read)?.join() {
            Ok(read) => Ok(read),
            Err(panic) => panic::resume_unwind(panic),
        }
    })
}
