//! TLS: what cannot be verified is never accepted.

use std::io::Write;
use std::sync::Arc;

use domain::Verdict;
use egress::{Client, FetchError, Guard, Resolver, StartError};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::site::{config, get, loopback, read_head, response, url};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) file: NamedTempFile,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("because there are no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("because there is entropy");
        let certificate = params.self_signed(&key).expect("because the parameters are sound");
        let mut file = NamedTempFile::new().expect("because there is room");
        file.write_all(certificate.pem().as_bytes()).expect("because there is room");
        Self { issuer: Issuer::new(params, key), file }
    }

    pub(crate) fn issue(
        &self,
        name: &str,
        last_year: i32,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("because it is a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().expect("because there is entropy");
        let certificate = params.signed_by(&key, &self.issuer).expect("because the parameters are sound");
        (certificate.der().clone(), key.into())
    }
}

/// The settings of a server with this certificate.
pub(crate) fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("because ring knows them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("because key and certificate belong together")
}

/// Serves HTTPS with this certificate; returns the port.
async fn serve(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> u16 {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, key)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let port = listener.local_addr().expect("because it listens").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    read_head(&mut stream).await;
                    let _ = stream.write_all(&response("", "secret")).await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    port
}

pub(crate) fn client(roots: &str) -> Result<Client, StartError> {
    let names = Resolver::fixed([("site.test", ["127.0.0.1".parse().expect("because it is an address")])]);
    Client::with_guard(&config(&[("extra_roots", roots)]), Guard::new(loopback(), names))
}

#[tokio::test]
async fn only_a_valid_certificate_is_accepted() {
    let (ours, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let client = client(&format!("[{:?}]", ours.file.path())).expect("because the root can be read");
    let self_signed =
        rcgen::generate_simple_self_signed(["site.test".to_owned()]).expect("because it is a name");
    let self_signed = (self_signed.cert.der().clone(), self_signed.signing_key.into());
    for (name, (certificate, key), why) in [
        ("valid", ours.issue("site.test", 2120), None),
        ("expired", ours.issue("site.test", 2021), Some("certificate expired")),
        ("other host", ours.issue("other.test", 2120), Some("certificate of another host")),
        ("unknown issuer", stranger.issue("site.test", 2120), Some("certificate of an unknown issuer")),
        ("self-signed", self_signed, Some("certificate of an unknown issuer")),
    ] {
        let port = serve(certificate, key).await;
        let found = get(&client, url(&format!("https://site.test:{port}/"))).await;
        match why {
            None => assert_eq!(found.expect("because it is valid").body, "secret"),
            Some(why) => {
                let error = found.expect_err(name);
                assert_eq!(error, FetchError::Tls { why }, "{name}");
                assert!(error.verdict() == Verdict::Tls && !error.retryable());
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_error() {
    // Answers the hello at once, as plain servers do.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let port = listener.local_addr().expect("because it listens").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(crate::site::send(stream, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let error =
        get(&client("[]").expect("because it is sound"), url(&format!("https://site.test:{port}/"))).await;
    assert_eq!(error.expect_err("because it is plain").verdict(), Verdict::Tls);
}

#[tokio::test]
async fn roots_that_cannot_be_read_stop_the_start() {
    let empty = NamedTempFile::new().expect("because there is room");
    for roots in [format!("[{:?}]", empty.path()), "[\"does-not-exist.pem\"]".to_owned()] {
        assert!(matches!(client(&roots), Err(StartError::Roots(_))), "{roots}");
    }
}
