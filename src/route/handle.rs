//! A table that can be replaced while requests are in flight.

#[cfg(feature = "kube")]
use std::collections::BTreeSet;
use std::{
    error::Error,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::SystemTime,
};
#[cfg(feature = "admin")]
use std::{ptr, sync::Weak};

use arc_swap::ArcSwap;

use tracing::{info, warn};

use super::{
    addresses,
    table::{CompiledTable, RouteTable},
};
use crate::{
    config::{Address, BuildError, Endpoint, MistakeKind, RouteTableBuilder},
    pieces::lock,
    server,
};

/// A [`RouteTable`] that can be replaced under load.
///
/// Pass it to [`ModelRouteLayer::new`](crate::ModelRouteLayer::new) in place of
/// a table. Clones share one table: keep one to [`replace`](Self::replace) or
/// [`update`](Self::update) it.
#[derive(Clone)]
pub struct RouteTableHandle(Arc<Current>);

struct Current {
    table: ArcSwap<CompiledTable>,
    /// The result of the last reload. Its lock is held while the table is replaced, so
    /// that concurrent reloads can't carry over state from a table already replaced.
    status: Mutex<Status>,
    #[cfg(feature = "kube")]
    unwatched: Mutex<BTreeSet<Unwatched>>,
}

/// A kind of object of a cluster, as its API has it (`pods`), and the namespace, `*` for all.
#[cfg(feature = "kube")]
pub(crate) type Unwatched = (&'static str, Arc<str>);

#[derive(Default)]
struct Status {
    reloaded: Option<SystemTime>,
    error: Option<Arc<dyn Error + Send + Sync>>,
    /// How many reloads have succeeded, and how many have failed.
    counts: (u64, u64),
}

impl RouteTableHandle {
    /// A handle whose first table is `table`.
    pub fn new(table: RouteTable) -> Self {
        Self(Arc::new(Current {
            table: ArcSwap::new(table.into_compiled()),
            status: Mutex::default(),
            #[cfg(feature = "kube")]
            unwatched: Mutex::default(),
        }))
    }

    /// Replaces the current table with `table`, for every request from now on.
    ///
    /// Requests already sent continue with their old table. Those that wait in a ModelServer's
    /// queue, or are sent again, get its endpoints in the new one. The live state of unchanged
    /// parts is preserved: endpoints with the same URI keep their counts and health, host names
    /// their [addresses](Self::set_addresses), and a ModelServer of the same name its queue; a rule
    /// of the same name in a route of the same name, with the same targets, keeps its picks and,
    /// with the same weights, the position of its split; and an unchanged limit, in a route of the
    /// same name, what is left of it. The retry budget carries over too, unless either table
    /// configured its own. A removed endpoint gets no new requests and finishes those in flight.
    ///
    /// This takes time linear in the size of the table, and does not block
    /// requests.
    pub fn replace(&self, table: RouteTable) {
        self.store(table, &mut self.status());
    }

    /// Changes the configuration of the current table and builds it anew.
    ///
    /// For discovery at run time, from several threads at once without losing a
    /// change. `change` gets the current configuration; if another update or
    /// [`replace`](Self::replace) comes in between, it is called again with the
    /// newer one. Unchanged parts keep their live state, as with `replace`; if
    /// nothing has changed, nothing is replaced.
    ///
    /// ```
    /// use tower_model_route::{ModelRoute, ModelServer, RouteTable, RouteTableHandle, Rule};
    ///
    /// let handle = RouteTableHandle::new(RouteTable::builder().build()?);
    /// handle.update(|config| {
    ///     config
    ///         .model_server(ModelServer::new("small").endpoint("http://10.0.0.7:8000"))
    ///         .model_route(ModelRoute::new("chat").model_name("chat").rule(Rule::new("all").target("small")))
    /// })?;
    /// handle.update(|mut config| {
    ///     config.model_routes_mut().retain(|route| route.get_name() != "chat");
    ///     config
    /// })?;
    /// # Ok::<(), tower_model_route::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Every mistake in the changed configuration, at once. The table then stays as it
    /// is, and [`last_error`](Self::last_error) says why.
    pub fn update(
        &self,
        change: impl Fn(RouteTableBuilder) -> RouteTableBuilder,
    ) -> Result<(), BuildError> {
        self.try_update(|config| Ok(change(config)))
    }

    /// Gives the ModelServer `server` these endpoints in place of those that it has.
    ///
    /// Endpoints that stay keep their counts and their health; removed ones get no new requests
    /// and finish those in flight.
    ///
    /// ```
    /// # use tower_model_route::{ModelServer, RouteTable, RouteTableHandle};
    /// # let table = RouteTable::builder().model_server(ModelServer::new("small")).build()?;
    /// # let handle = RouteTableHandle::new(table);
    /// handle.set_endpoints("small", ["http://10.0.0.7:8000", "http://10.0.0.8:8000"])?;
    /// # Ok::<(), tower_model_route::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no such ModelServer, or one of these is not a valid
    /// endpoint; see [`update`](Self::update).
    pub fn set_endpoints<I>(&self, server: &str, endpoints: I) -> Result<(), BuildError>
    where
        I: IntoIterator,
        I::Item: Into<Endpoint>,
    {
        let endpoints: Vec<Endpoint> = endpoints.into_iter().map(Into::into).collect();
        self.try_update(|mut config| {
            let mut servers = config.model_servers_mut().iter_mut();
            let Some(found) = servers.find(|found| found.get_name() == server) else {
                return Err(BuildError::unknown_model_server(server));
            };
            *found = found
                .clone()
                .without_endpoints()
                .endpoints(endpoints.clone());
            Ok(config)
        })
    }

    /// Takes an endpoint out of service without a reload, for example before an engine is
    /// restarted.
    ///
    /// It gets no new requests, not even if nothing else is healthy: a request that then has
    /// nowhere to go is answered with 503 `no_endpoint`. Requests in flight there run to their end;
    /// [`EndpointSnapshot::in_flight`](crate::EndpointSnapshot::in_flight) shows how many are left.
    /// Health checks go on, and its health is shown as
    /// [`EndpointHealth::Draining`](crate::EndpointHealth::Draining).
    ///
    /// `uri` may be any spelling of the endpoint; each address of a name that is
    /// [resolved](Endpoint::resolve) is an endpoint (`http://engines:8000#10.0.0.7`). This applies
    /// to all ModelServers that have the endpoint. It lasts until [`undrain`](Self::undrain),
    /// across reloads; but an endpoint that is removed from the table is forgotten, and returns as
    /// a new one.
    ///
    /// ```
    /// # use tower_model_route::{ModelServer, RouteTable, RouteTableHandle};
    /// # let server = ModelServer::new("small").endpoint("http://10.0.0.7:8000");
    /// # let handle = RouteTableHandle::new(RouteTable::builder().model_server(server).build()?);
    /// handle.drain("http://10.0.0.7:8000")?;
    /// // ... restart the engine, and then
    /// handle.undrain("http://10.0.0.7:8000")?;
    /// # Ok::<(), tower_model_route::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `uri` is no endpoint, or none of the current table.
    pub fn drain(&self, uri: &str) -> Result<(), BuildError> {
        self.set_draining(uri, true).map(drop)
    }

    /// Puts an endpoint back into service that was [taken out](Self::drain); requests in the
    /// queue may go there at once. Does nothing to one that is in service.
    ///
    /// # Errors
    ///
    /// `uri` is no endpoint, or none of the current table.
    pub fn undrain(&self, uri: &str) -> Result<(), BuildError> {
        self.set_draining(uri, false).map(drop)
    }

    pub(crate) fn set_draining(
        &self,
        uri: &str,
        is_draining: bool,
    ) -> Result<Arc<server::Endpoint>, BuildError> {
        let mistaken = |kind| BuildError::endpoint(uri, kind);
        let address =
            Address::called(uri).map_err(|why| mistaken(MistakeKind::InvalidEndpoint(why)))?;
        // Not while a table is replaced, which may have the endpoint and not be in use yet.
        let _status = self.status();
        let endpoint = self.load().endpoint(&address.uri);
        let endpoint = endpoint.ok_or_else(|| mistaken(MistakeKind::UnknownEndpoint))?;
        endpoint.set_draining(is_draining);
        Ok(endpoint)
    }

    /// Sets the addresses of a host name, each of which becomes one endpoint if the
    /// configuration [says so](Endpoint::resolve). Returns whether anything has changed.
    ///
    /// For addresses that your program learns by itself; `Dns` (feature `dns`) calls it with those
    /// that it finds. They survive [`replace`](Self::replace) and [`update`](Self::update) for as
    /// long as an endpoint of the table resolves this name. Order and duplicates don't matter; of
    /// more than 1,024 the highest are left out. Without addresses the name is one endpoint again.
    ///
    /// Addresses that stay keep their counts and health. New ones are new endpoints, with the
    /// ModelServer's [slow start](crate::TrafficPolicy::slow_start); removed ones get no new
    /// requests and finish those in flight. This does not count as a reload:
    /// [`last_reload`](Self::last_reload) does not change.
    ///
    /// ```
    /// # use std::net::IpAddr;
    /// # use tower_model_route::{Endpoint, ModelServer, RouteTable, RouteTableHandle};
    /// let server = ModelServer::new("small").endpoint(Endpoint::new("http://engines:8000").resolve(true));
    /// let handle = RouteTableHandle::new(RouteTable::builder().model_server(server).build()?);
    /// handle.set_addresses("engines", [IpAddr::from([10, 0, 0, 7]), IpAddr::from([10, 0, 0, 8])]);
    /// let servers = handle.table().servers();
    /// assert_eq!(servers[0].endpoints()[1].uri(), "http://engines:8000#10.0.0.8");
    /// # Ok::<(), tower_model_route::BuildError>(())
    /// ```
    pub fn set_addresses<I>(&self, host: &str, addresses: I) -> bool
    where
        I: IntoIterator<Item = IpAddr>,
    {
        let host = host.to_ascii_lowercase();
        let addresses = addresses::in_order(addresses);
        let (all, most) = (addresses.len(), addresses::MOST);
        let addresses: Vec<_> = addresses.into_iter().take(most).collect();
        let _status = self.status();
        let old = self.load();
        let Some(changed) = old.with_addresses(&host, &addresses) else {
            return false;
        };
        self.put(changed, &old);
        let used = addresses.len();
        if all > used {
            warn!(target: "tower_model_route::dns", host, all, used, "too many addresses");
        }
        info!(target: "tower_model_route::dns", host, addresses = used, "addresses have changed");
        true
    }

    fn try_update(
        &self,
        change: impl Fn(RouteTableBuilder) -> Result<RouteTableBuilder, BuildError>,
    ) -> Result<(), BuildError> {
        loop {
            let current = self.table();
            let changed = change(current.config().clone()).and_then(|config| {
                let is_new = config != *current.config();
                let build = || config.build_after(Some(current.compiled()));
                is_new.then(build).transpose()
            });
            let changed = changed.inspect_err(|error| self.failed(error.clone()))?;
            let Some(table) = changed else {
                // What failed before is over.
                self.status().error = None;
                return Ok(());
            };
            let mut status = self.status();
            if Arc::ptr_eq(current.compiled(), &self.load()) {
                self.store(table, &mut status);
                return Ok(());
            }
        }
    }

    fn store(&self, table: RouteTable, status: &mut Status) {
        let mut compiled = Arc::unwrap_or_clone(table.into_compiled());
        let old = self.load();
        compiled.carry_over_addresses(&old);
        self.put(compiled, &old);
        *status = Status {
            reloaded: Some(SystemTime::now()),
            error: None,
            counts: (status.counts.0 + 1, status.counts.1),
        };
    }

    /// Puts a table in the place of `old`. The lock of the status is held meanwhile.
    fn put(&self, mut compiled: CompiledTable, old: &CompiledTable) {
        compiled.carry_over(old);
        let compiled = Arc::new(compiled);
        self.0.table.store(Arc::clone(&compiled));
        compiled.wake_waiting();
    }

    /// Records a failed reload and its reason. The current table stays in use.
    ///
    /// [`last_error`](Self::last_error) returns the reason until a table is replaced.
    pub fn failed(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let mut status = self.status();
        status.error = Some(error.into().into());
        status.counts.1 += 1;
    }

    /// Puts a table in place, if there is a new one, together with what was left out of it.
    /// `is_news` counts that as a failure.
    #[cfg(any(feature = "watch", feature = "kube"))]
    pub(crate) fn reloaded(
        &self,
        table: Option<RouteTable>,
        left_out: Option<Arc<dyn Error + Send + Sync>>,
        is_news: bool,
    ) {
        let mut status = self.status();
        if let Some(table) = table {
            self.store(table, &mut status);
        }
        status.counts.1 += u64::from(is_news);
        status.error = left_out;
    }

    /// Why the last reload failed; `None` if it succeeded or no reload has happened yet.
    pub fn last_error(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        self.status().error.clone()
    }

    /// When the table was last replaced, if it ever was.
    pub fn last_reload(&self) -> Option<SystemTime> {
        self.status().reloaded
    }

    /// How many reloads have replaced the table, and how many have failed.
    pub fn reloads(&self) -> (u64, u64) {
        self.status().counts
    }

    /// A watch of a cluster can follow these objects no more, or again.
    #[cfg(feature = "kube")]
    pub(crate) fn set_watched(&self, objects: &Unwatched, is_watched: bool) {
        let mut unwatched = lock(&self.0.unwatched);
        match is_watched {
            true => unwatched.remove(objects),
            false => unwatched.insert(objects.clone()),
        };
    }

    /// What is not followed of a cluster, so that the table may no longer be as that says.
    #[cfg(all(feature = "kube", feature = "metrics"))]
    pub(crate) fn unwatched(&self) -> Vec<Unwatched> {
        lock(&self.0.unwatched).iter().cloned().collect()
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.0.status)
    }

    /// The current table.
    pub fn table(&self) -> RouteTable {
        RouteTable::from_compiled(self.load())
    }

    /// Whether this is the current table.
    #[cfg(feature = "admin")]
    pub(crate) fn is(&self, table: &Weak<CompiledTable>) -> bool {
        ptr::eq(Arc::as_ptr(&self.0.table.load()), table.as_ptr())
    }

    pub(crate) fn load(&self) -> Arc<CompiledTable> {
        self.0.table.load_full()
    }
}

impl From<RouteTable> for RouteTableHandle {
    fn from(table: RouteTable) -> Self {
        Self::new(table)
    }
}

impl fmt::Debug for RouteTableHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteTableHandle")
            .field(&self.table())
            .finish()
    }
}
