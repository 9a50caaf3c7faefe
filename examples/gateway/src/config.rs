//! The routes that users bring along: their manifests and endpoints, from the command line.

use std::{env, fs, path::PathBuf};

use clap::{ArgGroup, Args};
use tower_model_route::{
    ApiPaths, BuildError, Dns, DnsHandle, EngineClient, ModelServer, RedisStore, RouteTable,
    RouteTableHandle, ServedModels, ServedModelsHandle,
    manifest::{Manifests, Watch, WatchError, WatchHandle},
};

/// What there is to say about the routes on the command line.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("routes").args(["manifests", "check"]).multiple(true)))]
pub(crate) struct Config {
    /// Route by the Kthena ModelRoutes and ModelServers in PATH, a file or a directory of *.yaml,
    /// *.yml and *.json, and start no mock engines; may be repeated
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "demo", verbatim_doc_comment)]
    manifests: Vec<PathBuf>,

    /// Add an endpoint to the ModelServer NAME or NAMESPACE/NAME, besides those in the manifests
    /// (from Pods, EndpointSlices and annotations); may be repeated, also for the same NAME. Needs
    /// --manifests, --check or --kube
    #[arg(long = "endpoint", value_name = "NAME=URL", value_parser = Endpoint::parse, requires = "routes", verbatim_doc_comment)]
    endpoints: Vec<Endpoint>,

    /// Leave out each ModelRoute and ModelServer that has errors, and serve the rest; with --watch, it
    /// stays as it was before the change. By default a single error prevents the start or the reload.
    /// Needs --manifests or --check; --kube always works this way
    #[arg(long, requires = "routes", verbatim_doc_comment)]
    lenient: bool,

    /// Make each address of an endpoint's host name, such as that of a headless Service, an endpoint of
    /// its own; names are looked up every 5 seconds. Needs --manifests, --check or --kube
    #[arg(long, requires = "routes", verbatim_doc_comment)]
    resolve: bool,

    /// The gateway's own zone, such as eu-1a; ModelServers may prefer engines in it. Needs --manifests,
    /// --check or --kube
    #[arg(long, value_name = "ZONE", requires = "routes", verbatim_doc_comment)]
    zone: Option<String>,

    /// Ask every engine for its /v1/models every 10 seconds, so that requests go where their model or
    /// LoRA adapter is loaded. Needs --manifests, --check or --kube
    #[arg(long, requires = "routes", verbatim_doc_comment)]
    served_models: bool,

    /// Let manifests refer to a key as ${NAME} in the headers for their engines (annotation
    /// tower-model-route/headers). Its value is that of the environment variable NAME, or the contents
    /// of FILE; may be repeated. Needs --manifests, --check or --kube
    #[arg(long = "keys", value_name = "NAME[=FILE]", value_parser = Key::parse, requires = "routes", verbatim_doc_comment)]
    keys: Vec<Key>,

    /// The password of the Redis at ADDRESS, spelled HOST:PORT as in the limits of the manifests: the
    /// environment variable REDIS_PASSWORD, or the contents of FILE. It is sent to no other address;
    /// may be repeated. Needs --manifests, --check or --kube
    #[arg(long = "redis-password", value_name = "ADDRESS[=FILE]", value_parser = RedisPassword::parse, requires = "routes", verbatim_doc_comment)]
    redis_passwords: Vec<RedisPassword>,

    /// Let requests reach an engine if their path ends in PATTERN, such as /v1/summaries or
    /// /own/{name}/run, besides the paths of the inference APIs; may be repeated. Needs --manifests,
    /// --check or --kube
    #[arg(long = "path", value_name = "PATTERN", value_parser = path, requires = "routes", verbatim_doc_comment)]
    allowed: Vec<String>,

    /// Reload when the manifests change, or a file of --keys or --redis-password. While they have
    /// errors, the routes stay as they are. Each reload is logged
    #[arg(
        long,
        requires = "manifests",
        conflicts_with = "check",
        verbatim_doc_comment
    )]
    watch: bool,

    /// With --watch: accept a reload that leaves no route, such as an emptied directory. By default it
    /// is refused, since it is usually an accident
    #[arg(long, requires = "watch", verbatim_doc_comment)]
    allow_no_routes: bool,

    /// Print the errors and warnings in the manifests in PATH, with file and line, and exit: with 1 if
    /// there are errors, else with 0. Without PATH, check those of --manifests
    #[arg(long, value_name = "PATH", num_args = 0.., conflicts_with_all = ["listen", "demo"], verbatim_doc_comment)]
    check: Option<Vec<PathBuf>>,
}

/// An endpoint of a ModelServer.
#[derive(Debug, Clone)]
struct Endpoint {
    server: String,
    url: String,
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, String> {
        let (server, url) = text
            .split_once('=')
            .filter(|(server, _)| !server.is_empty())
            .ok_or("it must be like deepseek-r1-7b=http://10.0.0.7:8000")?;
        // A bad URL is refused here, where it is given, and not at its ModelServer in the manifests.
        RouteTable::builder()
            .model_server(ModelServer::new(server).endpoint(url))
            .build()
            .map_err(|error| {
                let mistakes = error.mistakes().iter();
                let kinds: Vec<_> = mistakes.map(|mistake| mistake.kind().to_string()).collect();
                kinds.join(", ")
            })?;
        Ok(Self {
            server: server.to_owned(),
            url: url.to_owned(),
        })
    }
}

/// A key that manifests may refer to.
#[derive(Debug, Clone)]
struct Key {
    name: String,
    file: Option<PathBuf>,
}

impl Key {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, file) = match text.split_once('=') {
            Some((name, file)) => (name, Some(file.into())),
            None => (text, None),
        };
        let key = Self {
            name: name.to_owned(),
            file,
        };
        key.read().map(|_| key)
    }

    /// It is read each time, so that a reload finds a new one. A file's last line may end.
    fn read(&self) -> Result<String, String> {
        secret(&self.name, self.file.as_ref())
    }
}

/// Where the password of a Redis is.
#[derive(Debug, Clone)]
struct RedisPassword {
    address: String,
    file: Option<PathBuf>,
}

impl RedisPassword {
    fn parse(text: &str) -> Result<Self, String> {
        let (address, file) = match text.split_once('=') {
            Some((address, file)) => (address, Some(file.into())),
            None => (text, None),
        };
        let is_address = address.contains(':') && !address.contains(['/', '@']);
        if !is_address || RedisStore::new(address).is_err() {
            return Err("it must begin with a host and a port, such as redis:6379".to_owned());
        }
        let address = address.to_owned();
        let password = Self { address, file };
        match password.read()?.is_empty() {
            true => Err("the password is empty".to_owned()),
            false => Ok(password),
        }
    }

    /// It is read each time, as keys are.
    fn read(&self) -> Result<String, String> {
        secret("REDIS_PASSWORD", self.file.as_ref())
    }
}

/// What is in the file, whose last line may end, or else in the variable of the environment.
fn secret(variable: &str, file: Option<&PathBuf>) -> Result<String, String> {
    let Some(file) = file else {
        return env::var(variable).map_err(|error| format!("{variable}: {error}"));
    };
    let secret = fs::read_to_string(file).map_err(|error| error.to_string())?;
    Ok(secret.trim_end_matches(['\r', '\n']).to_owned())
}

impl Config {
    /// Whether the user brought routes, to use and not just to check.
    pub(crate) fn has_routes(&self) -> bool {
        !self.manifests.is_empty()
    }

    pub(crate) fn is_check(&self) -> bool {
        self.check.is_some()
    }

    /// Where the manifests are.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.manifests.iter().chain(self.check.iter().flatten())
    }

    /// Where the routes are from, for people.
    pub(crate) fn source(&self) -> String {
        let paths: Vec<_> = self
            .paths()
            .map(|path| path.display().to_string())
            .collect();
        format!("the manifests of {}", paths.join(", "))
    }

    /// The manifests as they are now, with the endpoints.
    pub(crate) fn manifests(&self) -> Manifests {
        let manifests = self
            .paths()
            .map(Manifests::from_path)
            .fold(Manifests::new(), Manifests::merge);
        self.completed(manifests)
    }

    /// Looks the names of endpoints up, until what it returns is dropped. Each has been looked up
    /// once when it returns.
    ///
    /// # Errors
    /// None with these options.
    pub(crate) async fn resolve(
        &self,
        table: &RouteTableHandle,
    ) -> Result<Option<DnsHandle>, BuildError> {
        if !self.resolve {
            return Ok(None);
        }
        let dns = Dns::new().start(table.clone())?;
        dns.resolved().await;
        Ok(Some(dns))
    }

    /// Asks the engines for their models, if that is wanted, until what it returns is dropped.
    pub(crate) fn poll_models(
        &self,
        table: &RouteTableHandle,
        client: &EngineClient,
    ) -> Result<Option<ServedModelsHandle>, BuildError> {
        let poll = || ServedModels::new().start(table.clone(), client.clone());
        self.served_models.then(poll).transpose()
    }

    /// Keeps the table as the manifests say, if that was asked for, until what it returns is
    /// dropped.
    ///
    /// # Errors
    /// There is a path that can't be watched.
    pub(crate) fn watch(
        &self,
        table: &RouteTableHandle,
    ) -> Result<Option<WatchHandle>, WatchError> {
        if !self.watch {
            return Ok(None);
        }
        let config = self.clone();
        let watch = match self.allow_no_routes {
            true => Watch::new().allow_no_routes(),
            false => Watch::new(),
        };
        let secrets = self.keys.iter().map(|key| &key.file);
        let secrets = secrets.chain(self.redis_passwords.iter().map(|password| &password.file));
        let watch = self.paths().fold(watch, Watch::path);
        secrets
            .flatten()
            .fold(watch, Watch::also)
            .complete(move |manifests| config.completed(manifests))
            .start(table)
            .map(Some)
    }

    /// The manifests with what the command line adds to them.
    pub(crate) fn completed(&self, mut manifests: Manifests) -> Manifests {
        for key in &self.keys {
            // What refers to one that can't be read is an error, which has its line.
            if let Ok(value) = key.read() {
                manifests = manifests.key(&key.name, value);
            }
        }
        for password in &self.redis_passwords {
            // One that can't be read is empty, which is a mistake.
            let value = password.read().unwrap_or_default();
            manifests = manifests.redis_password(&password.address, value);
        }
        let mut allowed = self.allowed.iter();
        let allowed = allowed.try_fold(ApiPaths::none(), |allowed, path| allowed.and(path));
        // They were checked where they were given.
        if let Ok(allowed) = allowed
            && !self.allowed.is_empty()
        {
            manifests = manifests.paths(allowed);
        }
        if self.lenient {
            manifests = manifests.lenient();
        }
        if self.resolve {
            manifests = manifests.resolve_names();
        }
        if let Some(zone) = &self.zone {
            manifests = manifests.zone(zone);
        }
        for Endpoint { server, url } in &self.endpoints {
            manifests = manifests.endpoints(server, [url]);
        }
        manifests
    }
}

/// A pattern of paths, if it is one.
fn path(text: &str) -> Result<String, String> {
    match ApiPaths::none().and(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.mistakes()[0].kind().to_string()),
    }
}
