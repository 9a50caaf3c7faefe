//! A gateway by its user's own manifests.

use mock_llm::Engine;

use test_kit::directory::Directory;

use crate::{
    files::{route, server},
    program::{Gateway, header, run},
};

#[tokio::test]
async fn it_routes_by_the_manifests_to_the_endpoints_given() {
    let engines = [
        Engine::new("org/small").label("one").spawn().await.unwrap(),
        Engine::new("org/small").label("two").spawn().await.unwrap(),
    ];
    let directory = Directory::new();
    let routes = directory.write("routes.yaml", &route("chat", "small"));
    let servers = directory.write("servers.yaml", &server("small", "org/small"));
    let [one, two] = engines.each_ref().map(|engine| engine.url());
    let gateway = Gateway::start([
        "--manifests",
        routes.to_str().unwrap(),
        "--endpoint",
        &format!("ml/small={one}"),
        "--manifests",
        servers.to_str().unwrap(),
        "--endpoint",
        &format!("ml/small={two}"),
    ])
    .await;

    let said = &gateway.introduction;
    assert!(
        said.contains(&format!("ml/small      {one}, {two}")),
        "{said}"
    );
    assert!(said.contains("ml/chat  chat    all"), "{said}");
    assert!(said.contains(r#"--json '{"model": "chat", "#), "{said}");
    // The mock engines' scenarios are not there.
    assert!(!said.contains("deepseek"), "{said}");

    let mut by = Vec::new();
    for _ in 0..2 {
        let answer = gateway.ask("chat").await;
        assert_eq!(answer.status(), 200, "{}", answer.body());
        assert_eq!(header(&answer, "x-model-route-name"), "ml/chat");
        assert_eq!(header(&answer, "x-model-route-server"), "ml/small");
        by.push(header(&answer, "x-mock-engine").to_owned());
    }
    by.sort();
    assert_eq!(by, ["one", "two"]);
    let unknown = gateway.ask("deepseek-simple").await;
    assert_eq!(unknown.status(), 404, "{}", unknown.body());
}

#[tokio::test]
async fn each_address_of_a_name_may_be_an_endpoint() {
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let manifests = server("small", "org/small") + &route("chat", "small");
    let manifests = directory.write("all.yaml", &manifests);
    let name = engine.url().replace("127.0.0.1", "localhost");
    let gateway = Gateway::start([
        "--manifests",
        manifests.to_str().unwrap(),
        "--endpoint",
        &format!("ml/small={name}"),
        "--resolve",
        "--show-endpoints",
    ])
    .await;
    let said = &gateway.introduction;
    assert!(said.contains(&format!("{name}#127.0.0.1")), "{said}");
    let answer = gateway.ask("chat").await;
    assert_eq!(answer.status(), 200, "{}", answer.body());
    let at = header(&answer, "x-model-route-endpoint");
    assert_eq!(at, format!("{name}#127.0.0.1"));
}

#[tokio::test]
async fn what_is_wrong_may_be_left_out() {
    let engine = Engine::new("org/small").spawn().await.unwrap();
    let directory = Directory::new();
    let wrong = route("wrong", "small").replace("targetModels", "targetModel");
    let manifests = server("small", "org/small") + &route("chat", "small") + &wrong;
    let manifests = directory.write("all.yaml", &manifests);
    let endpoint = format!("ml/small={}", engine.url());
    let manifests = manifests.to_str().unwrap();
    let gateway = Gateway::start([
        "--manifests",
        manifests,
        "--endpoint",
        &endpoint,
        "--lenient",
    ])
    .await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
    assert_eq!(gateway.ask("wrong").await.status(), 404);
}

#[tokio::test]
async fn without_manifests_it_has_the_scenarios_and_mock_engines() {
    let gateway = Gateway::start([""; 0]).await;
    let answer = gateway.ask("deepseek-simple").await;
    assert_eq!(answer.status(), 200, "{}", answer.body());
    let server = header(&answer, "x-model-route-server");
    assert_eq!(server, "default/deepseek-r1-1-5b");
}

#[test]
fn mistakes_in_the_manifests_are_named_before_it_serves() {
    let directory = Directory::new();
    let routes = directory.write("routes.yaml", &route("chat", "small"));
    let routes = routes.to_str().unwrap();
    let ended = run(["--listen", "127.0.0.1:0", "--manifests", routes]);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    let place = format!("{routes}:11:24: error: ");
    assert!(ended.stderr.contains(&place), "{}", ended.stderr);
}

#[tokio::test]
async fn a_curl_line_is_sound_for_any_name() {
    let directory = Directory::new();
    let named = route("x", "small").replace("modelName: x", r#"modelName: "it's \"q\"""#);
    let path = directory.write("all.yaml", &(server("small", "m") + &named));
    let endpoint = "ml/small=http://127.0.0.1:9";
    let args = [
        "--manifests",
        path.to_str().unwrap(),
        "--endpoint",
        endpoint,
    ];
    let gateway = Gateway::start(args).await;
    let curl = r#"--json '{"model": "it'\''s \"q\"", "messages""#;
    let said = &gateway.introduction;
    assert!(said.contains(curl), "{said}");
}

#[tokio::test]
async fn a_request_of_http_1_1_says_whom_it_asks() {
    let gateway = Gateway::start([""; 0]).await;
    for (version, host, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: g\r\n", 200),
        ("1.0", "", 200),
        ("1.1", "Host: a\r\nHost: b\r\n", 400),
    ] {
        let request = format!("GET /v1/models HTTP/{version}\r\n{host}Connection: close\r\n\r\n");
        let answer = gateway.raw(&request).await;
        let line = answer.lines().next().unwrap();
        assert!(
            line.contains(&format!(" {status} ")),
            "{version} {host:?}: {answer}"
        );
        assert_eq!(answer.contains("invalid_host"), status == 400, "{answer}");
    }
}

#[tokio::test]
async fn engines_addresses_are_told_only_if_asked_to() {
    for (flags, told) in [(&[][..], false), (&["--show-endpoints"][..], true)] {
        let gateway = Gateway::start(flags).await;
        let answer = gateway.ask("deepseek-simple").await;
        assert_eq!(answer.status(), 200);
        assert_ne!(header(&answer, "x-model-route-server"), "-");
        assert_eq!(header(&answer, "x-model-route-endpoint") != "-", told);
    }
}

#[tokio::test]
async fn the_admin_view_answers_by_names_that_are_listed() {
    let gateway = Gateway::start(["--admin-here", "--admin-host", "ops.example"]).await;
    for (host, status) in [
        ("ops.example", 200),
        ("127.0.0.1", 200),
        ("evil.example", 421),
    ] {
        let request = format!("GET /_routes HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = gateway.raw(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}
