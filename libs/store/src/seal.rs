//! Seals secrets for the database: AES-256-GCM under a key that is kept outside of it.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};

const KEY_BYTES: usize = 32;

/// A sealed secret cannot be opened: another key, another tenant, or damage.
#[derive(Debug, thiserror::Error)]
#[error("open a sealed secret; was the key file replaced?")]
pub struct CannotOpen;

/// The key.
pub struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// Reads the key, or makes one where there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let random = SystemRandom::new();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, &random)?,
            Err(error) => return Err(error),
        };
        let unusable = |_| io::Error::new(io::ErrorKind::InvalidData, "the key file does not hold 32 bytes");
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).map_err(unusable)?);
        Ok(Self { key, random })
    }

    /// Random bytes for a new secret.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).expect("because the system has randomness");
        bytes
    }

    /// Seals `secret` for `owner`: it opens for no other.
    #[must_use]
    pub fn seal(&self, owner: &str, secret: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = self.random();
        let mut sealed = secret.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(owner.as_bytes()),
                &mut sealed,
            )
            .expect("because a secret is far shorter than the cipher's limit");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens what [`Sealer::seal`] made for `owner`.
    pub fn unseal(&self, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(CannotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CannotOpen)?;
        let mut bytes = rest.to_vec();
        let secret =
            self.key.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut bytes).map_err(|_| CannotOpen)?;
        Ok(secret.to_vec())
    }
}

fn create(path: &Path, random: &SystemRandom) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    random.fill(&mut key).map_err(|_| io::Error::other("the system has no randomness"))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_owner_under_its_key_only() {
        let folder = tempfile::tempdir().expect("because the temporary folder can be written");
        let sealer = Sealer::open(&folder.path().join("key")).expect("because it can be made");
        let again = Sealer::open(&folder.path().join("key")).expect("because it is there");
        let other = Sealer::open(&folder.path().join("other")).expect("because it can be made");
        let sealed = sealer.seal("a", b"secret");
        assert_eq!(again.unseal("a", &sealed).ok().as_deref(), Some(b"secret".as_slice()));
        assert!(again.unseal("b", &sealed).is_err());
        assert!(other.unseal("a", &sealed).is_err());
        assert!(sealer.unseal("a", &sealed[..5]).is_err());
    }
}
