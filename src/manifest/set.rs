//! The manifests of a gateway, from reading to the table.

use std::{collections::BTreeSet, fmt, path::Path, sync::Arc};

use super::{
    assembly::Assembly,
    deep_stack::on_deep_stack,
    diagnostic::{Diagnostic, ManifestError, Report},
    files::{self, Texts},
    full_name,
    gateway::{self, Gateway},
    inputs::Inputs,
    lenient::{self, Outcome},
    lints::lints,
    place::{FieldPath, Source, Spot},
    server_info::ServerInfo,
};
use crate::{
    config::{ApiPaths, Endpoint, Secret},
    manifest::{
        read::{
            fields::{Field, Reader},
            metadata::DEFAULT_NAMESPACE,
            resource::Resources,
        },
        yaml::{documents, node},
    },
    route::RouteTable,
};

/// ModelRoutes and ModelServers as Kthena's manifests describe them.
///
/// Reading never fails: errors are collected, and [`build`](Self::build)
/// reports all of them at once, including those between manifests.
///
/// ```
/// use tower_model_route::manifest::Manifests;
///
/// let manifests = Manifests::from_yaml(
///     "
/// apiVersion: networking.serving.volcano.sh/v1alpha1
/// kind: ModelServer
/// metadata:
///   name: small
/// spec:
///   model: deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
///   inferenceEngine: vLLM
///   workloadPort:
///     port: 8000
/// ---
/// apiVersion: networking.serving.volcano.sh/v1alpha1
/// kind: ModelRoute
/// metadata:
///   name: chat
/// spec:
///   modelName: deepseek-chat
///   rules:
///   - targetModels:
///     - modelServerName: small
/// ",
/// )
/// .endpoints("small", ["http://10.0.0.1:8000"]);
/// let table = manifests.build()?;
/// assert_eq!(table.servers()[0].name(), "default/small");
/// # Ok::<(), tower_model_route::manifest::ManifestError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Manifests {
    found: Vec<Diagnostic>,
    inputs: Inputs,
    denied: BTreeSet<String>,
}

/// A table of manifests, and what there is to say.
pub(super) struct Built {
    pub(super) table: RouteTable,
    #[cfg(any(feature = "watch", feature = "kube"))]
    pub(super) report: Report,
    /// What it is made of.
    #[cfg(any(feature = "watch", feature = "kube"))]
    pub(super) resources: Resources,
}

impl Manifests {
    /// No manifests.
    pub fn new() -> Self {
        Self::default()
    }

    /// The documents in a string, YAML or JSON, one or several.
    ///
    /// Messages name it `<yaml>`.
    pub fn from_yaml(text: &str) -> Self {
        let mut manifests = Self::new();
        manifests.add(&Arc::from("<yaml>"), text);
        manifests
    }

    /// The documents of a file, or of all `*.yaml`, `*.yml` and `*.json` of a directory.
    ///
    /// As with `kubectl apply -f`, subdirectories are not read. Files are read
    /// in the order of their names; those whose name begins with a dot are
    /// skipped, and one that is not a regular file, such as a pipe, is an error. This reads from the
    /// disk, and blocks.
    pub fn from_path(path: impl AsRef<Path>) -> Self {
        Self::from_texts(&files::read(path.as_ref()))
    }

    pub(super) fn from_texts(texts: &Texts) -> Self {
        let mut manifests = Self::new();
        for (name, text) in texts {
            match text {
                Ok(text) => manifests.add(&name.as_str().into(), text),
                Err(reason) => {
                    let found = Diagnostic::of_file("unreadable", name, reason.clone());
                    manifests.found.push(found);
                }
            }
        }
        manifests
    }

    /// Adds the other's manifests and endpoints. If both have a resolver, a list of
    /// paths, a zone, a Gateway or an earlier table, the other's is kept.
    pub fn merge(mut self, other: Self) -> Self {
        self.found.extend(other.found);
        self.inputs.resources.append(other.inputs.resources);
        for (server, uris) in other.inputs.given {
            self.inputs.given.entry(server).or_default().extend(uris);
        }
        self.inputs.keys.extend(other.inputs.keys);
        let passwords = other.inputs.redis_passwords;
        self.inputs.redis_passwords.extend(passwords);
        self.inputs.resolver = other.inputs.resolver.or(self.inputs.resolver);
        self.inputs.paths = other.inputs.paths.or(self.inputs.paths);
        self.inputs.zone = other.inputs.zone.or(self.inputs.zone);
        self.inputs.gateway = other.inputs.gateway.or(self.inputs.gateway);
        self.inputs.last = other.inputs.last.or(self.inputs.last);
        self.inputs.resolves_names |= other.inputs.resolves_names;
        self.inputs.is_lenient |= other.inputs.is_lenient;
        self.denied.extend(other.denied);
        self
    }

    /// Paths that may reach an engine in addition to those of the inference
    /// APIs, as with
    /// [`RouteTableBuilder::paths`](crate::RouteTableBuilder::paths).
    pub fn paths(mut self, paths: ApiPaths) -> Self {
        self.inputs.paths = Some(paths);
        self
    }

    /// Turns the warnings with this [code](Diagnostic::code) into errors, for
    /// [`build`](Self::build) too; an unknown code does nothing.
    ///
    /// ```
    /// # use tower_model_route::manifest::Manifests;
    /// # let text = "";
    /// let manifests = Manifests::from_yaml(text)
    ///     .deny("not-acted-on")
    ///     .deny("refused-by-kthena");
    /// ```
    pub fn deny(mut self, code: impl Into<String>) -> Self {
        self.denied.insert(code.into());
        self
    }

    /// Lets each ModelRoute and each ModelServer fail alone, as befits a cluster with the objects
    /// of many teams.
    ///
    /// One with errors is left out, or stays as it was if a [`Watch`](super::Watch) has read a good
    /// version of it. A target whose ModelServer is missing gives its share to its siblings; if
    /// none is left, requests are answered with 503. [`build`](Self::build) fails only for errors
    /// that are not in a resource, and [`check`](Self::check) says what was left out, and why. By
    /// default a single error means no table, which suits files that are changed together.
    ///
    /// ```
    /// # use tower_model_route::manifest::Manifests;
    /// let route = |name: &str, weight: i32| {
    ///     format!("
    /// apiVersion: networking.serving.volcano.sh/v1alpha1
    /// kind: ModelRoute
    /// metadata: {{name: {name}}}
    /// spec:
    ///   modelName: {name}
    ///   rules: [{{targetModels: [{{modelServerName: small, weight: {weight}}}]}}]
    /// ---")
    /// };
    /// let text = route("good", 100) + &route("bad", 300);
    /// assert!(Manifests::from_yaml(&text).build().is_err());
    /// let lenient = Manifests::from_yaml(&text).lenient();
    /// assert_eq!(lenient.build()?.config().get_model_routes().len(), 1);
    /// assert_eq!(lenient.check().errors().count(), 1);
    /// # Ok::<(), tower_model_route::manifest::ManifestError>(())
    /// ```
    pub fn lenient(mut self) -> Self {
        self.inputs.is_lenient = true;
        self
    }

    /// Names the table that the new one will replace: unchanged parts are taken from it.
    ///
    /// The new table is the same as without this. But if only endpoints have changed, in a
    /// large cluster, the cost of building and [replacing](crate::RouteTableHandle::replace) it
    /// depends on those alone, and the routes are in memory only once, however many tables are
    /// still in use.
    ///
    /// ```
    /// # use tower_model_route::{RouteTable, RouteTableHandle, manifest::Manifests};
    /// # let handle = RouteTableHandle::new(RouteTable::builder().build().unwrap());
    /// # let text = "";
    /// let manifests = Manifests::from_yaml(text).after(&handle.table());
    /// handle.replace(manifests.build()?);
    /// # Ok::<(), tower_model_route::manifest::ManifestError>(())
    /// ```
    pub fn after(mut self, table: &RouteTable) -> Self {
        self.inputs.last = Some(table.clone());
        self
    }

    /// Gives a ModelServer endpoints in addition to those from manifests: URIs, or
    /// [`Endpoint`]s with options.
    ///
    /// `server` is `NAMESPACE/NAME`, or `NAME` in the namespace `default`; an
    /// unknown one is an error of [`build`](Self::build).
    pub fn endpoints<I>(mut self, server: impl Into<String>, endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Endpoint>,
    {
        let mut server = server.into();
        if !server.contains('/') {
            server = full_name::join(DEFAULT_NAMESPACE, &server);
        }
        let given = self.inputs.given.entry(server).or_default();
        given.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// [Resolves](Endpoint::resolve) every endpoint whose host is a name, those of
    /// manifests too: each address is an endpoint as soon as it is known.
    pub fn resolve_names(mut self) -> Self {
        self.inputs.resolves_names = true;
        self
    }

    /// The zone that the gateway is in, as [`RouteTableBuilder::zone`](crate::RouteTableBuilder::zone).
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.inputs.zone = Some(zone.into());
        self
    }

    /// Allows ModelServers to refer to this key, which your program may have from its environment
    /// or from a file, as `${NAME}` in the headers for their engines (annotation
    /// `tower-model-route/headers`). A manifest never reads either by itself, and only the
    /// reference is ever written or shown.
    ///
    /// A reference to any other key is an error of [`build`](Self::build).
    pub fn key(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.inputs.keys.insert(name.into(), value.into());
        self
    }

    /// The password for the Redis at `address`, a `host:port` as limits name it. It is sent to no
    /// other address, so a manifest that names another Redis can't obtain it.
    ///
    /// If no limit has the address, that is the warning `unused-password`.
    pub fn redis_password(
        mut self,
        address: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        let password = Secret::new(password);
        self.inputs.redis_passwords.insert(address.into(), password);
        self
    }

    /// Asks `resolver` for endpoints of each ModelServer, in addition to those from elsewhere.
    pub fn resolve<F>(mut self, resolver: F) -> Self
    where
        F: Fn(ServerInfo<'_>) -> Vec<String> + Send + Sync + 'static,
    {
        self.inputs.resolver = Some(Arc::new(resolver));
        self
    }

    /// Serves only what Kthena's router would serve through this Gateway of Kubernetes' Gateway API:
    /// `NAMESPACE/NAME`, or `NAMESPACE/NAME/SECTION` for one of its listeners.
    ///
    /// A ModelRoute with `parentRefs` is served if one of them names it: by default a `Gateway` of
    /// the group `gateway.networking.k8s.io` in the route's own namespace. A `sectionName` must be
    /// that of the listener, if one is given; a `port` is ignored, as in Kthena. A route without
    /// `parentRefs` belongs to all Gateways of its own namespace.
    ///
    /// The other routes are left out, with the ModelServers that only they use;
    /// [`Report::notes`] says how many. Without this setting every route is served, and
    /// `parentRefs` are warnings.
    ///
    /// A name in another form is an error of [`build`](Self::build).
    ///
    /// ```
    /// # use tower_model_route::manifest::Manifests;
    /// let text = "
    /// apiVersion: networking.serving.volcano.sh/v1alpha1
    /// kind: ModelServer
    /// metadata: {name: small, namespace: ml}
    /// spec: {endpoints: [{name: a, address: 10.0.0.1, port: 8000}]}
    /// ---
    /// apiVersion: networking.serving.volcano.sh/v1alpha1
    /// kind: ModelRoute
    /// metadata: {name: chat, namespace: ml}
    /// spec:
    ///   modelName: chat
    ///   parentRefs: [{name: inference, namespace: gateways}]
    ///   rules: [{targetModels: [{modelServerName: small}]}]
    /// ";
    /// let manifests = Manifests::from_yaml(text);
    /// let count = |gateway: &str| {
    ///     let table = manifests.clone().gateway(gateway).build()?;
    ///     Ok::<_, tower_model_route::manifest::ManifestError>(table.config().get_model_routes().len())
    /// };
    /// assert_eq!(count("gateways/inference")?, 1);
    /// assert_eq!(count("ml/inference")?, 0);
    /// # Ok::<(), tower_model_route::manifest::ManifestError>(())
    /// ```
    pub fn gateway(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.inputs.gateway = Some(Gateway::parse(&name).ok_or(name));
        self
    }

    /// Builds the table.
    ///
    /// Everything in it is named `NAMESPACE/NAME`. Routes with the same model name are tried in
    /// the order of `creationTimestamp`, then `resourceVersion` as a number, then
    /// `NAMESPACE/NAME`; those without a time come before those with one, and likewise for the
    /// version.
    ///
    /// # Errors
    ///
    /// Every error in the manifests and between them, at once, each with its
    /// file, document, line and field.
    pub fn build(&self) -> Result<RouteTable, ManifestError> {
        self.build_after(&Resources::default())
            .map(|built| built.table)
    }

    /// The same after a table that was made of the `last` resources.
    pub(super) fn build_after(&self, last: &Resources) -> Result<Built, ManifestError> {
        // The linter's warnings only count where some are denied.
        let (outcome, report) = self.assemble(!self.denied.is_empty(), last);
        match outcome.table {
            Some(table) if self.inputs.is_lenient || !report.has_errors() => Ok(Built {
                table,
                #[cfg(any(feature = "watch", feature = "kube"))]
                report,
                #[cfg(any(feature = "watch", feature = "kube"))]
                resources: outcome.resources,
            }),
            _ => Err(ManifestError::new(report)),
        }
    }

    /// Reports everything: errors, warnings, and what [`RouteTable::lint`]
    /// finds, at their places in the files; then notes.
    pub fn check(&self) -> Report {
        self.assemble(true, &Resources::default()).1
    }

    /// Adds what was read of an object.
    #[cfg(feature = "kube")]
    pub(super) fn add_read(&mut self, resources: Resources, found: &[Diagnostic]) {
        self.inputs.resources.append(resources);
        self.found.extend_from_slice(found);
    }

    fn assemble(&self, lint: bool, last: &Resources) -> (Outcome, Report) {
        let mut found = self.found.clone();
        let mut outcome = match self.inputs.is_lenient {
            true => lenient::assemble(&self.inputs, &self.denied, last, &mut found),
            false => {
                let assembly = Assembly::new(&self.inputs, &mut found);
                Outcome {
                    table: assembly.build(self.inputs.last.as_ref(), &mut found),
                    assembly,
                    #[cfg(any(feature = "watch", feature = "kube"))]
                    resources: Resources::default(),
                }
            }
        };
        if let Some(Err(gateway)) = &self.inputs.gateway {
            found.push(gateway::invalid(gateway));
            outcome.table = None;
        }
        if let Some(table) = outcome.table.as_ref().filter(|_| lint) {
            let lints = lints(table, &outcome.assembly, &found);
            found.extend(lints);
        }
        for diagnostic in &mut found {
            if self.denied.contains(diagnostic.code()) {
                diagnostic.deny();
            }
        }
        let notes = outcome.assembly.notes();
        (outcome, Report::new(found).with_notes(notes))
    }

    fn add(&mut self, file: &Arc<str>, text: &str) {
        on_deep_stack(|| self.read(file, text)).unwrap_or_else(|error| {
            let reason = format!("there is no thread to read it: {error}");
            let found = Diagnostic::of_file("unreadable", file, reason);
            self.found.push(found);
        });
    }

    fn read(&mut self, file: &Arc<str>, text: &str) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for document in documents::documents(text) {
            let source = Source {
                file: Arc::clone(file),
                document: document.number,
                is_in_cluster: false,
            };
            let mut reader = Reader {
                source,
                found: &mut self.found,
            };
            match node::parse(&document) {
                Ok(node) => self.inputs.resources.read(&Field::root(&node), &mut reader),
                Err(unreadable) => {
                    let spot = Spot {
                        source: reader.source.clone(),
                        at: unreadable.at,
                        path: FieldPath::default(),
                    };
                    reader.error(&spot, "invalid-yaml", unreadable.reason);
                }
            }
        }
    }
}

impl fmt::Debug for Manifests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifests")
            .field("servers", &self.inputs.resources.servers.len())
            .field("routes", &self.inputs.resources.routes.len())
            .field("diagnostics", &self.found.len())
            .finish_non_exhaustive()
    }
}
