//! Files that change, in all the ways in which they do.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use test_kit::directory::Directory;
use tower_model_route::{
    RouteTable, RouteTableHandle,
    manifest::{Watch, WatchHandle},
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
