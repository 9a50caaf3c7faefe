//! The watch: its options and its handle.

use std::{fmt, sync::Arc, time::Duration};

use ::kube::Client;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};

use super::{
    error::WatchError,
    event_objects::EventObjects,
    rebuild::{Complete, Rebuilder, Sources},
};
use crate::{
    manifest::{Manifests, Reloads, is_dns_label},
    route::RouteTableHandle,
};

/// Changes that wait while a table is made. What exceeds it waits in the connections.
const WAITING: usize = 1024;

/// Replaces the table of a [`RouteTableHandle`] when the ModelRoutes, ModelServers and Pods of a
/// cluster change.
///
/// It lists and watches them, as controllers do, and builds a table from all of them whenever
/// something has changed and then nothing for the [`debounce`](Self::debounce) time, or after at
/// most one second. Objects are read like files: [`Manifests`] defines what their fields and
/// annotations mean. Unchanged parts keep their live state, as with [`RouteTableHandle::replace`].
///
/// Each object fails alone, as with [`Manifests::lenient`]: one with errors stays as it was, or is
/// left out if no good version is known; the log names each error once, and
/// [`RouteTableHandle::last_error`] has all of them as a
/// [`ManifestError`](crate::manifest::ManifestError) until they are fixed. A target whose
/// ModelServer is missing gives its share to its siblings; if none is left, requests are answered
/// with 503.
///
/// While the API server can't be reached, or does not answer within 70 s, the table stays as it is, and
/// the watch is retried after half a second to 15 s. Only a complete list replaces what is known.
///
/// It reads and never writes, except for [`events`](Self::events), and needs the verbs `list` and
/// `watch` of `modelroutes` and `modelservers` (`networking.serving.volcano.sh`), of `pods`, and, if a
/// ModelServer names a Service, of `endpointslices` (`discovery.k8s.io`).
///
/// ```no_run
/// use tower_model_route::{RouteTable, RouteTableHandle, kube::Watch};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let handle = RouteTableHandle::new(RouteTable::builder().build()?);
/// let client = kube::Client::try_default().await?;
/// let watch = Watch::new(client).namespaces(["ml"]).start(&handle)?;
/// watch.ready().await;
/// // ... serve, and keep the watch
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is watched before it is started"]
pub struct Watch {
    client: Client,
    namespaces: Vec<String>,
    labels: Option<String>,
    gateway: Option<String>,
    debounce: Duration,
    events: bool,
    complete: Arc<Complete>,
}

impl Watch {
    /// Watches all namespaces.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            namespaces: Vec::new(),
            labels: None,
            gateway: None,
            debounce: Duration::from_millis(50),
            events: false,
            complete: Arc::new(|manifests| manifests),
        }
    }

    /// Watches these namespaces, in addition to those of earlier calls. Without any it watches all,
    /// for which it needs a ClusterRole.
    ///
    /// Each costs three watches, and a fourth (EndpointSlices) once a ModelServer names a Service.
    pub fn namespaces<I>(mut self, namespaces: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.namespaces
            .extend(namespaces.into_iter().map(Into::into));
        self
    }

    /// Watches only the ModelRoutes and ModelServers with these labels, such as
    /// `team=ml,tier!=test`, in Kubernetes' syntax. By default it watches all.
    ///
    /// A ModelServer that a route names needs the labels as well.
    pub fn label_selector(mut self, labels: impl Into<String>) -> Self {
        self.labels = Some(labels.into());
        self
    }

    /// Serves what Kthena's router would serve through this Gateway; see [`Manifests::gateway`].
    pub fn gateway(mut self, gateway: impl Into<String>) -> Self {
        self.gateway = Some(gateway.into());
        self
    }

    /// The quiet time after a change before a table is built, 50 ms by default.
    ///
    /// If changes never stop, one is built after a second.
    pub fn debounce(mut self, time: Duration) -> Self {
        self.debounce = time;
        self
    }

    /// Writes an Event object for each error in an object, so that `kubectl describe` shows it;
    /// off by default.
    ///
    /// Needs the verbs `create` and `patch` of `events` (`events.k8s.io`) in the namespaces of the
    /// objects. If it may not, the log says so.
    pub fn events(mut self, on: bool) -> Self {
        self.events = on;
        self
    }

    /// Adds what the manifests need besides the cluster's objects, such as
    /// [keys](Manifests::key), each time a table is built.
    pub fn complete(
        mut self,
        complete: impl Fn(Manifests) -> Manifests + Send + Sync + 'static,
    ) -> Self {
        self.complete = Arc::new(complete);
        self
    }

    /// Starts to watch, in tasks of the current Tokio runtime; tables are built on its blocking
    /// threads.
    ///
    /// The handle's table stays until the first lists have arrived; see
    /// [`WatchHandle::ready`].
    ///
    /// # Errors
    ///
    /// If there is no runtime, or a namespace or the Gateway has an invalid
    /// name.
    pub fn start(self, handle: &RouteTableHandle) -> Result<WatchHandle, WatchError> {
        let runtime = Handle::try_current().map_err(|_| WatchError::no_runtime())?;
        let namespaces = self.checked_namespaces()?;
        let complete = self.completed()?;
        let (sender, changes) = mpsc::channel(WAITING);
        let (ready, is_ready) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let events = self.events.then(|| {
            let (events, task) = EventObjects::new(self.client.clone());
            tasks.spawn_on(task, &runtime);
            events
        });
        let sources = Sources {
            client: self.client,
            table: handle.clone(),
            namespaces,
            labels: self.labels,
            changes: sender,
            tasks,
        };
        let rebuilder = Rebuilder::new(sources, changes, self.debounce, ready, events);
        let task = runtime.spawn(rebuilder.run(Reloads::new(handle.clone()), complete));
        Ok(WatchHandle {
            ready: is_ready,
            task,
        })
    }
}

impl Watch {
    /// Each once, in their order; all of them are one without a name.
    fn checked_namespaces(&self) -> Result<Vec<Option<String>>, WatchError> {
        let mut names = self.namespaces.clone();
        names.sort();
        names.dedup();
        if let Some(wrong) = names.iter().find(|name| !is_namespace(name)) {
            return Err(WatchError::no_namespace(wrong));
        }
        Ok(match names.is_empty() {
            true => vec![None],
            false => names.into_iter().map(Some).collect(),
        })
    }

    /// What the manifests need, with the Gateway.
    fn completed(&self) -> Result<Arc<Complete>, WatchError> {
        let complete = Arc::clone(&self.complete);
        let Some(gateway) = self.gateway.clone() else {
            return Ok(complete);
        };
        let through = move |manifests: Manifests| manifests.gateway(gateway.as_str());
        match through(Manifests::new()).check().errors().next() {
            Some(error) => Err(WatchError::no_gateway(error.message())),
            None => Ok(Arc::new(move |manifests| complete(through(manifests)))),
        }
    }
}

fn is_namespace(name: &str) -> bool {
    is_dns_label(name) && name.len() <= 63
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("namespaces", &self.namespaces)
            .field("labels", &self.labels)
            .field("gateway", &self.gateway)
            .field("debounce", &self.debounce)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// The tasks of a [`Watch`]; dropping it ends the watch.
#[derive(Debug)]
#[must_use = "the watch ends when it is dropped"]
pub struct WatchHandle {
    ready: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl WatchHandle {
    /// Waits until the first lists have arrived and the table built from them is
    /// in place.
    ///
    /// A gateway that starts serving only then never answers 404 for a model that the cluster
    /// has.
    pub async fn ready(&self) {
        let mut ready = self.ready.clone();
        if ready.wait_for(|ready| *ready).await.is_err() {
            // The runtime ends, and this with it.
            std::future::pending::<()>().await;
        }
    }

    /// Whether [`ready`](Self::ready) would return at once. Once true, it stays true:
    /// for readiness probes.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Ends the watch and waits for its end. The table stays.
    pub async fn stop(mut self) {
        self.task.abort();
        // The only failure is that it was aborted.
        _ = (&mut self.task).await;
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
