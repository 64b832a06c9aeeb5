//! Access tokens: JWTs signed with Ed25519 (RFC 7519, RFC 8037). No I/O; the time is an argument.
//!
//! Promises: one algorithm, one issuer, one audience; a key is looked up by its id among our own and nowhere else.

#[cfg(test)]
mod tests;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{KeyId, Scope, TenantId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{Ed25519KeyPair, KeyPair},
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::error::Error;

/// Issuer and audience of every token.
const MESH: &str = "crawlmesh";
/// How much clocks may differ.
pub(crate) const LEEWAY: Duration = Duration::seconds(30);
/// Longest token that is looked at, in bytes; ours have about 600.
pub(crate) const MAX_TOKEN_BYTES: usize = 4096;
const SEED_BYTES: usize = 32;
/// What stands before the seed in a PKCS #8 document of an Ed25519 key (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    sub: String,
    tenant: String,
    /// Separated by spaces (RFC 8693, section 4.2).
    scope: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

impl Claims {
    /// The claims of a token of `key`, from `now` until `end`.
    pub(crate) fn new(
        tenant: TenantId,
        key: KeyId,
        scopes: &[Scope],
        now: OffsetDateTime,
        end: OffsetDateTime,
    ) -> Self {
        let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        Self {
            iss: MESH.to_owned(),
            aud: MESH.to_owned(),
            sub: key.name(),
            tenant: tenant.to_string(),
            scope: scopes.join(" "),
            iat: now.unix_timestamp(),
            nbf: now.unix_timestamp(),
            exp: end.unix_timestamp(),
            jti: Uuid::now_v7().to_string(),
        }
    }

    /// Whom the token stands for, if `now` is within its life.
    pub(crate) fn read(&self, now: OffsetDateTime) -> Result<Bearer, Error> {
        let (now, leeway) = (now.unix_timestamp(), LEEWAY.whole_seconds());
        if now.saturating_add(leeway) < self.nbf || now.saturating_sub(leeway) >= self.exp {
            return Err(Error::InvalidToken);
        }
        Ok(Bearer {
            tenant: self.tenant.parse().map_err(|_| Error::InvalidToken)?,
            key: KeyId::from_name(&self.sub).map_err(|_| Error::InvalidToken)?,
            // A scope that this version does not know grants nothing.
            scopes: self.scope.split(' ').filter_map(|scope| scope.parse().ok()).collect(),
            expire_time: OffsetDateTime::from_unix_timestamp(self.exp).map_err(|_| Error::InvalidToken)?,
        })
    }
}

/// Whom a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) tenant: TenantId,
    pub(crate) key: KeyId,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) expire_time: OffsetDateTime,
}

/// A key that signs tokens.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pub(crate) id: String,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) retire_time: Option<OffsetDateTime>,
    seed: [u8; SEED_BYTES],
    public: Vec<u8>,
}

impl SigningKey {
    /// A new key from the system's randomness.
    pub(crate) fn generate(now: OffsetDateTime) -> Result<Self, Error> {
        let mut seed = [0; SEED_BYTES];
        SystemRandom::new().fill(&mut seed).map_err(|_| Error::Crypto("read random bytes"))?;
        Self::from_seed(Uuid::now_v7().to_string(), &seed, now, None)
    }

    /// A key that was made before.
    pub(crate) fn from_seed(
        id: String,
        seed: &[u8],
        create_time: OffsetDateTime,
        retire_time: Option<OffsetDateTime>,
    ) -> Result<Self, Error> {
        let bad = "read a signing key";
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Crypto(bad))?;
        let seed = seed.try_into().map_err(|_| Error::Crypto(bad))?;
        Ok(Self { id, create_time, retire_time, seed, public: pair.public_key().as_ref().to_vec() })
    }

    /// The secret half, to be sealed.
    pub(crate) fn seed(&self) -> &[u8] {
        &self.seed
    }

    /// The public half as JWKs write it.
    pub(crate) fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.public)
    }

    /// Signs a token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(&[&PKCS8_HEAD[..], &self.seed].concat());
        jsonwebtoken::encode(&header, claims, &key).map_err(|_| Error::Crypto("sign a token"))
    }

    /// Checks the signature of a token and for whom it was made. Its times are the caller's business.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, Error> {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[MESH]);
        rules.set_audience(&[MESH]);
        rules.set_required_spec_claims(&["iss", "aud", "sub", "nbf", "exp"]);
        // The library would ask the system clock; `Claims::read` checks both against the time of the call.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let key = DecodingKey::from_ed_der(&self.public);
        let token = jsonwebtoken::decode::<Claims>(token, &key, &rules).map_err(|_| Error::InvalidToken)?;
        Ok(token.claims)
    }
}

/// The id of the key that a token claims to be signed with.
pub(crate) fn key_id(token: &str) -> Result<String, Error> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::InvalidToken);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Error::InvalidToken)?;
    if header.alg != Algorithm::EdDSA {
        return Err(Error::InvalidToken);
    }
    header.kid.ok_or(Error::InvalidToken)
}

/// Whether a credential has the form of a token: three parts. API keys have no dots.
pub(crate) fn looks_like_token(credential: &str) -> bool {
    credential.bytes().filter(|byte| *byte == b'.').count() == 2
}
