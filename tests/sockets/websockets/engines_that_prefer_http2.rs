//! HTTP/2 has no `Upgrade` (RFC 9113 section 8.6), so a session is asked for in HTTP/1.1.

use bytes::Bytes;
use http::Response;
use test_kit::{
    answer::Answer,
    body::BoxError,
    request::asked,
    socket::http_client,
    table,
    time::within,
    tls::{Authority, TlsAcceptor},
};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_model_route::{EngineClient, EngineClientBuilder};

use super::{
    Rig,
    frames::{Side, TEXT},
    policy,
};

async fn rig(client: EngineClientBuilder, tls: Option<TlsAcceptor>) -> Rig {
    let client = BoxCloneSyncService::new(client.build().unwrap());
    Rig::with(false, policy(), client, tls).await
}

async fn has_session(rig: &Rig) {
    let (mut client, mut engine) = rig.session().await;
    assert_eq!(client.hears().await, (TEXT, b"created".to_vec()));
    client.says(TEXT, b"question").await;
    assert_eq!(engine.hears().await, (TEXT, b"question".to_vec()));
    drop((client, engine));
    rig.is_idle().await;
}

#[tokio::test]
async fn a_session_opens_whatever_they_choose_in_the_handshake() {
    let authority = Authority::private();
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let trusting = EngineClient::builder().root_certificates(authority.pem());
        let tls = || Some(authority.acceptor("127.0.0.1", alpn));
        has_session(&rig(trusting.clone(), tls()).await).await;
        has_session(&rig(trusting.http2_prior_knowledge(), tls()).await).await;
    }
}

#[tokio::test]
async fn also_where_all_else_is_sent_in_http2_without_tls() {
    has_session(&rig(EngineClient::builder().http2_prior_knowledge(), None).await).await;
}

/// The connection that is there already is one of HTTP/2.
#[tokio::test]
async fn it_shares_no_connection_with_other_requests() {
    let authority = Authority::private();
    let tls = authority.acceptor("127.0.0.1", &["h2", "http/1.1"]);
    let trusting = EngineClient::builder().root_certificates(authority.pem());
    let rig = rig(trusting, Some(tls.clone())).await;
    let client = http_client(false);
    let mut request = asked();
    *request.uri_mut() = format!("http://{}/v1/chat/completions", rig.server.address)
        .parse()
        .unwrap();
    let asking = tokio::spawn(async move {
        let answer = client.oneshot(request).await.map_err(BoxError::from);
        Answer::without_limit(answer.unwrap()).await
    });
    let socket = within(tls.accept(rig.accept().await)).await.unwrap();
    let mut connection = within(h2::server::handshake(socket)).await.unwrap();
    let (_, mut respond) = within(connection.accept()).await.unwrap().unwrap();
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(b"{}"), true).unwrap();
    let connection = tokio::spawn(async move { while connection.accept().await.is_some() {} });
    assert_eq!(within(asking).await.unwrap().text(), "{}");
    has_session(&rig).await;
    assert!(!connection.is_finished());
}

/// It is for its other clients that it must not count as failing.
#[tokio::test]
async fn an_engine_that_speaks_nothing_else_is_not_to_blame() {
    let authority = Authority::private();
    let trusting = EngineClient::builder().root_certificates(authority.pem());
    let tls = || Some(authority.acceptor("127.0.0.1", &["h2"]));
    for (client, tls) in [
        (trusting.clone(), tls()),
        (trusting.http2_prior_knowledge(), tls()),
        (EngineClient::builder().http2_prior_knowledge(), None),
    ] {
        let rig = rig(client, tls).await;
        let refusing = async {
            loop {
                let socket = rig.accept().await;
                match &rig.tls {
                    Some(tls) => assert!(within(tls.accept(socket)).await.is_err()),
                    None => assert!(within(h2::server::handshake(socket)).await.is_err()),
                }
            }
        };
        let asking = async {
            for _ in 0..6 {
                let mut client = Side::connect(rig.server.address).await;
                client.asks("websocket").await;
                let head = client.head().await;
                assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
            }
        };
        tokio::select! {
            () = refusing => unreachable!(),
            () = asking => {}
        }
        assert_eq!(table::failures(&rig.table), 0);
        rig.is_idle().await;
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_its_connection_is_not_kept() {
    let authority = Authority::private();
    let tls = authority.acceptor("127.0.0.1", &["h2", "http/1.1"]);
    let trusting = EngineClient::builder().root_certificates(authority.pem());
    let rig = rig(trusting, Some(tls)).await;
    let mut client = Side::connect(rig.server.address).await;
    client.asks("websocket").await;
    let mut engine = rig.engine().await;
    engine.head().await;
    engine.refuses().await;
    assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    assert!(engine.is_at_end().await);
    rig.is_idle().await;
}
