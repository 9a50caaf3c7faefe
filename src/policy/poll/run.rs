//! The loop, and its task.

use std::time::Duration;

use http::{Request, Response};
use tokio::{task::JoinHandle, time::Instant};
use tower_service::Service;

use super::{
    listener::Listener,
    round::{Question, Round},
};
use crate::{attempt::RouteBody, route::RouteTableHandle};

/// How many requests begin at the same time; those to more endpoints are spread over the
/// interval.
const AT_ONCE: usize = 64;

/// Asks all endpoints of the current table at this interval, forever.
///
/// An endpoint that has not answered is not asked again before it has, or its time is over.
pub(crate) async fn run<S, R, L>(
    mut listener: L,
    interval: Duration,
    question: Question,
    table: RouteTableHandle,
    client: S,
) where
    S: Service<Request<RouteBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: Send + 'static,
    L: Listener<R>,
{
    let mut round = Round::new();
    let mut next = Instant::now();
    loop {
        let endpoints = table.load().endpoints();
        listener.begin(&endpoints);
        let batches = endpoints.len().div_ceil(AT_ONCE).max(1);
        let step = interval / u32::try_from(batches).unwrap_or(u32::MAX);
        for batch in 0..batches {
            for endpoint in endpoints.iter().skip(batch * AT_ONCE).take(AT_ONCE) {
                round.ask::<S, R, L>(endpoint, &question, client.clone());
            }
            next = next
                .checked_add(step)
                .unwrap_or(next + Duration::from_secs(86400));
            round.collect_until(next, &mut listener).await;
        }
        // Rounds that were missed are not caught up on.
        next = next.max(Instant::now());
    }
}

/// A task that polls; when it is dropped, the polling stops.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    pub(crate) fn spawn(run: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(run))
    }

    /// Stops it, and waits until it has ended.
    pub(crate) async fn stop(mut self) {
        self.0.abort();
        _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
