//! Who is a member: an identity is a certificate of the mesh's one authority with exactly one URI SAN,
//! `spiffe://crawlmesh/<service>`. Both sides of every connection show theirs. The only crypto provider is ring.

mod ca;
mod identity;

use std::{io, path::PathBuf, sync::Arc};

use domain::Service;
use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

pub use ca::Ca;
pub use identity::Identity;

/// Why an identity cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the identity cannot be read or written.
    #[error("access {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The settings name no identity.
    #[error("tls.ca_file, tls.cert_file and tls.key_file are not set")]
    NotSet,
    /// A text is not PEM of the expected kind.
    #[error("read the {0}")]
    Pem(&'static str, #[source] rustls_pki_types::pem::Error),
    /// A certificate cannot be made.
    #[error("make a certificate")]
    Make(#[from] rcgen::Error),
    /// Certificate, key and authority do not fit together.
    #[error("use the identity for TLS")]
    Unusable(#[from] rustls::Error),
    /// The authority is not one that certificates can be checked with.
    #[error("use the authority for TLS")]
    Authority(#[from] rustls::server::VerifierBuilderError),
    /// The certificate does not name one member of the mesh.
    #[error("the certificate does not name exactly one member of the mesh")]
    NotAMember,
}

/// Makes ring the crypto provider of the process. May be called any number of times.
pub fn install_crypto_provider() {
    // Fails if there is one already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The member that a certificate names. `NotAMember` unless it has exactly one URI SAN, and that of our trust domain.
pub(crate) fn member(certificate: &[u8]) -> Result<Service, Error> {
    let (_, certificate) =
        x509_parser::certificate::X509Certificate::from_der(certificate).map_err(|_| Error::NotAMember)?;
    let names = certificate.subject_alternative_name().ok().flatten().ok_or(Error::NotAMember)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Service::from_spiffe_id(uri).ok_or(Error::NotAMember),
        _ => Err(Error::NotAMember),
    }
}

/// TLS of the server side: our certificate is shown, theirs is demanded.
pub(crate) fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&identity.ca_pem, "authority")? {
        roots.add(certificate)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose().as_bytes())
        .map_err(|error| Error::Pem("key", error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&identity.cert_pem, "certificate")?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // No resumption: every connection shows a certificate that is valid now. Connections are few and live long.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let list = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Pem(what, error))?;
    if list.is_empty() { Err(Error::Pem(what, rustls_pki_types::pem::Error::NoItemsFound)) } else { Ok(list) }
}
