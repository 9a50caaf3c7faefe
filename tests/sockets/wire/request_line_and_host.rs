//! The request line and Host.

use http::Uri;
use hyper_util::{
    client::legacy::Client as HttpClient,
    rt::{TokioExecutor, TokioIo},
};
use test_kit::{
    socket::{Reply, Server, Upstream, Wire, post, post_to},
    table::of_each_kind,
};
use tokio::net::TcpStream;
use tower::ServiceBuilder;
use tower_model_route::{AnswerErrorsLayer, ApiPaths, ModelRouteLayer, RouteBody};

const BODY: &str = r#"{"model":"alias"}"#;

/// The request lines and Hosts that an engine gets from requests for these targets, where its
/// endpoint is `endpoint`, wherever that may be.
async fn forwarded(endpoint: &str, targets: &[&str]) -> (usize, Vec<(String, Vec<String>)>) {
    let upstream = Upstream::start(|_| Reply::ok("{}")).await;
    let engine = upstream.address();
    // The name in the endpoint is not looked up: the one engine stands for all.
    let dial = tower::service_fn(move |_: Uri| {
        Box::pin(async move { TcpStream::connect(engine).await.map(TokioIo::new) })
    });
    let client: HttpClient<_, RouteBody> = HttpClient::builder(TokioExecutor::new()).build(dial);
    let gateway = Server::hyper(
        ServiceBuilder::new()
            .layer(ModelRouteLayer::new(of_each_kind(endpoint)).paths(ApiPaths::any()))
            .layer(AnswerErrorsLayer::new())
            .service(client),
    )
    .await;
    let mut client = gateway.connect().await;
    for target in targets {
        client.send(post_to(target, "", BODY)).await;
        assert_eq!(client.answer().await.status(), 200, "{target}");
    }
    gateway.stop().await;
    let (connections, requests) = upstream.finish().await;
    let lines = requests.into_iter().map(|request| {
        let hosts = request.all("host").into_iter().map(str::to_owned).collect();
        (request.start, hosts)
    });
    (connections, lines.collect())
}

#[tokio::test]
async fn host_is_the_endpoints() {
    for (endpoint, host) in [
        ("http://engine.test:8000", "engine.test:8000"),
        ("http://engine.test:8000/base", "engine.test:8000"),
        ("http://ENGINE.test", "engine.test"),
        ("http://engine.test:80", "engine.test"),
        ("http://engine.test:443", "engine.test:443"),
        ("http://[::1]:80", "[::1]"),
        ("http://[::1]:8000", "[::1]:8000"),
    ] {
        // Of the second, both the target and the Host field name the gateway.
        let targets = ["/v1/x", "http://gateway.test/v1/x"];
        let (_, seen) = forwarded(endpoint, &targets).await;
        assert_eq!(seen.len(), 2);
        for (_, hosts) in seen {
            assert_eq!(hosts, [host], "{endpoint}");
        }
    }
}

#[tokio::test]
async fn host_has_the_port_of_a_real_socket() {
    let wire = Wire::new().await;
    let address = wire.upstream.address();
    wire.ask(post(BODY)).await;
    assert_eq!(wire.only().await.all("host"), [address.to_string()]);
}

#[tokio::test]
async fn the_path_and_the_query_stay_as_they_are() {
    for (target, forwarded_to) in [
        ("/", "/"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/x?a=%20b+c&d=%2F&&=", "/v1/x?a=%20b+c&d=%2F&&="),
        ("/v1/x?", "/v1/x?"),
        ("/v1/x??a?b", "/v1/x??a?b"),
        ("/?a", "/?a"),
        ("//evil.test/v1//x/", "//evil.test/v1//x/"),
        ("/a/.b/...;p=1/%2e%2Ex/", "/a/.b/...;p=1/%2e%2Ex/"),
        ("/%41%zz/~!$&'()*,=:@", "/%41%zz/~!$&'()*,=:@"),
        ("http://gateway.test/v1/x?a=b", "/v1/x?a=b"),
        ("HTTP://Gateway.Test:80/v1/x", "/v1/x"),
        ("https://gateway.test/v1/x", "/v1/x"),
        ("http://gateway.test", "/"),
        ("/v1/{a}|\"^é", "/v1/{a}|\"^\u{c3}\u{a9}"),
    ] {
        let (_, seen) = forwarded("http://engine.test", &[target]).await;
        assert_eq!(
            seen[0].0,
            format!("POST {forwarded_to} HTTP/1.1"),
            "{target}"
        );
        let prefixed = format!("POST /base/v2{forwarded_to} HTTP/1.1");
        for endpoint in ["http://engine.test/base/v2", "http://engine.test/base/v2/"] {
            let (_, seen) = forwarded(endpoint, &[target]).await;
            assert_eq!(seen[0].0, prefixed, "{target}");
        }
    }
}

/// An absolute form may have a query and no path; then the path is `/` (RFC 9110 section 4.2.3).
#[tokio::test]
async fn a_query_without_a_path_is_kept() {
    let (_, seen) = forwarded("http://engine.test", &["http://gateway.test?a=b"]).await;
    assert_eq!(seen[0].0, "POST /?a=b HTTP/1.1");
    let (_, seen) = forwarded("http://engine.test/base", &["http://gateway.test?a=b"]).await;
    assert_eq!(seen[0].0, "POST /base/?a=b HTTP/1.1");
}

#[tokio::test]
async fn a_default_port_shares_the_pool_of_none() {
    let targets = ["/a", "http://gateway.test:80/b", "http://gateway.test/c"];
    let (connections, _) = forwarded("http://engine.test:80", &targets).await;
    assert_eq!(connections, 1);
}

/// RFC 9110 section 4.2.4; an authority with it is no `:authority` either.
#[tokio::test]
async fn a_target_with_user_information_is_refused() {
    for target in [
        "http://user:secret@gateway.test/v1/x",
        "http://user@gateway.test/v1/x",
    ] {
        let wire = Wire::new().await;
        let answer = wire.ask(post_to(target, "", BODY)).await;
        assert_eq!(answer.status(), 400, "{target}");
        assert_eq!(answer.code(), "invalid_host");
        wire.untouched().await;
    }
}

#[tokio::test]
async fn targets_that_are_no_path_are_refused() {
    for target in ["*", "gateway.test"] {
        let wire = Wire::new().await;
        let answer = wire.ask(post_to(target, "", BODY)).await;
        assert_eq!(answer.status(), 404, "{target}");
        assert_eq!(answer.json()["error"]["code"], "unknown_path");
        wire.untouched().await;
    }
}

#[tokio::test]
async fn the_version_is_the_gateways_own() {
    let length = BODY.len();
    for (host, connection) in [("Host: g\r\n", ""), ("", "Connection: keep-alive\r\n")] {
        let wire = Wire::answering(Reply::new(
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok",
        ))
        .await;
        let answer = wire
            .ask(format!(
                "POST /v1/chat HTTP/1.0\r\n{host}{connection}Content-Length: {length}\r\n\r\n{BODY}"
            ))
            .await;
        assert_eq!((answer.status(), &*answer.text()), (200, "ok"));
        let address = wire.upstream.address().to_string();
        let request = wire.only().await;
        assert_eq!(request.start, "POST /v1/chat HTTP/1.1");
        assert_eq!(request.all("host"), [address]);
    }
}

#[tokio::test]
async fn an_answer_of_http_1_0_comes_as_http_1_1() {
    let answer = Reply::new("HTTP/1.0 200 OK\r\n\r\nok").then_close();
    let answer = Wire::answering(answer).await.ask(post(BODY)).await;
    assert_eq!(answer.start, "HTTP/1.1 200 OK");
    assert_eq!(answer.text(), "ok");
}

#[tokio::test]
async fn there_is_one_host_whatever_the_client_says() {
    let length = BODY.len();
    for hosts in ["", "Host:\r\n", "HOST: [::1]:8080\r\n"] {
        let wire = Wire::new().await;
        let address = wire.upstream.address().to_string();
        let head = format!("POST /v1/chat HTTP/1.1\r\n{hosts}Content-Length: {length}\r\n\r\n");
        assert_eq!(wire.ask(head + BODY).await.status(), 200);
        assert_eq!(wire.only().await.all("host"), [address]);
    }
}

/// Whoever is in front of the gateway, or behind it, might take another one (RFC 9112 section 3.2).
#[tokio::test]
async fn several_hosts_and_another_one_than_the_targets_are_refused() {
    let length = BODY.len();
    let wire = Wire::new().await;
    for (target, hosts) in [
        ("/v1/chat", "Host: a\r\nHost: b\r\n"),
        ("/v1/chat", "Host: a\r\nhost: a\r\n"),
        ("/v1/chat", "Host: a, b\r\n"),
        ("/v1/chat", "Host: me@a\r\n"),
        ("/v1/chat", "Host: a/b\r\n"),
        ("http://a/v1/chat", "Host: b\r\n"),
        ("http://a:81/v1/chat", "Host: a\r\n"),
        ("http://a/v1/chat", "Host:\r\n"),
    ] {
        let head = format!("POST {target} HTTP/1.1\r\n{hosts}Content-Length: {length}\r\n\r\n");
        let answer = wire.ask(head + BODY).await;
        assert_eq!(
            (answer.status(), &*answer.code()),
            (400, "invalid_host"),
            "{target} {hosts}"
        );
    }
    wire.untouched().await;
}

/// The method is the client's, whatever it is.
#[tokio::test]
async fn the_method_is_kept() {
    for method in ["POST", "PUT", "PATCH", "QUERY", "X-OWN"] {
        let wire = Wire::new().await;
        let request = String::from_utf8(post(BODY)).unwrap();
        wire.ask(request.replacen("POST", method, 1)).await;
        let start = wire.only().await.start;
        assert_eq!(start, format!("{method} /v1/chat/completions HTTP/1.1"));
    }
}
