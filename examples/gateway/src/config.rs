//! The routes that users bring along: their manifests and endpoints, from the command line.

use std::{env, fs, path::PathBuf};

use clap::{ArgGroup, Args};
use tower_model_route::{
    ApiPaths, ModelServer, RouteTable, RouteTableHandle,
    manifest::{Manifests, Watch, WatchError, WatchHandle},
};

/// What there is to say about the routes on the command line.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("routes").args(["manifests", "check"]).multiple(true)))]
pub(crate) struct Config {
    /// Route by Kthena's ModelRoutes and ModelServers in PATH, a file or a directory of
    /// *.yaml, *.yml and *.json, and start no mock engines; may be given several times
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "demo", verbatim_doc_comment)]
    manifests: Vec<PathBuf>,

    /// Give the ModelServer NAME or NAMESPACE/NAME an endpoint, besides those that the
    /// manifests have (of Pods, EndpointSlices and annotations); may be given several
    /// times, also for one NAME
    #[arg(long = "endpoint", value_name = "NAME=URL", value_parser = Endpoint::parse, requires = "routes", verbatim_doc_comment)]
    endpoints: Vec<Endpoint>,

    /// Let the manifests refer to a key as ${NAME} in the headers for their engines (annotation
    /// tower-model-route/headers): the variable NAME of the environment, or what is in FILE;
    /// may be given several times
    #[arg(long = "keys", value_name = "NAME[=FILE]", value_parser = Key::parse, requires = "routes", verbatim_doc_comment)]
    keys: Vec<Key>,

    /// Let requests for paths that end as PATTERN reach an engine, besides those of the inference
    /// APIs, such as /v1/summaries or /own/{name}/run; may be given several times
    #[arg(long = "path", value_name = "PATTERN", value_parser = path, requires = "routes", verbatim_doc_comment)]
    allowed: Vec<String>,

    /// Reload the manifests when they change; while they have mistakes, the routes stay
    /// as they were. Either is said among the requests
    #[arg(
        long,
        requires = "manifests",
        conflicts_with = "check",
        verbatim_doc_comment
    )]
    watch: bool,

    /// With --watch: take a reload that leaves no route, as of an emptied directory; by default
    /// it is refused, since it is more often an accident
    #[arg(long, requires = "watch", verbatim_doc_comment)]
    allow_no_routes: bool,

    /// Print what is wrong and what looks wrong in the manifests in PATH, with file and
    /// line, and exit: with 1 if there are errors, else, warnings or not, with 0
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
        let Some(file) = &self.file else {
            return env::var(&self.name).map_err(|error| error.to_string());
        };
        let key = fs::read_to_string(file).map_err(|error| error.to_string())?;
        Ok(key.trim_end_matches(['\r', '\n']).to_owned())
    }
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

    /// The manifests as they are now, with the endpoints.
    pub(crate) fn manifests(&self) -> Manifests {
        let manifests = self
            .paths()
            .map(Manifests::from_path)
            .fold(Manifests::new(), Manifests::merge);
        completed(manifests, &self.endpoints, &self.keys, &self.allowed)
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
        let (endpoints, keys) = (self.endpoints.clone(), self.keys.clone());
        let allowed = self.allowed.clone();
        let watch = match self.allow_no_routes {
            true => Watch::new().allow_no_routes(),
            false => Watch::new(),
        };
        self.paths()
            .fold(watch, Watch::path)
            .complete(move |manifests| completed(manifests, &endpoints, &keys, &allowed))
            .start(table)
            .map(Some)
    }
}

/// A pattern of paths, if it is one.
fn path(text: &str) -> Result<String, String> {
    match ApiPaths::none().and(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.mistakes()[0].kind().to_string()),
    }
}

/// The manifests with what the command line adds to them.
fn completed(
    manifests: Manifests,
    endpoints: &[Endpoint],
    keys: &[Key],
    paths: &[String],
) -> Manifests {
    let manifests = keys.iter().fold(manifests, |manifests, key| {
        match key.read() {
            Ok(value) => manifests.key(&key.name, value),
            // What refers to it is an error, which has its line.
            Err(_) => manifests,
        }
    });
    let allowed = paths
        .iter()
        .try_fold(ApiPaths::none(), |allowed, path| allowed.and(path));
    let manifests = match allowed {
        Ok(allowed) if !paths.is_empty() => manifests.paths(allowed),
        // They were checked where they were given.
        _ => manifests,
    };
    endpoints.iter().fold(manifests, |manifests, endpoint| {
        manifests.endpoints(&endpoint.server, [&endpoint.url])
    })
}
