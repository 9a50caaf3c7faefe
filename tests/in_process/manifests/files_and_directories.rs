//! Files and directories.

use std::{fs, path::PathBuf};

use tower_model_route::manifest::Manifests;

use super::written::{decide, line, route, up};

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("tower-model-route-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.join(name), content).unwrap();
        self
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const TO_S: &str = "modelName: m\nrules: [{targetModels: [{modelServerName: s}]}]";

#[test]
fn a_directory_is_its_manifests_and_not_those_below() {
    let directory = Directory::new("flat")
        .file("b.yml", up("s"))
        .file("a.yaml", route("r", &[TO_S]))
        .file("c.json", r#"{"apiVersion": "v1", "kind": "Service"}"#)
        .file("notes.txt", "a: [")
        .file(".hidden.yaml", "a: [")
        .file("values.yaml.bak", "a: [");
    fs::create_dir(directory.0.join("below.yaml")).unwrap();
    fs::write(directory.0.join("below.yaml/x.yaml"), "a: [").unwrap();
    let manifests = Manifests::from_path(&directory.0);
    assert_eq!(manifests.check().to_string(), "no errors, no warnings");
    assert!(decide(&manifests.build().unwrap(), "m").starts_with("default/r"));
    // One file alone has no ModelServer.
    assert!(
        Manifests::from_path(directory.0.join("a.yaml"))
            .build()
            .is_err()
    );
}

#[test]
fn errors_name_their_files_in_order() {
    let directory = Directory::new("errors")
        .file("2.yaml", "a: [")
        .file("1.yaml", up("s") + &up("t").replace("8000", "0"))
        .file("3.yaml", b"a: \xff\n");
    let report = Manifests::from_path(&directory.0).check();
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
    let directory = Directory::new("none");
    for path in [directory.0.clone(), directory.0.join("missing.yaml")] {
        let error = Manifests::from_path(&path).build().unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(&*path.to_string_lossy()), "{shown}");
    }
}

/// A mounted ConfigMap: each file is a link into a hidden directory.
#[cfg(unix)]
#[test]
fn links_are_followed() {
    let directory = Directory::new("links");
    let data = directory.0.join("..2025");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("all.yaml"), up("s") + &route("r", &[TO_S])).unwrap();
    std::os::unix::fs::symlink("..2025", directory.0.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/all.yaml", directory.0.join("all.yaml")).unwrap();
    let table = Manifests::from_path(&directory.0).build().unwrap();
    assert!(decide(&table, "m").starts_with("default/r"));
}
