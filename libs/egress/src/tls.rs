//! TLS of the fetch client: version 1.2 or later, certificates always verified, roots of the system and of ours.
//!
//! The verifier is rustls' own and not the platform's wrapper, which logs an ERROR for each site with a bad
//! certificate: on the open web that is not an event that a human must look at.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::StartError;

/// The settings of a client that trusts the system's roots and those in the PEM files `extra`.
pub(crate) fn client_config(extra: &[PathBuf]) -> Result<ClientConfig, StartError> {
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| {
        // Losing the race against another thread is fine: then there is a default, too.
        let _ = ring::default_provider().install_default();
        Arc::new(ring::default_provider())
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(extra)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(extra: &[PathBuf]) -> Result<RootCertStore, StartError> {
    let mut store = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(system.certs);
    if store.is_empty() {
        tracing::warn!(
            problems = system.errors.len(),
            "the system has no root certificates: https will fail"
        );
    }
    for path in extra {
        let refused = || StartError::Roots(path.clone());
        let pem = std::fs::read(path).map_err(|_| refused())?;
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| refused())?;
        if certificates.is_empty() {
            return Err(refused());
        }
        for certificate in certificates {
            store.add(certificate).map_err(|_| refused())?;
        }
    }
    Ok(store)
}
