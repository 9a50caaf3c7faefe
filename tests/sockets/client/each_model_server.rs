//! Options for the engines of one ModelServer.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use test_kit::{answer::Answer, request::asked, table::table, time::eventually, tls::Authority};
use tower::ServiceExt;
use tower_model_route::{
    ConnectionFailureKind as Kind, EngineClient, EngineClientBuilder, ForModelServer, HealthCheck,
    MistakeKind, ModelServer, RouteBody, RouteTable, Rule, stack,
};

use super::{ask, failure, post};

fn options() -> EngineClientBuilder {
    EngineClient::builder()
}

fn trusting(authority: &Authority) -> EngineClientBuilder {
    options().root_certificates(authority.pem())
}

/// Two authorities, an engine of each, and a client that knows one for `a`, the other for `b`.
async fn two() -> ([String; 2], EngineClient) {
    let authorities = [Authority::private(), Authority::private()];
    let [a, b] = &authorities;
    let client = options()
        .model_server("a", trusting(a))
        .model_server("b", trusting(b))
        .build()
        .unwrap();
    ([a.engine(&[]).await, b.engine(&[]).await], client)
}

fn servers(a: &str, b: &str) -> [ModelServer; 2] {
    [("a", a), ("b", b)].map(|(name, url)| ModelServer::new(name).endpoint(url))
}

async fn routed(table: RouteTable, client: &EngineClient) -> Answer {
    let request: Request<Full<Bytes>> = asked();
    let gateway = stack(table).service(client.clone());
    Answer::of(gateway.oneshot(request).await.unwrap()).await
}

/// The statuses of requests that are routed to `a` and to `b`, which have these endpoints.
async fn statuses([a, b]: [&String; 2], client: &EngineClient) -> [u16; 2] {
    let mut statuses = [0; 2];
    for (status, name) in statuses.iter_mut().zip(["a", "b"]) {
        let table = table(servers(a, b), Rule::new("rule").target(name));
        *status = routed(table, client).await.status().as_u16();
    }
    statuses
}

fn request_for(server: &'static str, url: &str) -> Request<RouteBody> {
    let mut request = post(url);
    request.extensions_mut().insert(ForModelServer::new(server));
    request
}

#[tokio::test]
async fn an_authority_is_trusted_for_its_own_only() {
    let ([a, b], client) = two().await;
    assert_eq!(statuses([&a, &b], &client).await, [200, 200]);
    // There are connections that could be used.
    assert_eq!(statuses([&b, &a], &client).await, [502, 502]);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_its_own_only() {
    let authority = Authority::private();
    let engines = [
        authority.strict_engine(&[]).await,
        authority.strict_engine(&[]).await,
    ];
    let (chain, key) = authority.issue();
    let common = trusting(&authority);
    let client = common
        .clone()
        .model_server("a", common.client_certificate(chain, key))
        .build()
        .unwrap();
    let [a, b] = &engines;
    assert_eq!(statuses([a, b], &client).await, [200, 502]);
    assert_eq!(statuses([b, a], &client).await, [200, 502]);
}

#[tokio::test]
async fn each_attempt_goes_by_its_own() {
    let ([_, b], client) = two().await;
    // This one's authority is trusted for nobody: the connection fails, and `b` is next.
    let other = Authority::private().engine(&[]).await;
    let rule = Rule::new("rule").target("a").fallback("b");
    let answer = routed(table(servers(&other, &b), rule), &client).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.decision().model_server(), "b");
}

#[tokio::test]
async fn a_request_without_a_decision_may_name_it() {
    let ([a, b], client) = two().await;
    for (server, url, is_trusted) in [
        ("a", &a, true),
        ("b", &b, true),
        ("a", &b, false),
        ("b", &a, false),
        ("c", &a, false),
    ] {
        let request = request_for(server, url);
        if is_trusted {
            assert_eq!(ask(&client, request).await.0, 200, "{server}");
        } else {
            let failure = failure(&client, request).await;
            assert_eq!(failure, Some(Kind::NotConnected), "{server}");
        }
    }
    assert_eq!(failure(&client, post(&a)).await, Some(Kind::NotConnected));
}

#[tokio::test]
async fn health_checks_go_by_the_endpoints_own() {
    let ([a, b], client) = two().await;
    let other = Authority::private().engine(&[]).await;
    let servers = servers(&a, &b).into_iter();
    let servers = servers.chain([ModelServer::new("c").endpoint(&*other)]);
    let table = table(servers, Rule::new("rule").target("a"));
    let checked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&checked);
    let client = tower::service_fn(move |request: Request<RouteBody>| {
        let (client, log) = (client.clone(), Arc::clone(&log));
        async move {
            let url = format!("https://{}", request.uri().authority().unwrap());
            let answer = client.oneshot(request).await;
            log.lock().unwrap().push((url, answer.is_ok()));
            answer
        }
    });
    let handle = HealthCheck::new("/health")
        .interval(Duration::from_secs(60))
        .start(table, client)
        .unwrap();
    eventually(|| checked.lock().unwrap().len() == 3).await;
    handle.stop().await;
    let mut checked = checked.lock().unwrap().clone();
    let mut expected = [(a, true), (b, true), (other, false)];
    checked.sort();
    expected.sort();
    assert_eq!(*checked, expected);
}

/// HTTP/2 is spoken where nothing was settled.
#[tokio::test]
async fn they_take_the_place_of_the_clients_as_a_whole() {
    let authority = Authority::private();
    let url = authority.engine(&[]).await;
    let common = trusting(&authority);
    let client = common
        .clone()
        .model_server("a", common.http2_prior_knowledge())
        .model_server("b", options())
        .build()
        .unwrap();
    assert_eq!(ask(&client, request_for("a", &url)).await.1, "HTTP/2.0");
    assert_eq!(ask(&client, post(&url)).await.1, "HTTP/1.1");
    let failure = failure(&client, request_for("b", &url)).await;
    assert_eq!(failure, Some(Kind::NotConnected));
}

#[test]
fn mistakes_name_the_model_server() {
    let nonsense = || options().root_certificates("nonsense");
    let error = nonsense()
        .model_server("a", nonsense())
        .model_server("b", options().connect_timeout(Duration::ZERO))
        .model_server("c", options().client_certificate("", ""))
        .model_server("", options())
        .model_server("d", options())
        .model_server("d", options())
        .model_server("e", options().model_server("f", options()))
        .build()
        .unwrap_err();
    let found = error.mistakes().iter();
    let found: Vec<_> = found.map(|found| (found.place(), found.kind())).collect();
    let (places, kinds): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    assert_eq!(
        places,
        [
            "EngineClient, root_certificates",
            r#"EngineClient, ModelServer "a", root_certificates"#,
            r#"EngineClient, ModelServer "b", connect_timeout"#,
            r#"EngineClient, ModelServer "c", client_certificate"#,
            r#"EngineClient, ModelServer """#,
            r#"EngineClient, ModelServer "d""#,
            r#"EngineClient, ModelServer "e""#,
        ]
    );
    use MistakeKind as Is;
    assert!(
        matches!(
            kinds[..],
            [
                Is::InvalidCertificate(_),
                Is::InvalidCertificate(_),
                Is::ZeroTime,
                Is::InvalidCertificate(_),
                Is::EmptyName,
                Is::DuplicateModelServer,
                Is::NestedModelServers,
            ]
        ),
        "{kinds:?}"
    );
}
