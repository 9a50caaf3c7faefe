//! A request to one of several addresses of a name goes there, and speaks of the name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use test_kit::{
    answer::Answer,
    request::asked,
    socket::{Server, http_client},
    table::table,
    tls::Authority,
};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_model_route::{
    Endpoint, EngineClient, EngineClientBuilder, ModelServer, RouteTableHandle, Rule, stack,
};

/// Listeners on as many addresses of this machine, all on one port.
async fn listeners<const N: usize>() -> [TcpListener; N] {
    loop {
        let mut all = Vec::new();
        let mut port = 0;
        for last in 2.. {
            if all.len() == N {
                return all.try_into().unwrap();
            }
            let Ok(listener) = TcpListener::bind((ip(last), port)).await else {
                break;
            };
            port = listener.local_addr().unwrap().port();
            all.push(listener);
        }
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

/// The name is one that no resolver knows (RFC 6761 section 6.4).
fn handle(scheme: &str, port: u16, addresses: usize) -> RouteTableHandle {
    let engines = Endpoint::new(format!("{scheme}://engines.invalid:{port}")).resolve(true);
    let server = ModelServer::new("server").endpoint(engines);
    let handle = RouteTableHandle::new(table([server], Rule::new("rule").target("server")));
    assert!(handle.set_addresses("engines.invalid", (2..).take(addresses).map(ip)));
    handle
}

/// What is said of the request, and by whom.
async fn told(
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let host = request
        .headers()
        .get("host")
        .map(|host| host.to_str().unwrap());
    let named = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let named = named.or(host).unwrap_or_default();
    let text = format!("{} {named} {:?}", address.ip(), request.version());
    Ok(Response::new(Full::from(text)))
}

fn plain(listener: TcpListener) -> Server {
    let address = listener.local_addr().unwrap();
    Server::on(
        listener,
        tower::service_fn(move |request| told(address, request)),
    )
}

/// What is told of so many requests, sorted, with how often.
async fn counted(
    handle: &RouteTableHandle,
    client: EngineClient,
    requests: usize,
) -> Vec<(String, usize)> {
    let gateway = stack(handle.clone()).service(client);
    let mut all = Vec::new();
    for _ in 0..requests {
        let request: Request<Full<Bytes>> = asked();
        let answer = Answer::of(gateway.clone().oneshot(request).await.unwrap()).await;
        all.push(answer.text().to_owned());
    }
    all.sort();
    let mut counts: Vec<(String, usize)> = Vec::new();
    for text in all {
        match counts.last_mut() {
            Some((last, count)) if *last == text => *count += 1,
            _ => counts.push((text, 1)),
        }
    }
    counts
}

fn options() -> EngineClientBuilder {
    EngineClient::builder()
}

#[tokio::test]
async fn two_hundred_requests_are_spread() {
    let engines = listeners::<2>().await;
    let port = port(&engines[0]);
    let _engines = engines.map(plain);
    let handle = handle("http", port, 2);
    for (client, version) in [
        (options().build(), "HTTP/1.1"),
        (options().http2_prior_knowledge().build(), "HTTP/2.0"),
    ] {
        let expected = [2, 3].map(|last| {
            (
                format!("127.0.0.{last} engines.invalid:{port} {version}"),
                100,
            )
        });
        assert_eq!(counted(&handle, client.unwrap(), 200).await, expected);
    }
}

#[tokio::test]
async fn by_another_client_too() {
    let engines = listeners::<2>().await;
    let port = port(&engines[0]);
    let _engines = engines.map(plain);
    let gateway = stack(handle("http", port, 2)).service(http_client(false));
    let mut all = Vec::new();
    for _ in 0..4 {
        let request: Request<Full<Bytes>> = asked();
        let answer = Answer::of(gateway.clone().oneshot(request).await.unwrap()).await;
        all.push(answer.text().to_owned());
    }
    let expected =
        [2, 3, 2, 3].map(|last| format!("127.0.0.{last} engines.invalid:{port} HTTP/1.1"));
    assert_eq!(all, expected);
}

/// The certificates are for the name, and the engines say which name the handshake had.
#[tokio::test]
async fn tls_is_that_of_the_name() {
    let authority = Authority::private();
    for (alpn, version) in [(&["h2"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1")] {
        let engines = listeners::<2>().await;
        let port = port(&engines[0]);
        for listener in engines {
            authority.named_engine("engines.invalid", listener, alpn);
        }
        let client = options().root_certificates(authority.pem()).build();
        let counts = counted(&handle("https", port, 2), client.unwrap(), 20).await;
        let expected = [2, 3].map(|last| {
            let named = format!("engines.invalid:{port}");
            (
                format!("127.0.0.{last} engines.invalid {named} {version}"),
                10,
            )
        });
        assert_eq!(counts, expected);
    }
}

#[tokio::test]
async fn connections_are_kept_for_each() {
    let listener = TcpListener::bind((ip(2), 0)).await.unwrap();
    let port = port(&listener);
    let authority = Authority::private();
    let accepted = authority.named_engine("engines.invalid", listener, &["http/1.1"]);
    let client = options().root_certificates(authority.pem()).build();
    counted(&handle("https", port, 1), client.unwrap(), 10).await;
    assert_eq!(accepted.load(std::sync::atomic::Ordering::SeqCst), 1);
}
