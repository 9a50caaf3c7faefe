//! Engines behind TLS, and the authorities of their certificates.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::Request;
use hyper::{Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WantsServerCert, WebPkiClientVerifier},
};
use tokio::net::TcpListener;
pub use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A private certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn private() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for 127.0.0.1 and its key, as PEM.
    pub fn issue(&self) -> (String, String) {
        self.issue_for("127.0.0.1")
    }

    fn issue_for(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The URL of an engine that speaks these protocols, and answers with the one that it spoke.
    pub async fn engine(&self, alpn: &[&str]) -> String {
        let provider = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let versions = provider.with_safe_default_protocol_versions().unwrap();
        self.start(versions.with_no_client_auth(), alpn).await
    }

    /// The same, of one that wants to see a certificate of this authority.
    pub async fn strict_engine(&self, alpn: &[&str]) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let provider = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let versions = provider.with_safe_default_protocol_versions().unwrap();
        let builder = versions.with_client_cert_verifier(verifier.build().unwrap());
        self.start(builder, alpn).await
    }

    /// An engine with a certificate for this name, which says where it is, the name in the
    /// handshake and in the request, and the protocol; and how many connections it has accepted.
    pub fn named_engine(
        &self,
        name: &str,
        listener: TcpListener,
        alpn: &[&str],
    ) -> Arc<AtomicUsize> {
        let tls = self.acceptor(name, alpn);
        let accepted = Arc::<AtomicUsize>::default();
        tokio::spawn(serve_named(listener, tls, Arc::clone(&accepted)));
        accepted
    }

    /// What accepts connections to this name, and speaks these protocols.
    pub fn acceptor(&self, name: &str, alpn: &[&str]) -> TlsAcceptor {
        let provider = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let versions = provider.with_safe_default_protocol_versions().unwrap();
        acceptor(versions.with_no_client_auth(), self.issue_for(name), alpn)
    }

    async fn start(
        &self,
        builder: ConfigBuilder<ServerConfig, WantsServerCert>,
        alpn: &[&str],
    ) -> String {
        let tls = acceptor(builder, self.issue(), alpn);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, tls));
        url
    }
}

fn acceptor(
    builder: ConfigBuilder<ServerConfig, WantsServerCert>,
    (certificate, key): (String, String),
    alpn: &[&str],
) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve_named(listener: TcpListener, tls: TlsAcceptor, accepted: Arc<AtomicUsize>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        accepted.fetch_add(1, Ordering::SeqCst);
        let tls = tls.clone();
        tokio::spawn(async move {
            let ip = socket.local_addr().unwrap().ip();
            let Ok(socket) = tls.accept(socket).await else {
                return;
            };
            let sni = socket.get_ref().1.server_name().unwrap_or("-").to_owned();
            let answer = service_fn(move |request: Request<Incoming>| {
                let host = request.headers().get("host");
                let host = host.and_then(|host| host.to_str().ok());
                let authority = request.uri().authority().map(|named| named.as_str());
                let named = authority.or(host).unwrap_or("-");
                let text = format!("{ip} {sni} {named} {:?}", request.version());
                async move { Ok::<_, Infallible>(Response::new(text)) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            _ = server.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let tls = tls.clone();
        tokio::spawn(async move {
            let Ok(socket) = tls.accept(socket).await else {
                return;
            };
            let answer = service_fn(async |request: Request<Incoming>| {
                Ok::<_, Infallible>(Response::new(format!("{:?}", request.version())))
            });
            let server = auto::Builder::new(TokioExecutor::new());
            _ = server.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}
