//! The options of the resolution, and its task.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    names::{Answer, Names},
    resolve::{Resolve, SystemResolver},
};
use crate::{
    config::{BuildError, MistakeKind},
    route::RouteTableHandle,
};

/// How often the table is looked at for new names.
const LOOK: Duration = Duration::from_secs(1);

/// Resolves the host names of a table's endpoints, and keeps resolving them: each address of a name
/// with [`Endpoint::resolve`](crate::Endpoint::resolve) is an endpoint of its own.
///
/// A headless Service in Kubernetes, or a DNS name with several records, puts several engines
/// behind one name. HTTP clients resolve it and usually take the first address: all requests go
/// to one engine (200 of 200 with `engine_client`), and balance, counts and health are those of
/// the name.
///
/// Each name is resolved at once, and again after the [`interval`](Self::interval), or after the
/// time that the resolver gives. A new address is a new endpoint; a removed one gets no new
/// requests, and those in flight there run to their end. If a look-up fails, takes longer than the
/// [`timeout`](Self::timeout) or finds nothing, the last addresses stay, with at most one warning
/// every ten seconds. Up to 1,024 addresses of a name are used. Names that a reload adds are
/// resolved within a second.
///
/// It is off until you call [`start`](Self::start), and ends when its handle is stopped or dropped;
/// the addresses then stay as they are.
///
/// ```
/// use tower_model_route::{Dns, Endpoint, ModelServer, RouteTable, RouteTableHandle};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engines = Endpoint::new("http://localhost:8000").resolve(true);
/// let table = RouteTable::builder().model_server(ModelServer::new("small").endpoint(engines));
/// let table = RouteTableHandle::new(table.build()?);
/// let dns = Dns::new().start(table.clone())?;
/// dns.resolved().await;
/// // ... and when it is over
/// dns.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Dns<R = SystemResolver> {
    resolver: R,
    interval: Duration,
    timeout: Duration,
}

impl Dns {
    /// With the machine's resolver, every 5 s, each look-up for up to 5 s.
    pub fn new() -> Self {
        Self {
            resolver: SystemResolver,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Dns<R> {
    /// How many names are resolved at the same time.
    const AT_ONCE: usize = 64;

    /// Uses this resolver in place of the machine's.
    pub fn resolver<Q: Resolve>(self, resolver: Q) -> Dns<Q> {
        Dns {
            resolver,
            interval: self.interval,
            timeout: self.timeout,
        }
    }

    /// The time from one answer to the next look-up of the name, 5 s by default; at least 1 ms. It
    /// varies by up to a tenth either way.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How long a look-up may take, 5 s by default; a slower one counts as
    /// failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts a task that resolves the names of the current table of `table`.
    ///
    /// # Errors
    ///
    /// If the timeout is zero.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    pub fn start(self, table: RouteTableHandle) -> Result<DnsHandle, BuildError>
    where
        R: Resolve,
    {
        if self.timeout.is_zero() {
            return Err(BuildError::other("Dns", MistakeKind::ZeroTime));
        }
        let (sender, resolved) = watch::channel(false);
        let task = tokio::spawn(self.run(table, sender));
        Ok(DnsHandle { task, resolved })
    }

    async fn run(self, table: RouteTableHandle, resolved: watch::Sender<bool>)
    where
        R: Resolve,
    {
        let Self {
            resolver,
            interval,
            timeout,
        } = self;
        let resolver = Arc::new(resolver);
        let again = timeout.saturating_add(interval);
        let mut names = Names::default();
        let mut lookups = JoinSet::new();
        loop {
            let now = Instant::now();
            names.keep(table.load().names(), now);
            let room = Self::AT_ONCE.saturating_sub(lookups.len());
            for name in names.take_due(now, room, again) {
                lookups.spawn(look_up(Arc::clone(&resolver), name, timeout));
            }
            if names.are_answered() {
                resolved.send_if_modified(|resolved| !std::mem::replace(resolved, true));
            }
            let look = now + LOOK;
            let until = match names.next() {
                // If there is no room, one that is in progress will make some.
                Some(next) if next > now => look.min(next),
                _ => look,
            };
            let Ok(answer) = timeout_at(until, lookups.join_next()).await else {
                continue;
            };
            match answer {
                Some(Ok((name, answer))) => names.answered(&name, answer, interval, &table),
                // A resolver that panics says nothing; its name comes up again.
                Some(Err(_)) => {}
                None => sleep_until(until).await,
            }
        }
    }
}

async fn look_up<R: Resolve>(resolver: Arc<R>, name: String, time: Duration) -> (String, Answer) {
    let answer = timeout(time, resolver.resolve(&name)).await;
    let answer = answer.unwrap_or_else(|_| Err("it took too long".into()));
    (name, answer)
}

/// The task of a [`Dns`]; when it is dropped, names are no longer resolved.
#[derive(Debug)]
#[must_use = "names are no longer resolved when it is dropped"]
pub struct DnsHandle {
    task: JoinHandle<()>,
    resolved: watch::Receiver<bool>,
}

impl DnsHandle {
    /// Waits until each name of the table was looked up once, successfully or not. A gateway that
    /// waits for this before it listens sends no request to a name as a whole.
    pub async fn resolved(&self) {
        let mut resolved = self.resolved.clone();
        // It fails where the task has ended: then there is nothing to wait for.
        _ = resolved.wait_for(|resolved| *resolved).await;
    }

    /// Stops, and waits until the task has ended.
    pub async fn stop(mut self) {
        self.task.abort();
        _ = (&mut self.task).await;
    }
}

impl Drop for DnsHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
