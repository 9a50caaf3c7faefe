//! Engines behind TLS.

use std::{net::SocketAddr, sync::Arc};

use http::Version;
use hyper::{Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower_model_route::{ConnectionFailureKind as Kind, EngineClient, MistakeKind, engine_client};

use super::{ask, failure, post, send};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for 127.0.0.1 and its key.
    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

/// The address of an engine that speaks these protocols, and asks for a certificate if so told.
async fn engine(authority: &Authority, alpn: &[&str], asks: bool) -> SocketAddr {
    let (certificate, key) = authority.issue();
    let builder =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let chain = vec![certificate.der().clone()];
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
    address
}

async fn serve(listener: TcpListener, tls: TlsAcceptor) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let tls = tls.clone();
        tokio::spawn(async move {
            let Ok(socket) = tls.accept(socket).await else {
                return;
            };
            let answer = service_fn(async |request: http::Request<Incoming>| {
                Ok::<_, std::convert::Infallible>(Response::new(format!("{:?}", request.version())))
            });
            let server = auto::Builder::new(TokioExecutor::new());
            _ = server.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

fn trusting(authority: &Authority) -> EngineClient {
    let builder = EngineClient::builder().root_certificates(authority.pem());
    builder.build().unwrap()
}

#[tokio::test]
async fn the_handshake_settles_the_protocol() {
    let authority = Authority::new();
    let client = trusting(&authority);
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0"),
        (&["http/1.1"], "HTTP/1.1"),
        (&[], "HTTP/1.1"),
    ] {
        let url = format!("https://{}", engine(&authority, alpn, false).await);
        let (status, body) = ask(&client, post(&url)).await;
        assert_eq!((status, &*body), (200, version.as_bytes()), "{alpn:?}");
    }
}

#[tokio::test]
async fn a_request_of_http1_may_go_out_as_http2() {
    let authority = Authority::new();
    let url = format!("https://{}", engine(&authority, &["h2"], false).await);
    let mut request = post(&url);
    *request.version_mut() = Version::HTTP_11;
    let response = send(&trusting(&authority), request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
}

#[tokio::test]
async fn an_authority_that_is_not_trusted() {
    let address = engine(&Authority::new(), &[], false).await;
    let url = format!("https://{address}");
    for client in [engine_client(), trusting(&Authority::new())] {
        assert_eq!(failure(&client, post(&url)).await, Some(Kind::NotConnected));
    }
}

#[tokio::test]
async fn an_engine_that_asks_for_a_certificate() {
    let authority = Authority::new();
    let url = format!(
        "https://{}",
        engine(&authority, &["h2", "http/1.1"], true).await
    );
    let (certificate, key) = authority.issue();
    let client = EngineClient::builder()
        .root_certificates(authority.pem())
        .client_certificate(certificate.pem(), key.serialize_pem());
    assert!(!format!("{client:?}").contains("PRIVATE"));
    assert_eq!(ask(&client.build().unwrap(), post(&url)).await.0, 200);
    assert!(send(&trusting(&authority), post(&url)).await.is_err());
}

#[test]
fn what_is_no_certificate_is_refused() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue();
    let (other, builder) = (KeyPair::generate().unwrap(), EngineClient::builder);
    for (builder, option) in [
        (builder().root_certificates(""), "root_certificates"),
        (builder().root_certificates("nonsense"), "root_certificates"),
        (
            builder().root_certificates(key.serialize_pem()),
            "root_certificates",
        ),
        (
            builder().client_certificate("", key.serialize_pem()),
            "client_certificate",
        ),
        (
            builder().client_certificate(certificate.pem(), "no key"),
            "client_certificate",
        ),
        (
            builder().client_certificate(certificate.pem(), other.serialize_pem()),
            "client_certificate",
        ),
    ] {
        let error = builder.build().unwrap_err();
        let mistake = &error.mistakes()[0];
        assert!(matches!(mistake.kind(), MistakeKind::InvalidCertificate(_)));
        assert_eq!(mistake.place(), format!("EngineClient, {option}"));
    }
}
