//! An authority of our own, for the single process, for tests and for making the files of a small installation.
//! Large ones bring certificates from elsewhere (cert-manager); the rules for them are the same.

use std::{fs, path::Path};

use domain::Service;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};

use super::{Error, Identity, identity::write_file};
use crate::{clock, config::Secret};

const CA_LIFE: Duration = Duration::days(3650);
const LIFE: Duration = Duration::days(365);
/// Clocks of two hosts may differ this much.
const SKEW: Duration = Duration::hours(1);

/// An authority that issues identities. Keys are ECDSA P-256.
#[derive(Debug)]
pub struct Ca {
    cert_pem: String,
    key_pem: Secret,
}

impl Ca {
    /// A new authority, valid for ten years.
    pub fn generate() -> Result<Self, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = authority();
        params.not_before = clock::now() - SKEW;
        params.not_after = clock::now() + CA_LIFE;
        let cert_pem = params.self_signed(&key)?.pem();
        Ok(Self { cert_pem, key_pem: Secret::new(key.serialize_pem()) })
    }

    /// The authority kept in `dir` as `ca.crt` and `ca.key` (mode 0600), made on the first call.
    pub fn load_or_create(dir: &Path) -> Result<Self, Error> {
        let (cert, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|error| Error::File(path.to_owned(), error));
        // The certificate is written last: if it is there, so is the key.
        if cert.exists() {
            return Ok(Self { cert_pem: read(&cert)?, key_pem: Secret::new(read(&key)?) });
        }
        fs::create_dir_all(dir).map_err(|error| Error::File(dir.to_owned(), error))?;
        let ca = Self::generate()?;
        write_file(&key, ca.key_pem.expose(), 0o600)?;
        write_file(&cert, &ca.cert_pem, 0o644)?;
        Ok(ca)
    }

    /// The certificate of the authority, PEM.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// An identity for a member, valid for one year.
    pub fn issue(&self, service: Service) -> Result<Identity, Error> {
        self.issue_for(service.as_str(), &[&service.spiffe_id()], clock::now() + LIFE)
    }

    /// A certificate for any name, with any URI SANs and end. The DNS SANs are `name` and `localhost`.
    pub fn issue_for(
        &self,
        name: &str,
        uri_sans: &[&str],
        not_after: OffsetDateTime,
    ) -> Result<Identity, Error> {
        let mut params = CertificateParams::new(vec![name.to_owned(), "localhost".to_owned()])?;
        for uri in uri_sans {
            params.subject_alt_names.push(SanType::URI((*uri).try_into()?));
        }
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = clock::now().min(not_after) - SKEW;
        params.not_after = not_after;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let issuer = Issuer::new(authority(), KeyPair::from_pem(self.key_pem.expose())?);
        let cert_pem = params.signed_by(&key, &issuer)?.pem();
        Ok(Identity { ca_pem: self.cert_pem.clone(), cert_pem, key_pem: Secret::new(key.serialize_pem()) })
    }
}

/// What all our authorities have in common; an issuer needs no more than this and the key.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "crawlmesh");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{config, tls::server_config};

    #[test]
    fn an_issued_identity_names_its_member_and_works_for_tls() {
        let ca = Ca::generate().unwrap();
        for &service in Service::ALL {
            let identity = ca.issue(service).unwrap();
            assert_eq!(identity.member().unwrap(), service);
            server_config(&identity).unwrap();
        }
    }

    #[test]
    fn only_one_uri_of_the_trust_domain_names_a_member() {
        let ca = Ca::generate().unwrap();
        let end = clock::now() + LIFE;
        for uris in [
            &[][..],
            &["spiffe://elsewhere/job"],
            &["spiffe://crawlmesh/nobody"],
            &["spiffe://crawlmesh/job", "spiffe://crawlmesh/gateway"],
            &["spiffe://crawlmesh/job", "https://example.com/"],
        ] {
            let identity = ca.issue_for("job", uris, end).unwrap();
            assert!(matches!(identity.member(), Err(Error::NotAMember)), "{uris:?}");
        }
    }

    #[test]
    fn the_authority_is_kept_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = Ca::load_or_create(folder.path()).unwrap();
        let second = Ca::load_or_create(folder.path()).unwrap();
        assert_eq!(first.cert_pem(), second.cert_pem());
        second.issue(Service::Job).unwrap().write(folder.path(), "job").unwrap();
        for key in ["ca.key", "job.key"] {
            let mode = fs::metadata(folder.path().join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no half-written files are left");

        let file = |name: &str| folder.path().join(name);
        let tls =
            config::Tls { ca_file: file("ca.crt"), cert_file: file("job.crt"), key_file: file("job.key") };
        assert_eq!(Identity::from_files(&tls).unwrap().member().unwrap(), Service::Job);
        let swapped = config::Tls { key_file: file("ca.key"), ..tls };
        assert!(Identity::from_files(&swapped).is_err(), "a key of another certificate is refused");
    }
}
