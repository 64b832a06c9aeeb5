//! Protobuf in and out, with everything that can be wrong with a field.

use std::time::SystemTime;

use api::auth::v1 as pb;
use domain::{KeyId, Scope, TenantId};
use mesh::Violations;
use prost_types::Timestamp;
use time::OffsetDateTime;
use tonic::{Code, Status};

use crate::{
    authenticator::{Principal, Token},
    key::{Key, Secret},
    tenant::Tenant,
    token::SigningKey,
};

const MAX_NAME_CHARS: usize = 100;
/// There are fewer scopes than this; a longer list is a mistake.
const MAX_SCOPES: usize = 32;
const DEFAULT_PAGE: u64 = 50;
const MAX_PAGE: u64 = 200;

/// A key that a caller wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WantedKey {
    pub(crate) display_name: String,
    /// Empty: what the creator has.
    pub(crate) scopes: Vec<Scope>,
    pub(crate) expire_time: Option<OffsetDateTime>,
}

/// Reads `CreateApiKeyRequest`.
pub(crate) fn wanted_key(request: pb::CreateApiKeyRequest, now: OffsetDateTime) -> Result<WantedKey, Status> {
    let mut wrong = Violations::new();
    let Some(key) = request.api_key else { return missing("api_key") };
    display_name(&mut wrong, "api_key.display_name", &key.display_name);
    if key.scopes.len() > MAX_SCOPES {
        wrong.add("api_key.scopes", "TOO_MANY", format!("has more than {MAX_SCOPES} entries"));
    }
    let mut scopes = Vec::new();
    for (index, scope) in key.scopes.iter().take(MAX_SCOPES).enumerate() {
        match scope.parse() {
            Ok(scope) => scopes.push(scope),
            Err(_) => wrong.add(format!("api_key.scopes[{index}]"), "UNKNOWN_SCOPE", "is not a scope"),
        }
    }
    let mut expire_time = None;
    if let Some(stamp) = key.expire_time {
        match moment(stamp) {
            Some(end) if end > now => expire_time = Some(end),
            Some(_) => wrong.add("api_key.expire_time", "TIME_IN_PAST", "is not in the future"),
            None => wrong.add("api_key.expire_time", "INVALID_TIME", "is not a point in time"),
        }
    }
    wrong.into_result()?;
    Ok(WantedKey { display_name: key.display_name, scopes, expire_time })
}

/// Reads `CreateTenantRequest`: the name of the tenant.
pub(crate) fn wanted_tenant(request: pb::CreateTenantRequest) -> Result<String, Status> {
    let mut wrong = Violations::new();
    let Some(tenant) = request.tenant else { return missing("tenant") };
    display_name(&mut wrong, "tenant.display_name", &tenant.display_name);
    wrong.into_result()?;
    Ok(tenant.display_name)
}

/// Reads the name of an API key.
pub(crate) fn key_id(name: &str) -> Result<KeyId, Status> {
    KeyId::from_name(name).or_else(|error| refuse("name", "INVALID_NAME", &error.to_string()))
}

/// How many keys to list, and after which.
pub(crate) fn page(
    request: &pb::ListApiKeysRequest,
    tenant: TenantId,
) -> Result<(u64, Option<KeyId>), Status> {
    let size = match u64::try_from(request.page_size) {
        Ok(0) => DEFAULT_PAGE,
        Ok(size) => size.min(MAX_PAGE),
        Err(_) => return refuse("page_size", "NEGATIVE_PAGE_SIZE", "is negative"),
    };
    let bad = || refuse("page_token", "INVALID_PAGE_TOKEN", "is not a page token of this list");
    match domain::page_token::decode(&list(tenant), &request.page_token) {
        Ok(None) => Ok((size, None)),
        Ok(Some(cursor)) => cursor.parse().map(|id| (size, Some(id))).or_else(|_| bad()),
        Err(_) => bad(),
    }
}

/// The token of the page after `last`.
pub(crate) fn page_token(tenant: TenantId, last: KeyId) -> String {
    domain::page_token::encode(&list(tenant), &last.to_string())
}

fn list(tenant: TenantId) -> String {
    format!("{tenant} api-keys")
}

fn display_name(wrong: &mut Violations, field: &str, name: &str) {
    if name.trim().is_empty() {
        wrong.add(field, "REQUIRED", "is required");
    } else if name.chars().count() > MAX_NAME_CHARS {
        wrong.add(field, "TOO_LONG", format!("has more than {MAX_NAME_CHARS} characters"));
    } else if name.chars().any(char::is_control) {
        wrong.add(field, "INVALID_TEXT", "has control characters");
    }
}

fn missing<T>(field: &str) -> Result<T, Status> {
    refuse(field, "REQUIRED", "is required")
}

fn refuse<T>(field: &str, reason: &'static str, text: &str) -> Result<T, Status> {
    let mut wrong = Violations::new();
    wrong.add(field, reason, text);
    let none = || mesh::refuse_with(Code::InvalidArgument, reason, text, &[]);
    Err(wrong.into_result().err().unwrap_or_else(none))
}

fn moment(stamp: Timestamp) -> Option<OffsetDateTime> {
    let nanos = i128::from(stamp.seconds) * 1_000_000_000 + i128::from(stamp.nanos);
    // Postgres keeps microseconds.
    OffsetDateTime::from_unix_timestamp_nanos(nanos - nanos.rem_euclid(1_000)).ok()
}

fn stamp(time: OffsetDateTime) -> Timestamp {
    Timestamp::from(SystemTime::from(time))
}

impl From<Key> for pb::ApiKey {
    fn from(key: Key) -> Self {
        Self {
            name: key.id.name(),
            display_name: key.display_name,
            scopes: words(&key.scopes),
            prefix: key.prefix,
            create_time: Some(stamp(key.create_time)),
            expire_time: key.expire_time.map(stamp),
            revoke_time: key.revoke_time.map(stamp),
            tenant: key.tenant.name(),
        }
    }
}

impl From<Tenant> for pb::Tenant {
    fn from(tenant: Tenant) -> Self {
        Self {
            name: tenant.id.name(),
            display_name: tenant.display_name,
            create_time: Some(stamp(tenant.create_time)),
        }
    }
}

impl From<Principal> for pb::Principal {
    fn from(principal: Principal) -> Self {
        Self {
            tenant: principal.tenant.name(),
            subject: principal.key.name(),
            scopes: words(&principal.scopes),
            expire_time: principal.expire_time.map(stamp),
        }
    }
}

impl From<Token> for pb::IssueTokenResponse {
    fn from(token: Token) -> Self {
        let ttl = std::time::Duration::try_from(token.ttl).unwrap_or_default();
        Self {
            access_token: token.text,
            token_type: "bearer".to_owned(),
            expires_in: Some(prost_types::Duration {
                seconds: i64::try_from(ttl.as_secs()).unwrap_or_default(),
                nanos: 0,
            }),
        }
    }
}

impl From<&SigningKey> for pb::Jwk {
    fn from(key: &SigningKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: key.x(),
            kid: key.id.clone(),
            alg: "EdDSA".to_owned(),
            r#use: "sig".to_owned(),
        }
    }
}

/// The answer of `CreateApiKey`.
pub(crate) fn created(key: Key, secret: &Secret) -> pb::CreateApiKeyResponse {
    pb::CreateApiKeyResponse { api_key: Some(key.into()), secret: secret.expose().to_owned() }
}

fn words(scopes: &[Scope]) -> Vec<String> {
    scopes.iter().map(|scope| scope.as_str().to_owned()).collect()
}
