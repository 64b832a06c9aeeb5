//! API keys: what their secrets look like, what they may do, when they stop working. No I/O.
//!
//! A secret is `ck_`, 32 random base62 characters (190 bits) and 6 of a checksum (CRC-32), as GitHub's tokens are made:
//! a typing error or a guess is refused without asking the database, and secret scanners find leaked ones.

#[cfg(test)]
mod tests;

use std::fmt;

use domain::{KeyId, Scope, TenantId};
use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;

use crate::error::Error;

const MARK: &str = "ck_";
const RANDOM_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
/// Length of a secret in bytes.
pub(crate) const SECRET_BYTES: usize = MARK.len() + RANDOM_CHARS + CHECKSUM_CHARS;
/// The mark and 6 characters: enough to recognise a key by, and 154 bits remain unknown.
const SHOWN: usize = MARK.len() + 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An API key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) tenant: TenantId,
    pub(crate) display_name: String,
    /// First characters of the secret.
    pub(crate) prefix: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) expire_time: Option<OffsetDateTime>,
    pub(crate) revoke_time: Option<OffsetDateTime>,
}

impl Key {
    /// Refuses a key that was revoked or has expired.
    pub(crate) fn usable(&self, now: OffsetDateTime) -> Result<(), Error> {
        if self.revoke_time.is_some() {
            return Err(Error::RevokedKey);
        }
        if self.expire_time.is_some_and(|end| end <= now) {
            return Err(Error::ExpiredKey);
        }
        Ok(())
    }
}

/// The scopes of a new key: those asked for, or all of its creator's that concern one tenant. A key cannot give away
/// what it does not have.
pub(crate) fn grant(asked: &[Scope], creator: &[Scope]) -> Result<Vec<Scope>, Error> {
    if let Some(&missing) = asked.iter().find(|scope| !creator.contains(scope)) {
        return Err(Error::MissingPermission(missing));
    }
    Ok(if asked.is_empty() { tenant_scopes(creator) } else { in_order(asked) })
}

/// `scopes` without the operator's.
pub(crate) fn tenant_scopes(scopes: &[Scope]) -> Vec<Scope> {
    let mut scopes = in_order(scopes);
    scopes.retain(|scope| *scope != Scope::TenantsManage);
    scopes
}

fn in_order(scopes: &[Scope]) -> Vec<Scope> {
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

/// The secret of an API key. Its `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// A new secret from the system's randomness.
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut text = String::with_capacity(SECRET_BYTES);
        text.push_str(MARK);
        let mut bytes = [0; 64];
        while text.len() < MARK.len() + RANDOM_CHARS {
            SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Crypto("read random bytes"))?;
            // 248 = 4 × 62: without the bytes above, every character is equally likely.
            let fair = bytes.iter().filter(|byte| **byte < 248);
            let missing = MARK.len() + RANDOM_CHARS - text.len();
            text.extend(fair.take(missing).map(|byte| char::from(BASE62[usize::from(byte % 62)])));
        }
        text.push_str(&checksum(&text));
        Ok(Self(text))
    }

    /// Reads a secret. Says whether it can be one, not whether anybody has it.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let good = text.len() == SECRET_BYTES
            && text.starts_with(MARK)
            && text[MARK.len()..].bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !good {
            return Err(Error::InvalidKey);
        }
        let (body, sum) = text.split_at(SECRET_BYTES - CHECKSUM_CHARS);
        if checksum(body) != sum {
            return Err(Error::InvalidKey);
        }
        Ok(Self(text.to_owned()))
    }

    /// The secret itself: to hash it, and to show it this once.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The part that may be shown for ever.
    pub(crate) fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}
