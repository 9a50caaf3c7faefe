//! The threads that serve clients.

use std::{future, io, thread};

use axum::Router;
use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// Serves the connections that it is given.
///
/// On a thread of its own it has a runtime of its own, and its app has connections to engines of its
/// own: a request stays on the thread of its client, and no thread wakes another for it.
pub(crate) struct Worker {
    pub(crate) app: Router,
    runtime: Handle,
    connections: TaskTracker,
}

/// The place of a connection at its worker, until it is closed.
pub(crate) type Place = TaskTrackerToken;

impl Worker {
    /// On the threads of the caller's runtime.
    pub(crate) fn here(app: Router) -> Self {
        Self::of(Handle::current(), app)
    }

    /// On a thread of its own, which lasts until the program ends.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(app: Router) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let worker = Self::of(runtime.handle().clone(), app);
        let thread = thread::Builder::new().name("worker".to_owned());
        thread.spawn(move || runtime.block_on(future::pending::<()>()))?;
        Ok(worker)
    }

    fn of(runtime: Handle, app: Router) -> Self {
        Self {
            app,
            runtime,
            connections: TaskTracker::new(),
        }
    }

    /// The one with the fewest connections.
    pub(crate) fn idlest(workers: &[Self]) -> &Self {
        workers
            .iter()
            .min_by_key(|worker| worker.connections.len())
            .expect("there is one at least")
    }

    pub(crate) fn place(&self) -> Place {
        self.connections.token()
    }

    /// Serves a connection, as one of `all`.
    pub(crate) fn serve<S>(
        &self,
        all: &TaskTracker,
        socket: TcpStream,
        serve: impl FnOnce(TcpStream) -> S + Send + 'static,
    ) where
        S: Future<Output = ()> + Send,
    {
        // It is this runtime that is told of what arrives.
        let Ok(socket) = socket.into_std() else {
            return;
        };
        let serve = async move {
            if let Ok(socket) = TcpStream::from_std(socket) {
                serve(socket).await;
            }
        };
        _ = all.spawn_on(serve, &self.runtime);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_connection_is_for_the_one_with_the_fewest() {
        let workers = [(); 3].map(|()| Worker::here(Router::new()));
        let next = |expected: usize| std::ptr::eq(Worker::idlest(&workers), &workers[expected]);
        let places: Vec<_> = workers.iter().take(2).map(Worker::place).collect();
        assert!(next(2));
        let _more = [workers[2].place(), workers[2].place()];
        assert!(next(0));
        drop(places);
        let _again = workers[0].place();
        assert!(next(1));
    }
}
