//! What an engine has seen and is doing, for the program that runs it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, Uri},
};

/// An inference request as the engine received it.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Its target; over HTTP/2 with scheme and authority.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

/// The counts of one engine.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    in_flight: AtomicU64,
    log: Mutex<Log>,
}

/// Under one lock, so that the newest request is always the one counted last.
#[derive(Debug, Default)]
struct Log {
    count: u64,
    newest: Option<Received>,
}

impl Monitor {
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.log().count
    }

    pub(crate) fn last_request(&self) -> Option<Received> {
        self.log().newest.clone()
    }

    /// Notes a request whose body has arrived, and returns its number, from 1.
    pub(crate) fn record(&self, request: Received) -> u64 {
        let mut log = self.log();
        log.count += 1;
        log.newest = Some(request);
        log.count
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One inference request in flight, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Call {
    monitor: Arc<Monitor>,
}

impl Call {
    pub(crate) fn begin(monitor: &Arc<Monitor>) -> Self {
        monitor.in_flight.fetch_add(1, Ordering::AcqRel);
        Self {
            monitor: Arc::clone(monitor),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.monitor.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
