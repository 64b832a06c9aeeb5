//! Credentials in, principals out.
//!
//! Promises: what cannot be a credential is refused without the database; a token is good only as long as the API key
//! that it was issued for.

use std::sync::{Arc, LazyLock};

use domain::{KeyId, Scope, TenantId};
use opentelemetry::{KeyValue, metrics::Counter};
use time::{Duration, OffsetDateTime};

use crate::{
    error::Error,
    key::{self, Key, Secret},
    pepper::Pepper,
    signer::Signer,
    store::{Entry, Store},
    tenant::Tenant,
    token::{self, Claims},
};

static CHECKS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh::metrics::meter()
        .u64_counter("crawlmesh.auth.checks")
        .with_description("Credentials that were checked, by kind and result.")
        .build()
});

/// Whom a credential stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) tenant: TenantId,
    pub(crate) key: KeyId,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) expire_time: Option<OffsetDateTime>,
}

/// An access token.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) ttl: Duration,
}

/// Checks credentials and makes new ones.
#[derive(Clone)]
pub(crate) struct Authenticator {
    pub(crate) store: Store,
    pub(crate) pepper: Arc<Pepper>,
    pub(crate) signer: Arc<Signer>,
}

impl Authenticator {
    /// Tells whom an API key or an access token stands for.
    pub(crate) async fn authenticate(
        &self,
        credential: &str,
        now: OffsetDateTime,
    ) -> Result<Principal, Error> {
        let (kind, principal) = if token::looks_like_token(credential) {
            ("token", self.bearer(credential, now).await)
        } else {
            ("key", self.key(credential, now).await.map(Principal::from))
        };
        let result = match &principal {
            Ok(_) => "accepted",
            Err(Error::Store(_) | Error::Crypto(_)) => "failed",
            Err(_) => "refused",
        };
        CHECKS.add(1, &[KeyValue::new("kind", kind), KeyValue::new("result", result)]);
        principal
    }

    /// The API key with this secret, if it can be used.
    pub(crate) async fn key(&self, secret: &str, now: OffsetDateTime) -> Result<Key, Error> {
        let secret = Secret::parse(secret)?;
        // The index is searched for a keyed hash: how long that takes says nothing about the secret.
        let key = self.store.key_by_hash(self.pepper.hash(&secret)).await?.ok_or(Error::InvalidKey)?;
        key.usable(now)?;
        Ok(key)
    }

    /// The API key that a call was made with, if it can be used.
    pub(crate) async fn key_of_call(
        &self,
        tenant: TenantId,
        subject: &str,
        now: OffsetDateTime,
    ) -> Result<Key, Error> {
        let id = KeyId::from_name(subject).map_err(|_| Error::MissingCredentials)?;
        let key = self.store.key(tenant, id).await?.ok_or(Error::InvalidKey)?;
        key.usable(now)?;
        Ok(key)
    }

    /// A token that stands for `key`, no longer than the key itself.
    pub(crate) fn issue(&self, key: &Key, now: OffsetDateTime) -> Result<Token, Error> {
        let full = now + self.signer.ttl();
        let end = key.expire_time.map_or(full, |end| end.min(full));
        let claims = Claims::new(key.tenant, key.id, &key.scopes, now, end);
        Ok(Token { text: self.signer.sign(&claims)?, ttl: end - now })
    }

    async fn bearer(&self, token: &str, now: OffsetDateTime) -> Result<Principal, Error> {
        let bearer = self.signer.verify(token, now).await?.read(now)?;
        let key = self.store.key(bearer.tenant, bearer.key).await?.ok_or(Error::InvalidToken)?;
        key.usable(now)?;
        let token::Bearer { tenant, key, scopes, expire_time } = bearer;
        Ok(Principal { tenant, key, scopes, expire_time: Some(expire_time) })
    }
}

impl From<Key> for Principal {
    fn from(key: Key) -> Self {
        Self { tenant: key.tenant, key: key.id, scopes: key.scopes, expire_time: key.expire_time }
    }
}

/// A new key with its secret, not stored yet.
pub(crate) fn new_key(
    pepper: &Pepper,
    tenant: TenantId,
    display_name: &str,
    scopes: Vec<Scope>,
    now: OffsetDateTime,
) -> Result<(Entry, Secret), Error> {
    let secret = Secret::generate()?;
    let key = Key {
        id: KeyId::new(),
        tenant,
        display_name: display_name.to_owned(),
        prefix: secret.prefix().to_owned(),
        scopes,
        create_time: now,
        expire_time: None,
        revoke_time: None,
    };
    Ok((Entry { key, hash: pepper.hash(&secret) }, secret))
}

/// A new tenant and its first key, not stored yet.
pub(crate) fn new_tenant(
    pepper: &Pepper,
    display_name: &str,
    now: OffsetDateTime,
) -> Result<(Tenant, Entry, Secret), Error> {
    let tenant = Tenant::new(display_name, now);
    let (entry, secret) = new_key(pepper, tenant.id, "first key", key::tenant_scopes(Scope::ALL), now)?;
    Ok((tenant, entry, secret))
}
