//! Names that are several endpoints: their known addresses.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    compiler::live_server,
    table::{Addresses, CompiledTable},
};
use crate::{
    config::{Address, Endpoint as Config, ModelServer, RouteTableBuilder},
    server::{Endpoint, Server},
};

/// How many addresses a name may have; the highest are left out.
pub(super) const MOST: usize = 1024;

/// These addresses whatever their order, with an IPv4 address in IPv6 as what it is.
pub(super) fn in_order(addresses: impl IntoIterator<Item = IpAddr>) -> BTreeSet<IpAddr> {
    let addresses = addresses.into_iter();
    addresses.map(|address| address.to_canonical()).collect()
}

impl CompiledTable {
    /// The host names that are to be resolved.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        names(&self.config)
    }

    /// The addresses of a host, if they are known.
    #[cfg(feature = "dns")]
    pub(crate) fn addresses_of(&self, host: &str) -> Option<&[IpAddr]> {
        self.addresses.get(host).map(|addresses| &**addresses)
    }

    /// This table with these addresses of a host; `None` if it has no such host, or has them.
    pub(super) fn with_addresses(&self, host: &str, addresses: &[IpAddr]) -> Option<Self> {
        let known = self.addresses.get(host).map_or(&[][..], |known| known);
        if known == addresses || !self.names().contains(host) {
            return None;
        }
        let mut changed = self.clone();
        let all = Arc::make_mut(&mut changed.addresses);
        match addresses {
            [] => _ = all.remove(host),
            _ => _ = all.insert(host.into(), addresses.into()),
        }
        changed.spread();
        Some(changed)
    }

    /// Takes over the addresses that `old` knows of hosts that this table has too.
    pub(super) fn carry_over_addresses(&mut self, old: &Self) {
        let names = self.names();
        if names.is_empty() {
            return;
        }
        let all = Arc::make_mut(&mut self.addresses);
        let known = old.addresses.iter();
        all.extend(known.map(|(host, addresses)| (host.clone(), Arc::clone(addresses))));
        all.retain(|host, _| names.contains(&**host));
        self.spread();
    }

    /// Rebuilds the endpoints of names from their known addresses.
    fn spread(&mut self) {
        let mut known: HashMap<Arc<str>, Arc<Endpoint>> = HashMap::new();
        for endpoint in self.servers.iter().flat_map(|server| &server.endpoints) {
            known.insert(Arc::clone(endpoint.uri()), Arc::clone(endpoint));
        }
        let configs = self.config.get_model_servers();
        for (server, config) in self.servers.iter_mut().zip(configs) {
            if config.get_endpoints().iter().any(Config::get_resolve) {
                let found = found(config, &self.addresses, &mut known);
                *server = Arc::new(resolved(&self.config, config, server, found));
            }
        }
    }
}

/// The same ModelServer with other endpoints.
fn resolved(
    table: &RouteTableBuilder,
    config: &ModelServer,
    server: &Server,
    endpoints: Vec<(Arc<Endpoint>, usize)>,
) -> Server {
    live_server(table, config, endpoints, server.headers.clone())
}

/// The endpoints of a ModelServer, each with its position in the configuration.
fn found(
    config: &ModelServer,
    addresses: &Addresses,
    known: &mut HashMap<Arc<str>, Arc<Endpoint>>,
) -> Vec<(Arc<Endpoint>, usize)> {
    let mut endpoints = Vec::new();
    for (position, config) in config.get_endpoints().iter().enumerate() {
        // The table was built of it.
        let Ok(address) = Address::parse(config.get_uri()) else {
            continue;
        };
        let ips = name_of(config, &address).and_then(|name| addresses.get(name));
        let all = match ips {
            Some(ips) => ips.iter().filter_map(|ip| address.at(*ip)).collect(),
            None => vec![address],
        };
        for address in all {
            let endpoint = known.entry(Arc::clone(&address.uri));
            let endpoint = endpoint.or_insert_with(|| Arc::new(Endpoint::new(address)));
            endpoints.push((Arc::clone(endpoint), position));
        }
    }
    endpoints
}

fn names(config: &RouteTableBuilder) -> BTreeSet<String> {
    let servers = config.get_model_servers().iter();
    let endpoints = servers.flat_map(ModelServer::get_endpoints);
    let resolving = endpoints.filter(|endpoint| endpoint.get_resolve());
    resolving
        .filter_map(|endpoint| {
            let address = Address::parse(endpoint.get_uri()).ok()?;
            name_of(endpoint, &address).map(str::to_owned)
        })
        .collect()
}

/// The host, if it is to be resolved.
fn name_of<'a>(config: &Config, address: &'a Address) -> Option<&'a str> {
    address.name().filter(|_| config.get_resolve())
}
