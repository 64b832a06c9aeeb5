//! What a process shows to the others: its certificate and key, and the authority that it trusts.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use domain::Service;

use super::{Error, certificates, member, server_config};
use crate::config::{self, Secret};

/// A certificate with its key, and the authority that others are checked against.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The authority, PEM.
    pub ca_pem: String,
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The key, PEM.
    pub key_pem: Secret,
}

impl Identity {
    /// Reads the files of `[tls]` and checks that they fit together. `NotSet` if none is named.
    pub fn from_files(tls: &config::Tls) -> Result<Self, Error> {
        if tls.ca_file.as_os_str().is_empty() {
            return Err(Error::NotSet);
        }
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|error| Error::File(path.to_owned(), error));
        let identity = Self {
            ca_pem: read(&tls.ca_file)?,
            cert_pem: read(&tls.cert_file)?,
            key_pem: Secret::new(read(&tls.key_file)?),
        };
        server_config(&identity)?;
        identity.member()?;
        Ok(identity)
    }

    /// Writes `ca.crt`, `<name>.crt` and `<name>.key` (mode 0600) into a folder, each at once or not at all.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(), Error> {
        write_file(&dir.join("ca.crt"), &self.ca_pem, 0o644)?;
        write_file(&dir.join(format!("{name}.key")), self.key_pem.expose(), 0o600)?;
        write_file(&dir.join(format!("{name}.crt")), &self.cert_pem, 0o644)
    }

    /// The member that the certificate names.
    pub fn member(&self) -> Result<Service, Error> {
        let certificates = certificates(&self.cert_pem, "certificate")?;
        certificates.first().map_or(Err(Error::NotAMember), |certificate| member(certificate))
    }
}

/// Writes a file beside its place and moves it there, so that nobody sees half of it.
pub(super) fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let failed = |error| Error::File(path.to_owned(), error);
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", uuid::Uuid::now_v7()));
    let unfinished = Path::new(&unfinished);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(unfinished)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(unfinished, path));
    if written.is_err() {
        // Nothing more can be done about a leftover.
        let _ = fs::remove_file(unfinished);
    }
    written.map_err(failed)
}
