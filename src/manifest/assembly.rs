//! From manifests to one configuration: names resolved, endpoints found, routes in order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    diagnostic::{Diagnostic, Severity},
    full_name,
    inputs::Inputs,
    keys,
    origin::ServerOrigin,
    place::Spot,
    served::Served,
    server_info::ServerInfo,
    workloads::{Workloads, of_workloads},
};
use crate::{
    config::{
        Address, BuildError, Endpoint, MistakeKind, ModelServer, Place, RateLimit,
        RouteTableBuilder, ServerPart, WithoutModel,
    },
    manifest::read::{
        model_route::RouteManifest, nearest::did_you_mean, server_manifest::ServerManifest,
    },
    route::RouteTable,
};

/// A configuration, and where its parts are defined.
#[derive(Debug)]
pub(super) struct Assembly {
    config: RouteTableBuilder,
    servers: Vec<ServerOrigin>,
    routes: Vec<Arc<RouteManifest>>,
    /// What to say of routes that are left out.
    left_out: Option<String>,
}

impl Assembly {
    pub(super) fn new(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Self {
        let config = match &inputs.zone {
            Some(zone) => RouteTable::builder().zone(zone),
            None => RouteTable::builder(),
        };
        let mut assembly = Self {
            config: match &inputs.paths {
                Some(paths) => config.paths(paths.clone()),
                None => config,
            },
            servers: Vec::new(),
            routes: Vec::new(),
            left_out: None,
        };
        let served = Served::of(inputs, found);
        let names = assembly.add_servers(inputs, &served, found);
        assembly.add_routes(inputs, &served, names, found);
        assembly.left_out = served.note;
        if inputs.resolves_names {
            assembly.resolve_names();
        }
        assembly
    }

    /// `None` where there are mistakes. What has not changed since `last` is that table's.
    pub(super) fn build(
        &self,
        last: Option<&RouteTable>,
        found: &mut Vec<Diagnostic>,
    ) -> Option<RouteTable> {
        let last = last.map(|last| &**last.compiled());
        let table = self.config.clone().build_after(last);
        table.map_err(|error| self.explain(&error, found)).ok()
    }

    /// Where a part of the configuration is defined.
    pub(super) fn spot(&self, place: Place) -> Option<&Spot> {
        match place {
            Place::ModelServer(server, part) => Some(self.servers.get(server)?.of(part)),
            Place::ModelRoute(route, part) => Some(self.routes.get(route)?.origin.of(part)),
            Place::WithoutModel => self.takes_unnamed().map(|(_, spot)| spot),
            Place::EngineState | Place::Other(_) => None,
        }
    }

    /// Where the ModelServer of a place is defined.
    pub(super) fn server(&self, place: Place) -> Option<&ServerOrigin> {
        match place {
            Place::ModelServer(server, _) => self.servers.get(server),
            Place::ModelRoute(..) | Place::WithoutModel | Place::EngineState | Place::Other(_) => {
                None
            }
        }
    }

    /// What is true of these manifests, and neither wrong nor a trap.
    pub(super) fn notes(&self) -> Vec<String> {
        let names = self.config.get_model_servers().iter();
        let named = names.zip(&self.servers);
        let without: Vec<&str> = named
            .filter(|(_, origin)| !origin.has_retry)
            .map(|(server, _)| server.get_name())
            .collect();
        let who = match without[..] {
            [] => None,
            [only] => Some(format!("ModelServer {only:?} has")),
            [..] => Some(format!("{} ModelServers have", without.len())),
        };
        let retries = who.map(|who| {
            format!(
                "{who} no \"retry\": as in Kthena, a request goes on at once to up to 4 further \
                 endpoints after a refused or lost connection, 500 or 503; \"retry: {{attempts: \
                 0}}\" turns that off"
            )
        });
        self.left_out.iter().cloned().chain(retries).collect()
    }

    fn add_servers(
        &mut self,
        inputs: &Inputs,
        served: &Served<'_>,
        found: &mut Vec<Diagnostic>,
    ) -> ServerNames {
        let mut names = ServerNames::default();
        let mut given = inputs.given.clone();
        let workloads = Workloads::new(&inputs.resources.workloads);
        for manifest in &inputs.resources.servers {
            let full_name = full_name::join(&manifest.namespace, &manifest.name);
            if let Some(first) = names.by_full_name.get(&full_name) {
                let first = &self.servers[*first].whole;
                let spot = &manifest.origin.whole;
                found.push(duplicate("ModelServer", &full_name, spot, first));
                continue;
            }
            let code = given.remove(&full_name).unwrap_or_default();
            let by_name = given.remove(manifest.server.get_name()).unwrap_or_default();
            if served.leaves_out(&full_name) {
                continue;
            }
            let mut manifest = ServerManifest::clone(manifest);
            let resolved = inputs
                .resolver
                .as_ref()
                .map_or_else(Vec::new, |resolve| resolve(ServerInfo(&manifest)));
            let pods = of_workloads(&workloads, &manifest, found);
            let found_ones = pods
                .into_iter()
                .chain(resolved.into_iter().map(Endpoint::from));
            let more = code.into_iter().chain(by_name).chain(found_ones);
            add_endpoints(&mut manifest, more);
            add_headers(&mut manifest, &inputs.keys, found);
            names.by_full_name.insert(full_name, self.servers.len());
            self.add_server(manifest.server, manifest.origin);
        }
        names.given = given;
        names
    }

    fn add_server(&mut self, server: ModelServer, origin: ServerOrigin) {
        self.config.model_servers_mut().push(server);
        self.servers.push(origin);
    }

    fn resolve_names(&mut self) {
        for server in self.config.model_servers_mut() {
            let resolved = server.get_endpoints().iter().map(|endpoint| {
                let address = Address::parse(endpoint.get_uri());
                let is_name = address.is_ok_and(|address| address.name().is_some());
                endpoint.clone().resolve(is_name)
            });
            let resolved: Vec<_> = resolved.collect();
            *server = server.clone().without_endpoints().endpoints(resolved);
        }
    }

    fn add_routes(
        &mut self,
        inputs: &Inputs,
        served: &Served<'_>,
        mut names: ServerNames,
        found: &mut Vec<Diagnostic>,
    ) {
        let mut seen: HashMap<(&str, &str), &Spot> = HashMap::new();
        for &manifest in &served.routes {
            let name = (&*manifest.namespace, &*manifest.name);
            let spot = &manifest.origin.whole;
            if let Some(first) = seen.insert(name, spot) {
                let name = full_name::join(name.0, name.1);
                found.push(duplicate("ModelRoute", &name, spot, first));
                continue;
            }
            for (external, spot) in &manifest.external {
                let full_name = full_name::join(&manifest.namespace, external);
                self.add_external(full_name, spot, &mut names);
            }
            self.add_route(manifest, inputs.is_lenient, &mut names, found);
        }
        self.add_passwords(inputs, found);
        self.add_without_model(found);
        for server in names.given.keys() {
            let known = names.by_full_name.keys().map(String::as_str);
            let message = format!(
                "endpoints are given for {server:?}, but there is no such ModelServer{}",
                did_you_mean(server, known)
            );
            let severity = match inputs.is_lenient {
                true => Severity::Warning,
                false => Severity::Error,
            };
            found.push(Diagnostic::placeless(severity, "unknown-server", message));
        }
    }

    /// A target that this crate can't reach becomes a ModelServer without endpoints.
    fn add_external(&mut self, full_name: String, spot: &Spot, names: &mut ServerNames) {
        if names.by_full_name.contains_key(&full_name) {
            return;
        }
        let given = names.given.remove(&full_name).unwrap_or_default();
        let server = ModelServer::new(&full_name).endpoints(given);
        names.by_full_name.insert(full_name, self.servers.len());
        let mut origin = ServerOrigin::new(spot.clone());
        // It is no ModelServer of Kthena's: it has the builder's retries.
        origin.has_retry = true;
        self.add_server(server, origin);
    }

    /// Targets and fallbacks are ModelServers of the route's own namespace. Those that are not there
    /// become, where each resource fails alone, ModelServers without endpoints, whose share their
    /// siblings get.
    fn add_route(
        &mut self,
        manifest: &Arc<RouteManifest>,
        is_lenient: bool,
        names: &mut ServerNames,
        found: &mut Vec<Diagnostic>,
    ) {
        let mut is_named_otherwise = false;
        for (target, spot) in manifest.targets() {
            if let Some(name) = self.name_of(target, names) {
                is_named_otherwise |= name != target;
                continue;
            }
            found.push(names.missing(target, spot, is_lenient));
            if is_lenient {
                self.add_external(target.to_owned(), spot, names);
            }
        }
        // A clone of what was read, which is the same in the next table.
        let mut route = manifest.route.clone();
        if is_named_otherwise {
            let rename = |target: &str| self.name_of(target, names).unwrap_or(target).to_owned();
            route = route.rename_model_servers(rename);
        }
        self.config.model_routes_mut().push(route);
        self.routes.push(Arc::clone(manifest));
    }

    /// What the ModelServer of this full name is called in the table.
    fn name_of(&self, full_name: &str, names: &ServerNames) -> Option<&str> {
        let server = *names.by_full_name.get(full_name)?;
        let server = self.config.get_model_servers().get(server)?;
        Some(server.get_name())
    }

    /// Gives limits the passwords of the addresses that they have.
    fn add_passwords(&mut self, inputs: &Inputs, found: &mut Vec<Diagnostic>) {
        let mut unused: BTreeSet<&String> = inputs.redis_passwords.keys().collect();
        let routes = self.config.model_routes_mut();
        for route in routes {
            let limits = route.get_rate_limits().iter();
            if limits.filter_map(RateLimit::get_redis).next().is_none() {
                continue;
            }
            let limits = |limit: RateLimit| {
                let address = limit.get_redis().unwrap_or_default();
                match inputs.redis_passwords.get_key_value(address) {
                    Some((address, password)) => {
                        unused.remove(address);
                        limit.secret_password(password.clone())
                    }
                    None => limit,
                }
            };
            *route = route.clone().map_rate_limits(limits);
        }
        for address in unused {
            let message = format!(
                "a password is given for the Redis at {address:?}, but no limit has that address"
            );
            let code = "unused-password";
            found.push(Diagnostic::placeless(Severity::Warning, code, message));
        }
    }

    /// The first route to which requests without a model go: its name in the table, and where
    /// that is said.
    fn takes_unnamed(&self) -> Option<(&str, &Spot)> {
        let routes = self.config.get_model_routes().iter().zip(&self.routes);
        let mut takes = routes.filter_map(|(route, manifest)| {
            let spot = manifest.origin.without_model.as_ref()?;
            Some((route.get_name(), spot))
        });
        takes.next()
    }

    /// Requests without a model go to one name of the table, which several routes may have.
    fn add_without_model(&mut self, found: &mut Vec<Diagnostic>) {
        let Some((name, first)) = self.takes_unnamed() else {
            return;
        };
        let routes = self.config.get_model_routes().iter().zip(&self.routes);
        let others = routes.filter(|(route, _)| route.get_name() != name);
        for spot in others.filter_map(|(_, it)| it.origin.without_model.as_ref()) {
            let message = format!(
                "requests without a model go to the ModelRoute {name:?} already, in {first}"
            );
            let code = "duplicate-without-model";
            found.push(Diagnostic::new(Severity::Error, code, spot, message));
        }
        let what = WithoutModel::Route(name.to_owned());
        self.config = std::mem::take(&mut self.config).without_model(what);
    }

    /// Gives the mistakes of a [`BuildError`] their places in the files.
    fn explain(&self, error: &BuildError, found: &mut Vec<Diagnostic>) {
        for mistake in error.mistakes() {
            let spot = self.spot(mistake.position());
            let follows = match (mistake.kind(), spot) {
                // Reported already, where the name is defined.
                (MistakeKind::UnknownModelServer, _) => true,
                (kind, Some(spot)) => fields_of(kind).iter().any(|field| {
                    // The missing object may exist and be invalid.
                    found.iter().any(|found| found.is_error_in(spot, field))
                }),
                _ => false,
            };
            if follows {
                continue;
            }
            let code = "invalid-configuration";
            let message = match mistake.kind() {
                // The last of several lines; the others draw the pattern.
                MistakeKind::InvalidRegex(reason) => {
                    let reason = reason.to_string();
                    let reason = reason.lines().last().unwrap_or_default();
                    let reason = reason.trim_start_matches("error: ");
                    format!("the regular expression does not compile: {reason}")
                }
                kind => kind.to_string(),
            };
            found.push(match spot {
                Some(spot) => Diagnostic::new(Severity::Error, code, spot, message),
                None => Diagnostic::placeless(Severity::Error, code, mistake.to_string()),
            });
        }
    }
}

/// Gives the ModelServer its headers, with the keys that they refer to.
fn add_headers(
    manifest: &mut ServerManifest,
    keys: &BTreeMap<String, String>,
    found: &mut Vec<Diagnostic>,
) {
    let headers = std::mem::take(&mut manifest.headers);
    for (position, (name, shown)) in headers.into_iter().enumerate() {
        let value = keys::resolve(&shown, keys).unwrap_or_else(|key| {
            let message = format!("this program has no key named {key:?}");
            let spot = manifest.origin.of(ServerPart::Header(position));
            let error = Diagnostic::new(Severity::Error, "unknown-key", spot, message);
            found.push(error);
            String::new()
        });
        manifest.change(|server| server.header_shown_as(name, shown, value));
    }
}

/// The fields that would not have been missing if they had not been wrong.
fn fields_of(kind: &MistakeKind) -> &'static [&'static str] {
    match kind {
        MistakeKind::NoModel => &["spec.modelName", "spec.loraAdapters"],
        MistakeKind::NoRules => &["spec.rules"],
        MistakeKind::NoTargets => &["targetModels"],
        _ => &[],
    }
}

/// The ModelServers of all namespaces.
#[derive(Debug, Default)]
struct ServerNames {
    /// Their positions.
    by_full_name: HashMap<String, usize>,
    /// Endpoints of which the ModelServer was not found yet.
    given: BTreeMap<String, Vec<Endpoint>>,
    /// For how many of those that are missing the nearest was looked for.
    guesses: usize,
}

impl ServerNames {
    /// Each guess looks at all names: where many are missing, nobody reads them all.
    const MOST_GUESSES: usize = 100;

    /// The diagnostic that there is no ModelServer with this full name.
    fn missing(&mut self, full_name: &str, spot: &Spot, is_lenient: bool) -> Diagnostic {
        let (namespace, name) = full_name::split(full_name).unwrap_or_default();
        self.guesses += 1;
        let guess = match self.guesses {
            ..=Self::MOST_GUESSES => did_you_mean(name, self.within(namespace)),
            _ => String::new(),
        };
        let (severity, effect) = match is_lenient {
            true => (Severity::Warning, ": its share goes to other targets"),
            false => (Severity::Error, ""),
        };
        let message = format!(
            "there is no ModelServer {name:?} in the namespace {namespace:?}{effect}{guess}"
        );
        Diagnostic::new(severity, "unknown-server", spot, message)
    }

    fn within<'n>(&'n self, namespace: &'n str) -> impl Iterator<Item = &'n str> {
        self.by_full_name
            .keys()
            .filter_map(|full_name| full_name::split(full_name))
            .filter(move |(of, _)| *of == namespace)
            .map(|(_, name)| name)
    }
}

fn duplicate(kind: &str, name: &str, spot: &Spot, first: &Spot) -> Diagnostic {
    let message = format!("there is already a {kind} {name:?}, in {first}");
    Diagnostic::new(Severity::Error, "duplicate-resource", spot, message)
}

/// Adds endpoints that are not there yet: a Pod may come by its labels and by a slice.
fn add_endpoints(manifest: &mut ServerManifest, endpoints: impl Iterator<Item = Endpoint>) {
    let normal = |uri: &str| Address::parse(uri).map_or_else(|_| uri.into(), |it| it.uri);
    let own = manifest.server.get_endpoints().iter();
    let mut seen: HashSet<_> = own.map(|endpoint| normal(endpoint.get_uri())).collect();
    for endpoint in endpoints {
        if seen.insert(normal(endpoint.get_uri())) {
            manifest.add_endpoint(endpoint, None);
        }
    }
}
