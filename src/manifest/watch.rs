//! Reloading manifests when their files change.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tracing::warn;

use super::{
    diagnostic::{Diagnostic, ManifestError, Report, Severity},
    files::{self, Texts},
    reloads::Reloads,
    set::Manifests,
};
use crate::route::{RouteTable, RouteTableHandle};

/// Reloads the table of a [`RouteTableHandle`] when manifests change.
///
/// It watches directories and not the files themselves, so it does not matter
/// how a change is made: in place, by an editor that writes a new file and
/// renames it, or by Kubernetes, which swaps the symbolic link that a mounted
/// ConfigMap's files lead through. Several changes within the
/// [`debounce`](Self::debounce) time count as one. If the content is the same,
/// apart from comments, nothing is reloaded, and all counts are kept. Name
/// other files that the table depends on with [`also`](Self::also).
///
/// Manifests with errors leave the table as it is, unless they are
/// [`lenient`](Manifests::lenient): the log says why, and so does
/// [`RouteTableHandle::last_error`], until a reload succeeds. The same is true of
/// manifests without any route, such as a file that is just being written, unless
/// [`allow_no_routes`](Self::allow_no_routes) is set, and of a panic while they
/// are read. They are tried again at the next change, or a minute later, since the
/// cause may have passed; a repeated error is logged once.
///
/// ```no_run
/// use tower_model_route::{RouteTableHandle, manifest::{Manifests, Watch}};
///
/// let given = |manifests: Manifests| {
///     manifests.endpoints("ml/deepseek-r1-7b", ["http://10.0.0.7:8000"])
/// };
/// let handle = RouteTableHandle::new(given(Manifests::from_path("routes/")).build()?);
/// let watch = Watch::new().path("routes/").complete(given).start(&handle)?;
/// # drop(watch);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is watched before it is started"]
pub struct Watch {
    paths: Vec<PathBuf>,
    others: Vec<PathBuf>,
    debounce: Duration,
    allow_no_routes: bool,
    complete: Box<dyn Fn(Manifests) -> Manifests + Send>,
}

impl Watch {
    /// How often the files are polled where changes are not notified, as on some
    /// network file systems.
    const LOOK: Duration = Duration::from_secs(60);

    /// Watches nothing yet.
    pub fn new() -> Self {
        Self {
            paths: Vec::new(),
            others: Vec::new(),
            debounce: Duration::from_millis(200),
            allow_no_routes: false,
            complete: Box::new(|manifests| manifests),
        }
    }

    /// Adds a file or a directory, as for [`Manifests::from_path`].
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Adds a file that is not a manifest, such as a key that [`complete`](Self::complete) reads.
    /// Its content is compared as that of manifests is, so that a change of it alone is a reload.
    pub fn also(mut self, file: impl Into<PathBuf>) -> Self {
        self.others.push(file.into());
        self
    }

    /// The quiet time after a change before a reload, 200 ms by default.
    ///
    /// If changes never stop, the reload happens after ten times this time.
    pub fn debounce(mut self, time: Duration) -> Self {
        self.debounce = time;
        self
    }

    /// Allows a reload to remove the last route, if the manifests have none any more or a directory
    /// has no manifests.
    ///
    /// By default such a reload fails: an empty file is more often a mistake
    /// than intended, and every request would be answered with 404.
    pub fn allow_no_routes(mut self) -> Self {
        self.allow_no_routes = true;
        self
    }

    /// Adds what the manifests need besides the files, such as endpoints, each time they are
    /// read.
    pub fn complete(mut self, complete: impl Fn(Manifests) -> Manifests + Send + 'static) -> Self {
        self.complete = Box::new(complete);
        self
    }

    /// Starts to watch, in a thread of its own, and reads the manifests for the first time there.
    ///
    /// # Errors
    ///
    /// If a path can't be watched: neither it nor its directory exists, or the
    /// system is out of watches.
    pub fn start(self, handle: &RouteTableHandle) -> Result<WatchHandle, WatchError> {
        let (sender, signals) = mpsc::channel();
        let on_event = {
            let sender = sender.clone();
            move |event: notify::Result<Event>| {
                // Reading the files is an event, too. An error may hide a change.
                if !event.is_ok_and(|event| event.kind.is_access()) {
                    _ = sender.send(Signal::Changed);
                }
            }
        };
        let mut watcher = Places {
            watcher: notify::recommended_watcher(on_event).map_err(WatchError::new)?,
            paths: self.paths,
            others: self.others,
        };
        watcher.watch().map_err(WatchError::new)?;
        let reloader = Reloader {
            places: watcher,
            debounce: self.debounce,
            allow_no_routes: self.allow_no_routes,
            complete: self.complete,
            last: Contents::default(),
            has_failed: false,
            reloads: Reloads::new(handle.clone()),
        };
        let thread = thread::Builder::new()
            .name("manifest-watch".to_owned())
            .spawn(move || reloader.run(&signals))
            .map_err(WatchError::new)?;
        Ok(WatchHandle {
            sender,
            thread: Some(thread),
        })
    }
}

impl RouteTableHandle {
    /// Reloads the table when the manifests at `path`, a file or a directory, change.
    ///
    /// This is [`Watch`] with nothing else set.
    ///
    /// # Errors
    ///
    /// If the path can't be watched.
    pub fn watch_path(&self, path: impl Into<PathBuf>) -> Result<WatchHandle, WatchError> {
        Watch::new().path(path).start(self)
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("paths", &self.paths)
            .field("others", &self.others)
            .field("debounce", &self.debounce)
            .finish_non_exhaustive()
    }
}

/// The thread of a [`Watch`]; dropping it ends the watch.
#[derive(Debug)]
#[must_use = "the watch ends when it is dropped"]
pub struct WatchHandle {
    sender: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl WatchHandle {
    /// Ends the watch and waits for its end; a reload that has begun is finished.
    pub fn stop(mut self) {
        _ = self.sender.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            // The only failure is a panic, which has been reported where it happened.
            _ = thread.join();
        }
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        _ = self.sender.send(Signal::Stop);
    }
}

/// Why paths can't be watched.
#[derive(Debug)]
pub struct WatchError(Box<dyn Error + Send + Sync>);

impl WatchError {
    fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl Error for WatchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the manifests can't be watched: {}", self.0)
    }
}

#[derive(Debug)]
enum Signal {
    Changed,
    Stop,
}

/// The directories in which something may change.
struct Places {
    watcher: RecommendedWatcher,
    paths: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

impl Places {
    /// Watches them, those again that have been replaced since.
    fn watch(&mut self) -> notify::Result<()> {
        let mut result = Ok(());
        for path in self.paths.iter().chain(&self.others) {
            let directories = directories(path);
            let mut watched = directories
                .iter()
                .map(|directory| self.watcher.watch(directory, RecursiveMode::NonRecursive));
            // One is enough to see the others come.
            let first = watched.next().unwrap_or(Ok(()));
            if watched.filter(Result::is_ok).count() == 0
                && let Err(error) = first
            {
                result = Err(error);
            }
        }
        result
    }

    fn read(&self, may_be_empty: bool) -> Contents {
        let texts = self.paths.iter().map(|path| match may_be_empty {
            true => files::read_any(path),
            false => files::read(path),
        });
        let others = self.others.iter().map(|path| files::bytes(path).ok());
        Contents {
            texts: texts.collect(),
            others: others.collect(),
        }
    }
}

/// What was in the files.
#[derive(Default, PartialEq)]
struct Contents {
    texts: Vec<Texts>,
    /// `None` is one that can't be read.
    others: Vec<Option<Vec<u8>>>,
}

/// A path's own directory first, then those that it and the files in it really are in.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    };
    let mut directories = BTreeSet::from([parent(path)]);
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        directories.insert(path.to_owned());
        files.extend(files::list(path).unwrap_or_default());
    }
    for file in files {
        if let Ok(real) = file.canonicalize() {
            directories.insert(parent(&real));
        }
    }
    directories
}

struct Reloader {
    places: Places,
    debounce: Duration,
    allow_no_routes: bool,
    complete: Box<dyn Fn(Manifests) -> Manifests + Send>,
    last: Contents,
    /// Whether it could not be taken, be it for a reason that passes.
    has_failed: bool,
    reloads: Reloads,
}

impl Reloader {
    fn run(mut self, signals: &Receiver<Signal>) {
        self.reload();
        loop {
            match signals.recv_timeout(Watch::LOOK) {
                Ok(Signal::Changed) => {
                    if !self.settles(signals) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.reload();
        }
    }

    /// Waits for a quiet time, or for the most that it waits; `false` if the watch ends first.
    fn settles(&self, signals: &Receiver<Signal>) -> bool {
        // Without an end if it is further away than the clock goes.
        let latest = Instant::now().checked_add(self.debounce.saturating_mul(10));
        while latest.is_none_or(|latest| Instant::now() < latest) {
            match signals.recv_timeout(self.debounce) {
                Ok(Signal::Changed) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    fn reload(&mut self) {
        if let Err(error) = self.places.watch() {
            warn!(target: "tower_model_route::reload", %error, "manifests are not watched");
        }
        let contents = self.places.read(self.allow_no_routes);
        let is_known = contents == self.last;
        if is_known && !self.has_failed {
            return;
        }
        self.last = contents;
        // The caller's own `complete` is run anew each time.
        let read = || {
            let texts = self.last.texts.iter().map(Manifests::from_texts);
            (self.complete)(texts.fold(Manifests::new(), Manifests::merge))
        };
        let has_routes = |table: &RouteTable| !table.config().get_model_routes().is_empty();
        let had_routes = has_routes(&self.reloads.handle().table());
        let check = |table: &RouteTable| {
            if self.allow_no_routes || has_routes(table) || !had_routes {
                return Ok(());
            }
            let message = "there are no ModelRoutes any more: the routes stay as they were";
            let lost = Diagnostic::placeless(Severity::Error, "no-routes", message);
            Err(ManifestError::new(Report::new(vec![lost])))
        };
        let taken = match is_known {
            true => self.reloads.retry(read, check),
            false => self.reloads.reload(read, check),
        };
        self.has_failed = taken.is_none();
    }
}
