//! Engines behind TLS.

use http::Version;
use test_kit::tls::Authority;
use tower_model_route::{ConnectionFailureKind as Kind, EngineClient, MistakeKind, engine_client};

use super::{ask, failure, post, send};

fn trusting(authority: &Authority) -> EngineClient {
    let builder = EngineClient::builder().root_certificates(authority.pem());
    builder.build().unwrap()
}

#[tokio::test]
async fn the_handshake_settles_the_protocol() {
    let authority = Authority::private();
    let client = trusting(&authority);
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0"),
        (&["http/1.1"], "HTTP/1.1"),
        (&[], "HTTP/1.1"),
    ] {
        let url = authority.engine(alpn).await;
        let (status, body) = ask(&client, post(&url)).await;
        assert_eq!((status, &*body), (200, version.as_bytes()), "{alpn:?}");
    }
}

#[tokio::test]
async fn a_request_of_http1_may_go_out_as_http2() {
    let authority = Authority::private();
    let url = authority.engine(&["h2"]).await;
    let mut request = post(&url);
    *request.version_mut() = Version::HTTP_11;
    let response = send(&trusting(&authority), request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
}

#[tokio::test]
async fn an_authority_that_is_not_trusted() {
    let url = Authority::private().engine(&[]).await;
    for client in [engine_client(), trusting(&Authority::private())] {
        assert_eq!(failure(&client, post(&url)).await, Some(Kind::NotConnected));
    }
}

#[tokio::test]
async fn an_engine_that_asks_for_a_certificate() {
    let authority = Authority::private();
    let url = authority.strict_engine(&["h2", "http/1.1"]).await;
    let (certificate, key) = authority.issue();
    let client = EngineClient::builder()
        .root_certificates(authority.pem())
        .client_certificate(certificate, key);
    assert!(!format!("{client:?}").contains("PRIVATE"));
    assert_eq!(ask(&client.build().unwrap(), post(&url)).await.0, 200);
    assert!(send(&trusting(&authority), post(&url)).await.is_err());
}

#[test]
fn what_is_no_certificate_is_refused() {
    let authority = Authority::private();
    let (certificate, key) = authority.issue();
    let ((_, other), builder) = (authority.issue(), EngineClient::builder);
    for (builder, option) in [
        (builder().root_certificates(""), "root_certificates"),
        (builder().root_certificates("nonsense"), "root_certificates"),
        (builder().root_certificates(&*key), "root_certificates"),
        (
            builder().client_certificate("", &*key),
            "client_certificate",
        ),
        (
            builder().client_certificate(&*certificate, "no key"),
            "client_certificate",
        ),
        (
            builder().client_certificate(&*certificate, other),
            "client_certificate",
        ),
    ] {
        let error = builder.build().unwrap_err();
        let mistake = &error.mistakes()[0];
        assert!(matches!(mistake.kind(), MistakeKind::InvalidCertificate(_)));
        assert_eq!(mistake.place(), format!("EngineClient, {option}"));
    }
}
