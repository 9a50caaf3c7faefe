//! `--explain`.

use test_kit::directory::Directory;

use crate::{
    files::{route, server},
    program::run,
};

#[test]
fn a_request_is_explained_by_the_manifests_given() {
    let directory = Directory::new();
    let body = r#"{"model": "chat"}"#;
    let request = format!("POST /v1/chat/completions HTTP/1.1\n\n{body}");
    let request = directory.write("request.http", &request);
    let routes = route("chat", "small") + &server("small", "org/small");
    let routes = directory.write("routes.yaml", &routes);
    let ended = run([
        "--explain",
        request.to_str().unwrap(),
        "--manifests",
        routes.to_str().unwrap(),
        "--endpoint",
        "ml/small=http://127.0.0.1:8000",
    ]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    for part in ["ml/chat", "ml/small", "org/small", "http://127.0.0.1:8000"] {
        assert!(ended.stdout.contains(part), "{part} in {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("deepseek"), "{}", ended.stdout);
}
