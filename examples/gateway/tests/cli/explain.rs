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

/// As by the gateway that these flags start.
#[test]
fn what_the_gateway_does_not_let_through_is_refused() {
    let directory = Directory::new();
    let routes = route("chat", "small") + &server("small", "m");
    let routes = directory.write("routes.yaml", &routes);
    let explain = |line: &str, more: &[&str]| {
        let request = format!("{line} HTTP/1.1\nHost: g\n\n{{\"model\": \"chat\"}}");
        let request = directory.write("request.http", &request);
        let args = [
            "--explain",
            request.to_str().unwrap(),
            "--manifests",
            routes.to_str().unwrap(),
            "--endpoint",
            "ml/small=http://127.0.0.1:8000",
        ];
        run([&args, more].concat())
    };
    for (target, said) in [
        ("/flush_cache", "404 unknown_path"),
        ("/v1//chat/completions", "400 invalid_target"),
        ("http://a/v1/chat/completions", "400 invalid_host"),
    ] {
        let ended = explain(&format!("POST {target}"), &[]);
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{target}");
        assert!(ended.stderr.contains(said), "{said} in {}", ended.stderr);
    }
    let ended = explain("POST /flush_cache", &["--path", "/flush_cache"]);
    assert!(ended.stdout.contains("/flush_cache"), "{}", ended.stderr);
    let forward = ["--forward", "http://127.0.0.1:9"];
    let ended = explain("GET /version", &forward);
    assert!(ended.stdout.contains("forwarded"), "{}", ended.stderr);
}
