//! `--watch`.

use std::fs;

use mock_llm::Engine;

use test_kit::{
    directory::Directory,
    socket::{Reply, Upstream},
};

use crate::{
    files::{at, keyed, route, server},
    program::{Gateway, header},
};

#[tokio::test]
async fn it_goes_by_what_the_files_say_now_and_by_the_last_that_were_sound() {
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let with = |model: &str| server("small", "org/small") + &route(model, "small");
    directory.write("all.yaml", &with("first"));
    let mut gateway = Gateway::start([
        "--watch",
        "--show-endpoints",
        "--manifests",
        directory.path().to_str().unwrap(),
        "--endpoint",
        &format!("ml/small={}", engine.url()),
    ])
    .await;
    assert_eq!(gateway.ask("first").await.status(), 200);
    assert_eq!(gateway.ask("second").await.status(), 404);

    // A comment is no reload either: the line of the request after it comes first.
    directory.write("all.yaml", &(with("first") + "# a comment\n"));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(gateway.ask("second").await.status(), 404);
    let first = gateway.until("second").await;
    directory.write("all.yaml", &with("second"));
    gateway.until("manifests reloaded").await;
    let answer = gateway.ask("second").await;
    assert_eq!(answer.status(), 200, "{}", answer.body());
    // The endpoint from the command line is still there.
    assert_eq!(header(&answer, "x-model-route-endpoint"), engine.url());
    assert_eq!(gateway.ask("first").await.status(), 404);

    let path = directory.write(
        "all.yaml",
        &with("third").replace("Name: small", "Name: tall"),
    );
    gateway.until("manifests not reloaded").await;
    let place = format!("{}:23:24: error: ", path.display());
    gateway.until(&place).await;
    assert_eq!(gateway.ask("second").await.status(), 200);

    directory.write("all.yaml", &with("third"));
    gateway.until("manifests reloaded").await;
    assert_eq!(gateway.ask("third").await.status(), 200);

    // To begin with, there was no reload: nothing had changed.
    assert!(!first.contains("manifests reloaded"), "{first}");
}

/// An emptied file is an accident, unless it is said to be none.
#[tokio::test]
async fn the_last_route_goes_only_where_that_is_allowed() {
    let engine = Engine::new("org/small").spawn().await.unwrap();
    for (flags, said, status) in [
        (&["--watch"][..], "manifests not reloaded", 200),
        (&["--watch", "--allow-no-routes"], "manifests reloaded", 404),
    ] {
        let directory = Directory::new();
        let all = server("small", "org/small") + &route("only", "small");
        directory.write("all.yaml", &all);
        let endpoint = format!("ml/small={}", engine.url());
        let path = directory.path().to_str().unwrap();
        let own = ["--manifests", path, "--endpoint", &endpoint];
        let mut gateway = Gateway::start(flags.iter().copied().chain(own)).await;
        assert_eq!(gateway.ask("only").await.status(), 200);
        directory.write("all.yaml", &server("small", "org/small"));
        gateway.until(said).await;
        assert_eq!(gateway.ask("only").await.status(), status);
    }
}

#[tokio::test]
async fn there_also_with_the_last_file_of_a_directory() {
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let server = at(&server("small", "org/small"), &engine.url());
    let file = directory.write("all.yaml", &(server + &route("only", "small")));
    let path = directory.path().to_str().unwrap();
    let args = ["--watch", "--allow-no-routes", "--manifests", path];
    let mut gateway = Gateway::start(args).await;
    assert_eq!(gateway.ask("only").await.status(), 200);
    fs::remove_file(file).unwrap();
    gateway.until("manifests reloaded").await;
    assert_eq!(gateway.ask("only").await.status(), 404);
}

#[tokio::test]
async fn a_key_that_changes_is_a_reload_too() {
    let mut engine = Upstream::start(|_| Reply::ok("{}")).await;
    let keys = Directory::new();
    let key = format!("K={}", keys.write("key", "one\n").display());
    let manifests = keyed(&server("small", "m")) + &route("chat", "small");
    let more = ["--watch", "--keys", &key];
    let (_directory, mut gateway) = Gateway::serving(&engine, &manifests, &more).await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
    assert_eq!(
        engine.next().await.field("authorization"),
        Some("Bearer one")
    );
    keys.write("key", "two\n");
    gateway.until("manifests reloaded").await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
    assert_eq!(
        engine.next().await.field("authorization"),
        Some("Bearer two")
    );
}
