//! How it serves: the options, and what clients and engines get.

use axum::http::{Request, Version};
use test_kit::{
    directory::Directory,
    socket::{Message, Peer, Reply, Upstream, chunk, post},
};

use crate::{
    files::{keyed, route, server},
    program::{Gateway, header, run},
};

fn manifests() -> String {
    server("small", "m") + &route("chat", "small")
}

fn with_key() -> String {
    keyed(&server("small", "m")) + &route("chat", "small")
}

#[tokio::test]
async fn a_key_from_a_file_reaches_the_engine_and_is_not_shown() {
    let mut engine = Upstream::start(|_| Reply::ok("{}")).await;
    let keys = Directory::new();
    let file = keys.write("key", "sk-7f3a\n");
    let keys = format!("K={}", file.display());
    let (_directory, gateway) =
        Gateway::serving(&engine, &with_key(), &["--keys", &keys, "--admin-here"]).await;
    assert_eq!(gateway.ask("chat").await.status(), 200);
    assert_eq!(
        engine.next().await.field("authorization"),
        Some("Bearer sk-7f3a")
    );
    let request = Request::get(format!("{}/_routes", gateway.url()));
    let table = gateway.send(request.body(String::new()).unwrap()).await;
    assert!(!table.body().contains("7f3a"), "{}", table.body());
}

#[test]
fn a_key_that_is_not_allowed_or_not_there() {
    let directory = Directory::new();
    let path = directory.write("all.yaml", &with_key());
    let ended = run(["--check", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("unknown-key"), "{}", ended.stdout);
    let ended = run([
        "--check",
        path.to_str().unwrap(),
        "--keys",
        "NO_SUCH_VARIABLE",
    ]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("environment variable not found"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn both_versions_of_http_have_the_same_room_for_headers() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let (_directory, gateway) = Gateway::serving(&engine, &manifests(), &[]).await;
    for bytes in [8_000, 20_000, 200_000, 500_000] {
        let mut statuses = Vec::new();
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let request = Request::post(format!("{}/v1/chat/completions", gateway.url()))
                .version(version)
                .header("x-long", "x".repeat(bytes))
                .body(r#"{"model": "chat"}"#.to_owned());
            let request = request.unwrap();
            let mut response = gateway.try_send(request.clone()).await;
            // A head that is too long may be refused while it is still written.
            for _ in 0..20 {
                if response.is_err() && bytes > 400_000 {
                    response = gateway.try_send(request.clone()).await;
                }
            }
            statuses.push(response.unwrap().status().as_u16());
        }
        let expected = if bytes < 400_000 { 200 } else { 431 };
        assert_eq!(statuses, [expected; 2], "{bytes}");
    }
}

#[tokio::test]
async fn a_request_without_a_model_is_forwarded_if_asked_to() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let mut other = Upstream::start(|_| Reply::ok("other")).await;
    let (_directory, gateway) = Gateway::serving(&engine, &manifests(), &[]).await;
    assert_eq!(gateway.get("/version").await, 404);
    let (_directory, gateway) =
        Gateway::serving(&engine, &manifests(), &["--forward", &other.url()]).await;
    assert_eq!(gateway.get("/version?x=1").await, 200);
    let seen = other.next().await;
    assert_eq!(seen.start, "GET /version?x=1 HTTP/1.1");
    assert_eq!(seen.field("host"), other.url().strip_prefix("http://"));
    assert_eq!(gateway.ask("chat").await.body(), "{}");
}

#[tokio::test]
async fn what_is_forwarded_leaves_the_clients_connection_behind() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let mut other = Upstream::start(|_| Reply::ok("other")).await;
    let (_directory, gateway) =
        Gateway::serving(&engine, &manifests(), &["--forward", &other.url()]).await;
    let request = "GET /version HTTP/1.1\r\nHost: g\r\nConnection: Upgrade, X-Hop, Authorization, close\r\n\
        Upgrade: h2c\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\nProxy-Authorization: secret\r\n\
        HTTP2-Settings: AA\r\nExpect: 100-continue\r\nAuthorization: key\r\nX-End: 1\r\n\r\n";
    assert!(gateway.raw(request).await.contains(" 200 OK\r\n"));
    let seen = other.next().await;
    for stays in [
        "connection",
        "upgrade",
        "x-hop",
        "keep-alive",
        "te",
        "proxy-authorization",
        "http2-settings",
        "expect",
    ] {
        assert_eq!(seen.field(stays), None, "{stays}");
    }
    assert_eq!(seen.field("authorization"), Some("key"));
    assert_eq!(seen.field("x-end"), Some("1"));

    let request = Request::get(format!("{}/version", gateway.url()))
        .version(Version::HTTP_2)
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let request = request.body(String::new()).unwrap();
    assert_eq!(gateway.send(request).await.body(), "other");
    let seen = other.next().await;
    assert_eq!(seen.start, "GET /version HTTP/1.1");
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
}

#[tokio::test]
async fn engines_are_told_about_clients_as_the_operator_says() {
    let mut engine = Upstream::start(|_| Reply::ok("{}")).await;
    let given = "203.0.113.7";
    for (how, expected) in [
        (None, Some("203.0.113.7")),
        (Some("unchanged"), Some("203.0.113.7")),
        (Some("remove"), None),
        (Some("replace"), Some("127.0.0.1")),
        (Some("append"), Some("203.0.113.7, 127.0.0.1")),
    ] {
        let args: Vec<_> = how
            .iter()
            .flat_map(|how| ["--forwarded-fields", how])
            .collect();
        let (_directory, gateway) = Gateway::serving(&engine, &manifests(), &args).await;
        let request = Request::post(format!("{}/v1/chat/completions", gateway.url()))
            .header("x-forwarded-for", given)
            .body(r#"{"model": "chat"}"#.to_owned());
        assert_eq!(gateway.send(request.unwrap()).await.status(), 200);
        let sent = engine.next().await;
        assert_eq!(sent.field("x-forwarded-for"), expected, "{how:?}");
    }
}

#[tokio::test]
async fn browsers_may_be_let_in() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let allowed = "https://chat.example";
    let (_directory, gateway) = Gateway::serving(&engine, &manifests(), &["--cors", allowed]).await;
    for (origin, expected) in [(allowed, allowed), ("https://other.example", "-")] {
        let request = Request::options(format!("{}/v1/chat/completions", gateway.url()))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
            .body(String::new());
        let answer = gateway.send(request.unwrap()).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), expected);
    }
}

#[tokio::test]
async fn the_admin_view_may_have_its_own_address() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let args = ["--admin-listen", "127.0.0.1:0"];
    let (_directory, gateway) = Gateway::serving(&engine, &manifests(), &args).await;
    assert_eq!(gateway.get("/_routes").await, 404);
    let url = gateway.admin_url();
    for path in ["/_routes", "/healthz", "/readyz"] {
        let request = Request::get(format!("{url}{path}")).body(String::new());
        assert_eq!(gateway.send(request.unwrap()).await.status(), 200, "{path}");
    }
}

/// Those of axum and of other layers too, on either address.
#[tokio::test]
async fn every_answer_has_the_requests_id() {
    let mut engine = Upstream::start(|_| Reply::ok("{}")).await;
    let args = [
        "--admin-listen",
        "127.0.0.1:0",
        "--cors",
        "https://chat.example",
    ];
    let (_directory, gateway) = Gateway::serving(&engine, &manifests(), &args).await;
    let admin = gateway.admin_url();
    let mut seen = std::collections::HashSet::new();
    for (method, url, path, status) in [
        ("GET", gateway.url(), "/healthz", 200),
        ("GET", gateway.url(), "/readyz", 200),
        ("POST", gateway.url(), "/healthz", 405),
        ("GET", gateway.url(), "/nothing", 404),
        ("POST", gateway.url(), "/v1/chat/completions", 200),
        ("OPTIONS", gateway.url(), "/v1/chat/completions", 200),
        ("GET", &admin, "/healthz", 200),
        ("GET", &admin, "/readyz", 200),
        ("GET", &admin, "/_", 200),
        ("GET", &admin, "/_routes", 200),
        ("GET", &admin, "/nothing", 404),
        ("POST", &admin, "/_routes", 405),
    ] {
        for given in [Some("req-1"), Some("two words"), None] {
            let mut request = Request::builder()
                .method(method)
                .uri(format!("{url}{path}"))
                .header("content-type", "application/json")
                .header("origin", "https://chat.example")
                .header("access-control-request-method", "POST");
            if let Some(given) = given {
                request = request.header("x-request-id", given);
            }
            let request = request.body(r#"{"model": "chat"}"#.to_owned()).unwrap();
            let answer = gateway.send(request).await;
            assert_eq!(answer.status(), status, "{method} {path}");
            let id = header(&answer, "x-request-id");
            match given {
                Some("req-1") => assert_eq!(id, "req-1", "{method} {path}"),
                _ => assert!(id.len() == 32 && seen.insert(id.to_owned()), "{path}: {id}"),
            }
            let has_engine = (method, status) == ("POST", 200);
            if has_engine {
                assert_eq!(engine.next().await.field("x-request-id"), Some(id));
            }
        }
    }
    let without = "GET /healthz HTTP/1.1\r\nConnection: close\r\nX-Request-Id: req-1\r\n\r\n";
    let answer = gateway.raw(without).await;
    assert!(answer.contains("x-request-id: req-1\r\n"), "{answer}");
}

/// From this machine, or where only operators are; not by whoever can send a request.
#[tokio::test]
async fn an_engine_is_taken_out_of_service_by_operators() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let post = async |gateway: &Gateway, url: &str, path: &str| {
        let request = Request::post(format!("{url}/{path}"))
            .header("content-type", "application/json")
            .body(format!("{{\"endpoint\": \"{}\"}}", engine.url()));
        gateway.send(request.unwrap()).await.status().as_u16()
    };
    let (_directory, mut gateway) =
        Gateway::serving(&engine, &manifests(), &["--admin-here"]).await;
    assert_eq!(post(&gateway, gateway.url(), "_drain").await, 200);
    gateway.until("endpoint is draining").await;
    let answer = gateway.ask("chat").await;
    assert_eq!(answer.status(), 503);
    assert!(
        answer.body().contains("out of service"),
        "{}",
        answer.body()
    );
    assert_eq!(post(&gateway, gateway.url(), "_undrain").await, 200);
    assert_eq!(gateway.ask("chat").await.status(), 200);

    let any = "0.0.0.0:0";
    let (_directory, gateway) =
        Gateway::serving_on(any, &engine.url(), &manifests(), &["--admin-here"]).await;
    assert_eq!(post(&gateway, gateway.url(), "_drain").await, 403);
    let admin = ["--admin-listen", "127.0.0.1:0"];
    let (_directory, gateway) = Gateway::serving_on(any, &engine.url(), &manifests(), &admin).await;
    let url = gateway.admin_url();
    assert_eq!(post(&gateway, &url, "_drain").await, 200);
}

/// The timers of the established connections of which this port is the near end, and whether each
/// is the one that asks an idle peer whether it is still there (proc(5)).
#[cfg(target_os = "linux")]
fn are_asked(port: u16) -> Vec<bool> {
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = connections.lines().skip(1);
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|line| line[1].ends_with(&format!(":{port:04X}")) && line[3] == "01")
        .map(|line| line[5].starts_with("02:"))
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_client_is_asked_whether_it_is_there() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let (_directory, gateway) = Gateway::serving(&engine, &manifests(), &[]).await;
    let address: std::net::SocketAddr = gateway
        .url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let mut client = Peer::connect(address).await;
    client.send(post(r#"{"model": "chat"}"#)).await;
    assert_eq!(client.answer().await.status(), 200);
    test_kit::time::eventually(|| are_asked(address.port()) == [true]).await;
}

#[tokio::test]
async fn connections_beyond_the_maximum_wait() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let (_directory, gateway) =
        Gateway::serving(&engine, &manifests(), &["--max-connections", "1"]).await;
    let address = gateway.url().strip_prefix("http://").unwrap();
    let mut first = Peer::connect(address.parse().unwrap()).await;
    first.send(post(r#"{"model": "chat"}"#)).await;
    assert_eq!(first.answer().await.status(), 200);
    let mut second = Peer::connect(address.parse().unwrap()).await;
    second.send(post(r#"{"model": "chat"}"#)).await;
    let waits = tokio::time::timeout(test_kit::time::A_WHILE, second.answer()).await;
    assert!(waits.is_err());
    drop(first);
    assert_eq!(second.answer().await.status(), 200);
}

#[cfg(unix)]
#[tokio::test]
async fn a_websocket_is_a_connection_to_its_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let at_most = ["--max-connections", "1"];
    let (_directory, gateway) =
        Gateway::serving_on("127.0.0.1:0", &url, &manifests(), &at_most).await;
    let (client, engine) = crate::stop::websocket(&gateway, &listener).await;
    let second = gateway.get("/healthz");
    let waits = tokio::time::timeout(test_kit::time::A_WHILE, second).await;
    assert!(waits.is_err());
    drop((client, engine));
    assert_eq!(gateway.get("/healthz").await, 200);
}

#[tokio::test]
async fn each_worker_has_clients_and_connections_to_engines_of_its_own() {
    for workers in [1, 3] {
        let engine = Upstream::start(|_| Reply::ok("{}")).await;
        let count = workers.to_string();
        let (_directory, gateway) =
            Gateway::serving(&engine, &manifests(), &["--workers", &count]).await;
        let address = gateway.url().strip_prefix("http://").unwrap().to_owned();
        let mut clients = Vec::new();
        for _ in 0..6 {
            let mut client = Peer::connect(address.parse().unwrap()).await;
            client.send(post(r#"{"model": "chat"}"#)).await;
            assert_eq!(client.answer().await.status(), 200);
            clients.push(client);
        }
        drop(gateway);
        let (connections, requests) = engine.finish().await;
        assert_eq!((connections, requests.len()), (workers, 6));
    }
}

/// Rust's own words for values are for its programmers.
#[tokio::test]
async fn what_it_says_of_failures_is_plain() {
    let engine = Upstream::start(|_| Reply::ok("{}")).await;
    let gone = Upstream::start(|_| Reply::close()).await;
    let dead = gone.url();
    gone.kill().await;
    let beside = format!("ml/small={dead}");
    let (_directory, mut gateway) =
        Gateway::serving(&engine, &manifests(), &["--endpoint", &beside]).await;
    // One of the first two goes to it, and on to its sibling.
    for _ in 0..2 {
        assert_eq!(gateway.ask("chat").await.status(), 200);
    }
    let sent_again = gateway.until("*** sent again").await;
    let (_directory, mut gateway) =
        Gateway::serving_on("127.0.0.1:0", &dead, &manifests(), &[]).await;
    for _ in 0..5 {
        assert_eq!(gateway.ask("chat").await.status(), 502);
    }
    let ejected = gateway.until("*** endpoint ejected").await;
    assert!(sent_again.contains("outcome=no connection"), "{sent_again}");
    assert!(ejected.contains("cause=no connection"), "{ejected}");
    let mut lines = ejected.lines();
    let why = lines.find(|line| line.starts_with("*** engine can't be reached"));
    assert!(why.unwrap().contains("refused"), "{ejected}");
    for said in [sent_again, ejected] {
        let events = said.lines().filter(|line| line.starts_with("***"));
        let said = events.collect::<Vec<_>>().join("\n");
        for word in ["Some(", "None", "Error", "Outcome", "{", "\""] {
            assert!(!said.contains(word), "{word} in:\n{said}");
        }
    }
}

#[tokio::test]
async fn the_line_of_a_stream_tells_how_it_ended() {
    let script = |request: &Message| {
        let begun = Reply::new("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let begun = begun.then(chunk("tok"));
        match request.text().contains("whole") {
            true => begun.then("0\r\n\r\n"),
            false => begun.then_close(),
        }
    };
    let engine = Upstream::start(script).await;
    let (_directory, mut gateway) = Gateway::serving(&engine, &manifests(), &[]).await;
    let address = gateway
        .url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    for (body, complete) in [
        (r#"{"model": "chat", "a": "whole"}"#, true),
        (r#"{"model": "chat"}"#, false),
    ] {
        let mut client = Peer::connect(address).await;
        client.send(post(body)).await;
        assert_eq!(client.whole_message().await.complete, complete);
        let line = gateway.until("POST /v1/chat/completions").await;
        assert!(line.contains("HTTP/1.1\" 200 "), "{line}");
        let broken_off = line.contains(" error=stream_interrupted ");
        assert_eq!(broken_off, !complete, "{line}");
    }
}
