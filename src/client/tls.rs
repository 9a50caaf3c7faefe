//! Certificates, and the configuration of TLS that they make.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tracing::warn;

use crate::config::Reason;

/// What the user gave, as PEM.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates {
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) identity: Option<Identity>,
}

#[derive(Clone)]
pub(super) struct Identity {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// The machine's certificate authorities, read once.
static PLATFORM: LazyLock<RootCertStore> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        warn!(
            errors = ?found.errors,
            "this machine has no certificate authorities: https:// engines need root_certificates"
        );
    }
    roots
});

impl Certificates {
    /// An error has the name of the option.
    pub(super) fn config(&self) -> Result<ClientConfig, (&'static str, Reason)> {
        let roots = self
            .roots()
            .map_err(|reason| ("root_certificates", reason))?;
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                let config = config.with_root_certificates(roots);
                match &self.identity {
                    None => Ok(config.with_no_client_auth()),
                    Some(identity) => {
                        let (chain, key) = identity.parsed()?;
                        config.with_client_auth_cert(chain, key)
                    }
                }
            })
            .map_err(|error| ("client_certificate", error.to_string().into()))
    }

    fn roots(&self) -> Result<RootCertStore, Reason> {
        let mut roots = PLATFORM.clone();
        for pem in &self.roots {
            for certificate in certificates(pem)? {
                let added = roots.add(certificate);
                added.map_err(|error| Reason::from(error.to_string()))?;
            }
        }
        Ok(roots)
    }
}

impl Identity {
    fn parsed(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rustls::Error> {
        let chain = certificates(&self.chain)
            .map_err(|reason| rustls::Error::General(reason.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| rustls::Error::General(format!("the private key: {error}")))?;
        Ok((chain, key))
    }
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Reason> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if read.is_empty() => Err(Reason::from("it has no certificate in PEM")),
        Ok(read) => Ok(read),
        Err(error) => Err(Reason::from(error.to_string())),
    }
}
