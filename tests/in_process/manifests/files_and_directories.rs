//! Files and directories.

use std::{fs, process::Command};

use test_kit::directory::Directory;
use tower_model_route::manifest::Manifests;

use super::written::{decide, line, route, up};

const TO_S: &str = "modelName: m\nrules: [{targetModels: [{modelServerName: s}]}]";

#[test]
fn a_directory_is_its_manifests_and_not_those_below() {
    let directory = Directory::new()
        .with("b.yml", up("s"))
        .with("a.yaml", route("r", &[TO_S]))
        .with("c.json", r#"{"apiVersion": "v1", "kind": "Service"}"#)
        .with("notes.txt", "a: [")
        .with(".hidden.yaml", "a: [")
        .with("values.yaml.bak", "a: [");
    fs::create_dir(directory.file("below.yaml")).unwrap();
    fs::write(directory.file("below.yaml/x.yaml"), "a: [").unwrap();
    let manifests = Manifests::from_path(directory.path());
    assert!(manifests.check().diagnostics().is_empty());
    assert!(decide(&manifests.build().unwrap(), "m").starts_with("default/r"));
    // One file alone has no ModelServer.
    assert!(
        Manifests::from_path(directory.file("a.yaml"))
            .build()
            .is_err()
    );
}

#[test]
fn errors_name_their_files_in_order() {
    let directory = Directory::new()
        .with("2.yaml", "a: [")
        .with("1.yaml", up("s") + &up("t").replace("8000", "0"))
        .with("3.yaml", b"a: \xff\n");
    let report = Manifests::from_path(directory.path()).check();
    let found: Vec<String> = report
        .errors()
        .map(|error| {
            let file = error.file().unwrap().rsplit('/').next().unwrap();
            format!("{file} {} {}", error.document(), line(error))
        })
        .collect();
    assert_eq!(
        found,
        [
            "1.yaml 2 16:46 spec.endpoints[0].port: 0 is not a whole number from 1 to 65535 [invalid-value]",
            "2.yaml 1 1:4 : this is not valid YAML: unclosed bracket '[' [invalid-yaml]",
            "3.yaml 0 0:0 : it is not UTF-8 (in line 1) [unreadable]",
        ]
    );
}

#[test]
fn what_is_not_there_is_an_error() {
    let directory = Directory::new();
    for path in [directory.path().to_owned(), directory.file("missing.yaml")] {
        let error = Manifests::from_path(&path).build().unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(&*path.to_string_lossy()), "{shown}");
    }
}

/// A mounted ConfigMap: each file is a link into a hidden directory.
#[cfg(unix)]
#[test]
fn links_are_followed() {
    let directory = Directory::new();
    let data = directory.file("..2025");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("all.yaml"), up("s") + &route("r", &[TO_S])).unwrap();
    std::os::unix::fs::symlink("..2025", directory.file("..data")).unwrap();
    std::os::unix::fs::symlink("..data/all.yaml", directory.file("all.yaml")).unwrap();
    let table = Manifests::from_path(directory.path()).build().unwrap();
    assert!(decide(&table, "m").starts_with("default/r"));
}

/// A pipe that nobody writes to would be waited for without an end.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_opened() {
    let directory = Directory::new()
        .with("a.yaml", up("s"))
        .with("b.yaml", route("r", &[TO_S]));
    let pipe = directory.file("pipe.yaml");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    std::os::unix::fs::symlink("/dev/zero", directory.file("zero.yaml")).unwrap();
    let report = Manifests::from_path(directory.path()).check();
    let errors: Vec<_> = report.errors().map(ToString::to_string).collect();
    let expected = ["pipe.yaml", "zero.yaml"].map(|name| {
        let path = directory.file(name);
        format!(
            "{}: error: it is not a regular file [unreadable]",
            path.display()
        )
    });
    assert_eq!(errors, expected);
}
