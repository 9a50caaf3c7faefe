//! The options of the client.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    connector::{Connecting, Versions},
    pools::{Options, Pools},
    service::EngineClient,
    tls::{Certificates, Identity},
};
use crate::config::{BuildError, MistakeKind};

/// An [`EngineClient`] with the default options.
///
/// ```
/// use tower_model_route::{RouteTable, engine_client, stack};
///
/// # let table = RouteTable::builder().build().unwrap();
/// let app: axum::Router = axum::Router::new().fallback_service(stack(table).service(engine_client()));
/// ```
pub fn engine_client() -> EngineClient {
    let client = EngineClient::builder().build();
    client.expect("the default options are valid")
}

impl EngineClient {
    /// The default options, to be changed.
    pub fn builder() -> EngineClientBuilder {
        EngineClientBuilder::new()
    }
}

/// The options of an [`EngineClient`], from [`EngineClient::builder`].
///
/// ```
/// use std::time::Duration;
/// use tower_model_route::EngineClient;
///
/// let client = EngineClient::builder()
///     .connect_timeout(Duration::from_secs(2))
///     .build()?;
/// # Ok::<_, tower_model_route::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct EngineClientBuilder {
    connect_timeout: Duration,
    pool_idle_timeout: Duration,
    http2_prior_knowledge: bool,
    certificates: Certificates,
    model_servers: Vec<(Arc<str>, EngineClientBuilder)>,
}

impl EngineClientBuilder {
    fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            pool_idle_timeout: Duration::from_secs(4),
            http2_prior_knowledge: false,
            certificates: Certificates::default(),
            model_servers: Vec::new(),
        }
    }

    /// How long connecting may take, including name resolution and the TLS handshake: 5 s by
    /// default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The time after which an idle connection is closed: 4 s by default.
    ///
    /// It should be shorter than the engine's own time (uvicorn, and so vLLM and SGLang: 5 s).
    /// With zero, no idle connections are kept.
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool_idle_timeout = timeout;
        self
    }

    /// Speaks HTTP/2 to every engine, even without TLS (RFC 9113 section 3.3). By default it speaks
    /// HTTP/2 only if the engine offers it in the TLS handshake (ALPN). WebSockets use HTTP/1.1 all
    /// the same.
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.http2_prior_knowledge = true;
        self
    }

    /// Trusts these certificate authorities too, such as a private one: one or more
    /// certificates as PEM. The machine's are always trusted; `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` replace those.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.roots.push(pem.into());
        self
    }

    /// Presents this certificate to engines that ask for one (mutual TLS): its chain,
    /// with the certificate itself first, and its private key, both as PEM.
    pub fn client_certificate(
        mut self,
        chain: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.identity = Some(Identity {
            chain: chain.into(),
            key: key.into(),
        });
        self
    }

    /// Gives the engines of one ModelServer their own options and connections: its certificate
    /// authorities are trusted for no other, and its client certificate is presented to no
    /// other. By default there are none.
    ///
    /// These options replace all of the client's; clone the common ones to extend them:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_model_route::EngineClient;
    ///
    /// let common = EngineClient::builder().connect_timeout(Duration::from_secs(2));
    /// let client = common
    ///     .clone()
    ///     .model_server("grpc", common.http2_prior_knowledge())
    ///     .build()?;
    /// # Ok::<_, tower_model_route::BuildError>(())
    /// ```
    ///
    /// Each attempt of a request uses those of the ModelServer in its
    /// [decision](crate::RouteBody::decision), and a request without a decision, such as a health
    /// check, those of its [`ForModelServer`](crate::ForModelServer). The client does not know the
    /// table: a name that is not in it is simply never used.
    pub fn model_server(mut self, name: impl Into<Arc<str>>, options: EngineClientBuilder) -> Self {
        self.model_servers.push((name.into(), options));
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    ///
    /// If a connect timeout is zero, if a certificate or a key is invalid, or if options of a
    /// ModelServer have an empty name, are set twice, or contain such options themselves. The
    /// error has the first mistake of each part.
    pub fn build(self) -> Result<EngineClient, BuildError> {
        let common = self.pools("EngineClient");
        let (mut own, mut mistakes) = (HashMap::new(), Vec::new());
        for (name, options) in &self.model_servers {
            let is_duplicate = own.contains_key(name);
            match options.own_pools(name, is_duplicate) {
                Ok(pools) => _ = own.insert(Arc::clone(name), pools),
                Err(error) => mistakes.extend_from_slice(error.mistakes()),
            }
        }
        match (common, BuildError::new(mistakes)) {
            (Ok(common), None) => Ok(EngineClient::new(common, own)),
            (Err(error), None) | (Ok(_), Some(error)) => Err(error),
            (Err(error), Some(others)) => Err(error.and(others)),
        }
    }

    /// As options of one ModelServer.
    fn own_pools(&self, name: &str, is_duplicate: bool) -> Result<Pools, BuildError> {
        let place = format!("EngineClient, ModelServer {name:?}");
        let mistake = match name {
            "" => MistakeKind::EmptyName,
            _ if is_duplicate => MistakeKind::DuplicateModelServer,
            _ if !self.model_servers.is_empty() => MistakeKind::NestedModelServers,
            _ => return self.pools(&place),
        };
        Err(BuildError::of("EngineClient", place, mistake))
    }

    fn pools(&self, place: &str) -> Result<Pools, BuildError> {
        let mistaken = |option, kind| {
            let words = format!("{place}, {option}");
            BuildError::of("EngineClient", words, kind)
        };
        if self.connect_timeout.is_zero() {
            return Err(mistaken("connect_timeout", MistakeKind::ZeroTime));
        }
        let tls = self.certificates.config().map_err(|(option, reason)| {
            mistaken(option, MistakeKind::InvalidCertificate(reason))
        })?;
        Ok(Pools::new(Options {
            connecting: Connecting {
                tls,
                timeout: self.connect_timeout,
                versions: match self.http2_prior_knowledge {
                    true => Versions::Http2,
                    false => Versions::Any,
                },
            },
            idle_timeout: self.pool_idle_timeout,
        }))
    }
}
