//! `--check`.

use std::path::Path;

use test_kit::directory::Directory;

use crate::{
    files::{route, server},
    program::{Ended, run},
};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");

const ENDPOINTS: [&str; 8] = [
    "--endpoint",
    "deepseek-r1-1-5b=http://127.0.0.1:8001",
    "--endpoint",
    "default/deepseek-r1-1-5b=http://127.0.0.1:8002",
    "--endpoint",
    "deepseek-r1-1-5b-v1=http://127.0.0.1:8003",
    "--endpoint",
    "deepseek-r1-1-5b-v2=http://127.0.0.1:8004",
];

fn check(path: &Path, more: &[&str]) -> Ended {
    let args = [&["--check", path.to_str().unwrap()], more].concat();
    run(args)
}

#[test]
fn sound_manifests_give_0() {
    let last = ["--endpoint", "deepseek-r1-7b=http://127.0.0.1:8005"];
    let ended = check(Path::new(SCENARIOS), &[&ENDPOINTS[..], &last].concat());
    let (note, count) = ended.stdout.split_once('\n').unwrap();
    assert!(
        note.starts_with("note: 3 ModelServers have no \"retry\": as in Kthena"),
        "{note}"
    );
    assert_eq!(count, "no errors, no warnings\n");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn a_warning_has_its_line_and_gives_0() {
    let ended = check(Path::new(SCENARIOS), &ENDPOINTS);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (warning, count) = ended.stdout.split_once('\n').unwrap();
    let place = format!("{SCENARIOS}/model-servers.yaml:64:9: warning: ");
    assert!(warning.starts_with(&place), "{warning}");
    assert!(warning.ends_with("[no-endpoints]"), "{warning}");
    assert!(count.ends_with("\nno errors, 1 warning\n"), "{count}");
}

#[test]
fn every_error_has_its_line_and_they_give_1() {
    let directory = Directory::new();
    let routes = directory.write("routes.yaml", &(route("a", "smal") + &route("b", "small")));
    let servers = server("small", "m").replace("port: 8000", "port: 80000");
    let servers = directory.write("servers.yaml", &servers);
    let at = |path: &Path, place: &str| format!("{}:{place}: error: ", path.display());
    let wrong_name = at(&routes, "11:24");
    let wrong_port = at(&servers, "10:11");

    // A directory, files, and files by the other flag are all the same.
    let [routes, servers] = [&routes, &servers].map(|path| path.to_str().unwrap());
    let whole = directory.path().to_str().unwrap();
    for args in [
        &["--check", whole][..],
        &["--check", routes, servers],
        &["--check", "--manifests", routes, "--manifests", servers],
        &["--check", routes, "--manifests", servers],
        &["--manifests", routes, servers, "--check"],
    ] {
        let ended = run(args);
        assert_eq!((ended.code, &*ended.stderr), (Some(1), ""), "{args:?}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(lines.len(), 4, "{args:?}: {lines:#?}");
        assert!(lines[0].starts_with(&wrong_name), "{args:?}: {lines:#?}");
        assert!(lines[0].contains(r#"did you mean "small"?"#), "{lines:#?}");
        assert!(lines[1].starts_with(&wrong_port), "{args:?}: {lines:#?}");
        assert!(lines[2].starts_with("note: "), "{lines:#?}");
        assert_eq!(lines[3], "2 errors, no warnings");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let directory = Directory::new();
    let path = directory.path().join("gone.yaml");
    let ended = check(&path, &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let begin = format!("{}: error: can't be read", path.display());
    assert!(ended.stdout.starts_with(&begin), "{}", ended.stdout);
}

#[test]
fn an_endpoint_of_a_server_that_is_not_there_is_an_error() {
    let unknown = ["--endpoint", "deepseek-r1-8b=http://127.0.0.1:8000"];
    let ended = check(Path::new(SCENARIOS), &unknown);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let error = r#"endpoints are given for "default/deepseek-r1-8b", but there is no such"#;
    assert!(ended.stdout.contains(error), "{}", ended.stdout);
}

#[test]
fn a_rule_for_a_path_of_no_inference_api_is_an_error_unless_the_path_is_added() {
    let directory = Directory::new();
    let rule = "    modelMatch:\n      uri:\n        exact: /v1/summaries\n    targetModels:";
    let route = route("chat", "small").replacen("    targetModels:", rule, 1);
    directory.write("route.yaml", &route);
    directory.write("server.yaml", &server("small", "m"));
    let endpoint = ["--endpoint", "ml/small=http://127.0.0.1:8001"];
    let ended = check(directory.path(), &endpoint);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("no inference API has this path"),
        "{ended:?}"
    );
    let added = ["--path", "/v1/summaries"];
    let ended = check(directory.path(), &[&endpoint[..], &added].concat());
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let ended = check(directory.path(), &["--path", "no/slash"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("does not begin with a slash"),
        "{ended:?}"
    );
}
