//! The pepper: 32 bytes outside the database, without which its hashes and signing keys are worth nothing.
//!
//! Promises: the file is made once, whole, readable by its owner only, and never overwritten. Without the same pepper
//! every API key is invalid and every signing key unreadable; replicas share one.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
    rand::{SecureRandom, SystemRandom},
};

use crate::{error::Error, key::Secret};

const PEPPER_BYTES: usize = 32;
const SEAL_CONTEXT: &[u8] = b"crawlmesh auth signing keys v1";

/// Hashes the secrets of API keys and seals signing keys.
pub(crate) struct Pepper {
    hash: hmac::Key,
    seal: LessSafeKey,
}

impl Pepper {
    /// Reads the pepper, or makes one if the file does not exist. Says whether it is new.
    pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<(Self, bool)> {
        let mut new = false;
        if !path.try_exists().with_context(|| format!("look for the pepper {}", path.display()))? {
            new = create(path).with_context(|| format!("write the pepper {}", path.display()))?;
        }
        let bytes = fs::read(path).with_context(|| format!("read the pepper {}", path.display()))?;
        anyhow::ensure!(
            bytes.len() >= PEPPER_BYTES,
            "the pepper {} has {} bytes, fewer than {PEPPER_BYTES}",
            path.display(),
            bytes.len(),
        );
        Ok((Self::new(&bytes)?, new))
    }

    fn new(bytes: &[u8]) -> Result<Self, Error> {
        let failed = |_| Error::Crypto("derive the sealing key");
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(bytes);
        let sealing = secret.expand(&[SEAL_CONTEXT], &AES_256_GCM).map_err(failed)?;
        Ok(Self {
            hash: hmac::Key::new(hmac::HMAC_SHA256, bytes),
            seal: LessSafeKey::new(UnboundKey::from(sealing)),
        })
    }

    /// What is stored of a secret. Secrets are long and random, so a fast hash is right.
    pub(crate) fn hash(&self, secret: &Secret) -> Vec<u8> {
        hmac::sign(&self.hash, secret.expose().as_bytes()).as_ref().to_vec()
    }

    /// Encrypts a signing key. `id` is bound to it, so that keys cannot be exchanged for one another.
    pub(crate) fn seal(&self, id: &str, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| Error::Crypto("read random bytes"))?;
        let mut sealed = plain.to_vec();
        self.seal
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id), &mut sealed)
            .map_err(|_| Error::Crypto("seal a signing key"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts a signing key. None: it was sealed with another pepper, or changed.
    pub(crate) fn open(&self, id: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = sealed.to_vec();
        self.seal.open_in_place(nonce, Aad::from(id), &mut bytes).ok().map(|plain| plain.to_vec())
    }
}

/// Writes a new pepper. False: another process was faster, and its pepper stands.
fn create(path: &Path) -> anyhow::Result<bool> {
    let mut bytes = [0; PEPPER_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Crypto("read random bytes"))?;
    let draft = Draft::write(path, &bytes)?;
    // A link, unlike a rename, never replaces a pepper that is in use.
    let linked = fs::hard_link(&draft.0, path);
    draft.discard()?;
    match linked {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A file that only its owner can read, whole on the disk, under a name of its own beside the one it is meant for.
pub(crate) struct Draft(PathBuf);

impl Draft {
    /// Writes what is to become `path`; makes its folder if need be.
    pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", uuid::Uuid::new_v4().simple()));
        let draft = PathBuf::from(draft);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(Self(draft))
    }

    /// Gives the file its name, in place of what had it.
    pub(crate) fn publish(self, path: &Path) -> anyhow::Result<()> {
        fs::rename(&self.0, path)?;
        sync_parent(path)
    }

    /// Removes the file.
    pub(crate) fn discard(self) -> anyhow::Result<()> {
        Ok(fs::remove_file(&self.0)?)
    }
}

fn sync_parent(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(fs::File::open(folder)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/auth.pepper");
        let secret = Secret::generate().expect("randomness");
        let (first, new) = Pepper::load_or_create(&path).expect("a pepper");
        assert!(new);
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        let (second, new) = Pepper::load_or_create(&path).expect("the pepper");
        assert!(!new);
        assert_eq!(first.hash(&secret), second.hash(&secret));
        assert_eq!(
            fs::read_dir(folder.path().join("new")).expect("it is there").count(),
            1,
            "no drafts are left"
        );
        assert!(!create(&path).expect("it can be tried"), "a pepper in use is never replaced");
        fs::write(&path, "short").expect("it can be written");
        assert!(Pepper::load_or_create(&path).is_err());
    }

    #[test]
    fn a_sealed_key_opens_with_its_pepper_and_id_only() {
        let (one, other) =
            (Pepper::new(&[1; 32]).expect("a pepper"), Pepper::new(&[2; 32]).expect("a pepper"));
        let sealed = one.seal("a", b"seed").expect("it can be sealed");
        assert_eq!(one.open("a", &sealed).as_deref(), Some(&b"seed"[..]));
        assert_eq!(one.open("b", &sealed), None);
        assert_eq!(other.open("a", &sealed), None);
        assert_eq!(one.open("a", &sealed[..sealed.len() - 1]), None);
        assert_eq!(one.open("a", b""), None);
    }
}
