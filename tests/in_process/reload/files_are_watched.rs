//! Files that change, in all the ways in which they do.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use test_kit::directory::Directory;
use tower_model_route::{
    RouteTable, RouteTableHandle,
    manifest::{Manifests, ServerInfo, Watch, WatchHandle},
};

/// A server of this name.
fn yaml(name: &str) -> String {
    format!(
        "apiVersion: networking.serving.volcano.sh/v1alpha1\n\
         kind: ModelServer\n\
         metadata:\n  \
           name: {name}\n\
         spec:\n  \
           inferenceEngine: vLLM\n  \
           workloadPort: {{port: 8000}}\n"
    )
}

fn empty() -> RouteTableHandle {
    RouteTableHandle::new(RouteTable::builder().build().unwrap())
}

fn watch(path: &Path) -> (RouteTableHandle, WatchHandle) {
    let handle = empty();
    let watch = Watch::new()
        .path(path)
        .debounce(Duration::from_millis(10))
        .start(&handle)
        .unwrap();
    (handle, watch)
}

/// A watched file with a server "a", which is served.
#[track_caller]
fn watched() -> (Directory, PathBuf, RouteTableHandle, WatchHandle) {
    let directory = Directory::new();
    let file = directory.file("routes.yaml");
    fs::write(&file, yaml("a")).unwrap();
    let (handle, watch) = watch(&file);
    eventually_serves(&handle, &["default/a"]);
    (directory, file, handle, watch)
}

fn servers(handle: &RouteTableHandle) -> Vec<String> {
    let servers = handle.table().servers();
    let mut names: Vec<_> = servers
        .iter()
        .map(|server| server.name().to_owned())
        .collect();
    names.sort();
    names
}

/// What another thread does in its own time.
#[track_caller]
fn eventually(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < end, "it has not happened in 20 seconds");
        thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn eventually_serves(handle: &RouteTableHandle, names: &[&str]) {
    eventually(|| servers(handle) == names);
}

#[test]
fn what_is_there_at_the_start_is_read() {
    let directory = Directory::new();
    fs::write(directory.file("a.yaml"), yaml("a")).unwrap();
    let (handle, _watch) = watch(directory.path());
    eventually_serves(&handle, &["default/a"]);
    assert!(handle.last_reload().is_some() && handle.last_error().is_none());
}

#[test]
fn a_file_is_written_in_place_or_renamed_over_or_moved_away_first() {
    let directory = Directory::new();
    let file = directory.file("routes.yaml");
    fs::write(&file, yaml("a")).unwrap();
    for path in [directory.path(), &file] {
        fs::write(&file, yaml("a")).unwrap();
        let (handle, _watch) = watch(path);
        eventually_serves(&handle, &["default/a"]);
        fs::write(&file, yaml("b")).unwrap();
        eventually_serves(&handle, &["default/b"]);
        // As editors do: a new file takes the place of the old one.
        let new = directory.file(".routes.yaml.swp");
        fs::write(&new, yaml("c")).unwrap();
        fs::rename(&new, &file).unwrap();
        eventually_serves(&handle, &["default/c"]);
        // Or the old one goes to the side first.
        fs::rename(&file, directory.file("routes.yaml~")).unwrap();
        fs::write(&file, yaml("d")).unwrap();
        eventually_serves(&handle, &["default/d"]);
    }
}

#[test]
fn files_come_and_go() {
    let directory = Directory::new();
    fs::write(directory.file("a.yaml"), yaml("a")).unwrap();
    let (handle, _watch) = watch(directory.path());
    eventually_serves(&handle, &["default/a"]);
    fs::write(directory.file("c.yml"), yaml("c")).unwrap();
    eventually_serves(&handle, &["default/a", "default/c"]);
    fs::remove_file(directory.file("a.yaml")).unwrap();
    eventually_serves(&handle, &["default/c"]);
}

#[test]
fn a_directory_is_replaced() {
    let directory = Directory::new();
    let (routes, new) = (directory.file("routes"), directory.file("new"));
    fs::create_dir(&routes).unwrap();
    fs::write(routes.join("a.yaml"), yaml("a")).unwrap();
    let (handle, _watch) = watch(&routes);
    eventually_serves(&handle, &["default/a"]);
    fs::create_dir(&new).unwrap();
    fs::write(new.join("b.yaml"), yaml("b")).unwrap();
    fs::rename(&routes, directory.file("old")).unwrap();
    fs::rename(&new, &routes).unwrap();
    eventually_serves(&handle, &["default/b"]);
    // The new one is watched as the old one was.
    fs::write(routes.join("b.yaml"), yaml("c")).unwrap();
    eventually_serves(&handle, &["default/c"]);
}

/// As the kubelet mounts a ConfigMap: `routes.yaml -> ..data/routes.yaml`, `..data -> ..1`.
#[cfg(unix)]
#[test]
fn the_link_of_a_config_map_is_swapped() {
    use std::os::unix::fs::symlink;
    let directory = Directory::new();
    let version = |number: u32, name: &str| {
        let version = directory.file(&format!("..{number}"));
        fs::create_dir(&version).unwrap();
        fs::write(version.join("routes.yaml"), yaml(name)).unwrap();
        let new = directory.file("..data_tmp");
        symlink(format!("..{number}"), &new).unwrap();
        fs::rename(new, directory.file("..data")).unwrap();
    };
    version(0, "a");
    symlink("..data/routes.yaml", directory.file("routes.yaml")).unwrap();
    for (round, path) in (0..).zip([directory.path().to_owned(), directory.file("routes.yaml")]) {
        let (handle, _watch) = watch(&path);
        eventually(|| !servers(&handle).is_empty());
        let old = 2 * round;
        version(old + 1, "b");
        eventually_serves(&handle, &["default/b"]);
        fs::remove_dir_all(directory.file(&format!("..{old}"))).unwrap();
        version(old + 2, "c");
        eventually_serves(&handle, &["default/c"]);
    }
}

#[test]
fn what_is_wrong_leaves_the_table_and_says_why() {
    let (_directory, file, handle, _watch) = watched();
    let reloaded = handle.last_reload();
    fs::write(&file, "kind: [\n").unwrap();
    eventually(|| handle.last_error().is_some());
    let error = handle.last_error().unwrap().to_string();
    assert!(error.contains("routes.yaml:"), "{error}");
    assert_eq!(servers(&handle), ["default/a"]);
    assert_eq!(handle.last_reload(), reloaded);
    fs::remove_file(&file).unwrap();
    eventually(|| {
        handle
            .last_error()
            .is_some_and(|error| error.to_string().contains("read"))
    });
    assert_eq!(servers(&handle), ["default/a"]);
    fs::write(&file, yaml("b")).unwrap();
    eventually_serves(&handle, &["default/b"]);
    assert!(handle.last_error().is_none());
}

/// Where each fails alone, one that is wrong stays as it was, and the others change.
#[test]
fn each_that_is_wrong_stays_as_it_was_if_it_may() {
    let directory = Directory::new();
    let file = |name: &str| directory.file(&format!("{name}.yaml"));
    for name in ["a", "b", "c"] {
        fs::write(file(name), yaml(name)).unwrap();
    }
    let handle = empty();
    let _watch = Watch::new()
        .path(directory.path())
        .debounce(Duration::from_millis(10))
        .complete(Manifests::lenient)
        .start(&handle)
        .unwrap();
    eventually_serves(&handle, &["default/a", "default/b", "default/c"]);
    // A field that is wrong, a text that is no YAML, and a change.
    fs::write(file("a"), yaml("a").replace("8000", "x")).unwrap();
    fs::write(file("b"), "a: [").unwrap();
    fs::write(file("c"), yaml("d")).unwrap();
    eventually_serves(&handle, &["default/a", "default/b", "default/d"]);
    eventually(|| handle.last_error().is_some());
    let error = handle.last_error().unwrap().to_string();
    assert!(
        error.contains("a.yaml") && error.contains("b.yaml"),
        "{error}"
    );
    // What is taken away goes, wrong as the others are.
    fs::remove_file(file("b")).unwrap();
    eventually_serves(&handle, &["default/a", "default/d"]);
    fs::write(file("a"), yaml("e")).unwrap();
    eventually_serves(&handle, &["default/d", "default/e"]);
    eventually(|| handle.last_error().is_none());
}

#[test]
fn what_has_not_changed_is_not_reloaded() {
    let (directory, file, handle, _watch) = watched();
    let reloaded = handle.last_reload();
    fs::write(&file, yaml("a")).unwrap();
    fs::write(directory.file("notes.txt"), "x").unwrap();
    fs::write(directory.file("other.yaml"), yaml("other")).unwrap();
    // What comes after it is seen, so that was looked at.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(handle.last_reload(), reloaded);
    fs::write(&file, yaml("b")).unwrap();
    eventually_serves(&handle, &["default/b"]);
}

/// A server and a route to it.
fn routed(name: &str) -> String {
    let route = "---\napiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRoute\n\
                 metadata: {name: r}\nspec:\n  modelName: m\n  rules:\n  - targetModels: [{modelServerName: NAME}]\n";
    yaml(name) + &route.replace("NAME", name)
}

/// The handle that a program starts with, by the same files.
fn started(file: &Path) -> RouteTableHandle {
    RouteTableHandle::new(Manifests::from_path(file).build().unwrap())
}

fn quickly(file: &Path) -> Watch {
    Watch::new().path(file).debounce(Duration::from_millis(10))
}

#[test]
fn what_says_the_same_is_no_reload() {
    let directory = Directory::new();
    let file = directory.write("routes.yaml", &routed("a"));
    let handle = started(&file);
    let _watch = quickly(&file).start(&handle).unwrap();
    for text in [
        routed("a") + "# a comment\n",
        format!("# another\n{}", routed("a")),
    ] {
        fs::write(&file, text).unwrap();
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(handle.last_reload(), None);
    // A mistake that is taken back is no reload either, and is over.
    fs::write(&file, "kind: [\n").unwrap();
    eventually(|| handle.last_error().is_some());
    fs::write(&file, routed("a")).unwrap();
    eventually(|| handle.last_error().is_none());
    assert_eq!(handle.last_reload(), None);
    fs::write(&file, routed("b")).unwrap();
    eventually_serves(&handle, &["default/b"]);
    assert!(handle.last_reload().is_some());
}

#[test]
fn the_last_route_is_taken_away_only_if_that_is_allowed() {
    let directory = Directory::new();
    let file = directory.file("routes.yaml");
    for emptied in ["", "# routes:\n", &yaml("a")] {
        fs::write(&file, routed("a")).unwrap();
        let handle = started(&file);
        let watch = quickly(&file).start(&handle).unwrap();
        fs::write(&file, emptied).unwrap();
        eventually(|| handle.last_error().is_some());
        let error = handle.last_error().unwrap().to_string();
        assert!(error.contains("[no-routes]"), "{error}");
        assert_eq!(handle.table().config().get_model_routes().len(), 1);
        watch.stop();
        let _watch = quickly(&file).allow_no_routes().start(&handle).unwrap();
        eventually(|| handle.table().config().get_model_routes().is_empty());
        assert!(handle.last_error().is_none());
    }
}

#[test]
fn a_panic_is_a_reload_that_failed() {
    let directory = Directory::new();
    let file = directory.write("routes.yaml", &routed("a"));
    let handle = started(&file);
    let bad = |server: ServerInfo<'_>| match server.name() {
        "bad" => panic!("no endpoints for {}", server.name()),
        _ => Vec::new(),
    };
    let _watch = quickly(&file)
        .complete(move |manifests| manifests.resolve(bad))
        .start(&handle)
        .unwrap();
    fs::write(&file, routed("bad")).unwrap();
    // (A file that is being written may be seen empty, which is another error.)
    let says_so = |error: &str| error.ends_with("panicked: no endpoints for bad");
    eventually(|| {
        handle
            .last_error()
            .is_some_and(|error| says_so(&error.to_string()))
    });
    assert_eq!(servers(&handle), ["default/a"]);
    fs::write(&file, routed("b")).unwrap();
    eventually_serves(&handle, &["default/b"]);
    assert!(handle.last_error().is_none());
}

/// Such as a key that can't be read while it is replaced.
#[test]
fn what_fails_for_a_passing_reason_is_tried_again() {
    let directory = Directory::new();
    let file = directory.write("routes.yaml", &routed("a"));
    let handle = started(&file);
    let is_away = Arc::new(AtomicBool::new(true));
    let key = Arc::clone(&is_away);
    let _watch = quickly(&file)
        .complete(move |manifests| {
            assert!(!key.load(Ordering::SeqCst), "there is no key");
            manifests.endpoints("default/a", ["http://a"])
        })
        .start(&handle)
        .unwrap();
    eventually(|| handle.last_error().is_some());
    is_away.store(false, Ordering::SeqCst);
    // The manifests stay as they are; what changes beside them is a reason to look.
    directory.write("notes.txt", "x");
    eventually(|| handle.last_error().is_none());
    assert_eq!(handle.reloads(), (1, 1));
}

/// Such as a key, which `complete` reads.
#[test]
fn a_file_that_is_no_manifest_counts_if_it_is_named() {
    let directory = Directory::new();
    let file = directory.write("routes.yaml", &routed("a"));
    let secrets = Directory::new();
    let key = secrets.write("key", "one");
    let handle = started(&file);
    let read = key.clone();
    let _watch = quickly(&file)
        .also(&key)
        .complete(move |manifests| {
            let host = fs::read_to_string(&read).expect("a key");
            manifests.endpoints("default/a", [format!("http://{host}")])
        })
        .start(&handle)
        .unwrap();
    let serves = |uri: &str| {
        let servers = handle.table().servers();
        servers[0].endpoints().iter().any(|at| at.uri() == uri)
    };
    eventually(|| serves("http://one"));
    fs::write(&key, "two").unwrap();
    eventually(|| serves("http://two"));
    // It is away while it is replaced.
    fs::remove_file(&key).unwrap();
    eventually(|| handle.last_error().is_some());
    assert!(serves("http://two"));
    fs::write(&key, "three").unwrap();
    eventually(|| serves("http://three") && handle.last_error().is_none());
    let reloads = handle.reloads();
    secrets.write("key", "three");
    secrets.write("other", "x");
    thread::sleep(Duration::from_millis(100));
    assert_eq!(handle.reloads(), reloads);
}

/// The thread that sees the next change is the one that saw the first.
#[test]
fn a_debounce_of_any_length_does_not_end_the_watch() {
    let directory = Directory::new();
    let file = directory.write("routes.yaml", &routed("a"));
    for debounce in [
        Duration::MAX,
        Duration::from_secs(u64::MAX / 10),
        Duration::ZERO,
    ] {
        let handle = started(&file);
        let (sender, alive) = mpsc::channel::<()>();
        let watch = Watch::new()
            .path(&file)
            .debounce(debounce)
            .complete(move |manifests| {
                // It is dropped when the thread ends.
                let _alive = &sender;
                manifests
            })
            .start(&handle)
            .unwrap();
        fs::write(&file, routed("a") + "#\n").unwrap();
        let ended = alive.recv_timeout(Duration::from_millis(200));
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Timeout), "{debounce:?}");
        watch.stop();
        let ended = alive.recv_timeout(Duration::from_secs(20));
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}

#[test]
fn it_ends_when_it_is_stopped_or_dropped() {
    let (_directory, file, handle, stopped) = watched();
    stopped.stop();
    fs::write(&file, yaml("b")).unwrap();
    let (other, _watch) = watch(&file);
    eventually_serves(&other, &["default/b"]);
    assert_eq!(servers(&handle), ["default/a"]);
}

#[test]
fn endpoints_are_given_at_each_reload() {
    let directory = Directory::new();
    let file = directory.file("routes.yaml");
    fs::write(&file, yaml("a")).unwrap();
    let handle = empty();
    let _watch = Watch::new()
        .path(&file)
        .debounce(Duration::from_millis(10))
        .complete(|manifests| manifests.resolve(|_| vec!["http://h".to_owned()]))
        .start(&handle)
        .unwrap();
    for name in ["a", "b"] {
        fs::write(&file, yaml(name)).unwrap();
        eventually_serves(&handle, &[&format!("default/{name}")]);
        assert_eq!(handle.table().servers()[0].endpoints()[0].uri(), "http://h");
    }
}

#[test]
fn what_is_nowhere_can_not_be_watched() {
    let error = empty()
        .watch_path("/no/such/directory/routes.yaml")
        .unwrap_err();
    assert!(error.to_string().contains("can't be watched"), "{error}");
}
