//! Who a request acts for: its credential, asked for at the auth service and remembered for a short time.
//!
//! While the auth service is away, credentials that were good a few minutes ago stay good; unknown ones are UNAVAILABLE,
//! never refused. Credentials are remembered by their BLAKE3 hash only.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::auth::v1::{self as pb, auth_service_client::AuthServiceClient};
use domain::TenantId;
use http::{HeaderMap, header};
use mesh::{Principal, client::Channel};
use moka::{Expiry, future::Cache};
use time::OffsetDateTime;
use tonic::{Code, Request, Status};

use crate::config::Credentials;

/// Longer credentials are nobody's.
const MAX_CREDENTIAL: usize = 4 << 10;

type Key = [u8; 32];

/// What the auth service said, and for how long it holds.
#[derive(Clone, Debug)]
struct Answer {
    result: Result<Arc<Principal>, Status>,
    keep: Duration,
}

/// Checks credentials.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    auth: AuthServiceClient<Channel>,
    /// Answers that hold.
    fresh: Cache<Key, Answer>,
    /// Good answers, for as long as the auth service may be away.
    stale: Cache<Key, Answer>,
    config: Credentials,
}

struct Keep;

impl Expiry<Key, Answer> for Keep {
    fn expire_after_create(&self, _: &Key, answer: &Answer, _: Instant) -> Option<Duration> {
        Some(answer.keep)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        answer: &Answer,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(answer.keep)
    }
}

fn cache(config: &Credentials) -> Cache<Key, Answer> {
    Cache::builder().max_capacity(config.max_entries).expire_after(Keep).build()
}

impl Gate {
    /// A gate that asks the auth service over `channel`.
    pub(crate) fn new(channel: Channel, config: Credentials) -> Self {
        let auth = AuthServiceClient::new(channel);
        Self { auth, fresh: cache(&config), stale: cache(&config), config }
    }

    /// The principal of a request that must have one. `UNAUTHENTICATED`, reason `MISSING_CREDENTIALS`, without.
    pub(crate) async fn require(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Status> {
        self.identify(headers).await?.ok_or_else(|| {
            let message =
                "send an API key as X-API-Key, or an API key or access token as Authorization: Bearer";
            unauthenticated("MISSING_CREDENTIALS", message)
        })
    }

    /// The principal of a request, if it brings a credential. A credential that is not good is an error.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Option<Arc<Principal>>, Status> {
        let Some(credential) = credential(headers)? else { return Ok(None) };
        let key: Key = *blake3::hash(credential.as_bytes()).as_bytes();
        // Many requests with one credential ask once.
        match self.fresh.try_get_with(key, self.ask(credential)).await {
            Ok(answer) => {
                if let Ok(principal) = &answer.result
                    && self
                        .stale
                        .get(&key)
                        .await
                        .is_none_or(|known| !known.result.is_ok_and(|p| Arc::ptr_eq(&p, principal)))
                {
                    let keep = self.config.keep_while_away.min(answer_life(&answer, &self.config));
                    self.stale.insert(key, Answer { keep, ..answer.clone() }).await;
                } else if answer.result.is_err() {
                    self.stale.invalidate(&key).await;
                }
                answer.result.map(Some)
            }
            Err(away) => match self.stale.get(&key).await {
                Some(known) => known.result.map(Some),
                None => Err(mesh::fail(Code::Unavailable, "AUTH_UNAVAILABLE", &*away)),
            },
        }
    }

    /// Asks the auth service. An error means that it did not answer.
    async fn ask(&self, credential: &str) -> Result<Answer, Status> {
        let mut request = Request::new(pb::AuthenticateRequest { credential: credential.to_owned() });
        request.set_timeout(self.config.timeout);
        match self.auth.clone().authenticate(request).await {
            Ok(principal) => {
                let principal = principal.into_inner();
                let keep = self.config.keep.min(left(&principal));
                Ok(Answer { result: read(&principal).map(Arc::new), keep })
            }
            Err(refused) if matches!(refused.code(), Code::Unauthenticated | Code::InvalidArgument) => {
                Ok(Answer { result: Err(refused), keep: self.config.keep_refused })
            }
            Err(away) => Err(away),
        }
    }
}

/// How long an answer may be used while the auth service is away: less than `keep` only if the credential itself ends.
fn answer_life(answer: &Answer, config: &Credentials) -> Duration {
    if answer.keep < config.keep { answer.keep } else { config.keep_while_away }
}

/// Until the credential expires.
fn left(principal: &pb::Principal) -> Duration {
    let Some(end) = &principal.expire_time else { return Duration::MAX };
    let now = OffsetDateTime::unix_timestamp(mesh::clock::now());
    Duration::from_secs(u64::try_from(end.seconds.saturating_sub(now)).unwrap_or(0))
}

fn read(principal: &pb::Principal) -> Result<Principal, Status> {
    let tenant = TenantId::from_name(&principal.tenant)
        .map_err(|error| mesh::fail(Code::Internal, "BAD_PRINCIPAL", &error))?;
    // A scope that this version does not know grants nothing.
    let scopes = principal.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
    Ok(Principal { tenant, subject: principal.subject.clone(), scopes })
}

/// The one credential of a request: `X-API-Key` or `Authorization: Bearer`.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let mut found: Option<&str> = None;
    for (name, value) in headers {
        let bearer = name == header::AUTHORIZATION;
        if !bearer && name != "x-api-key" {
            continue;
        }
        let invalid = || unauthenticated("INVALID_API_KEY", "the credential is not valid");
        let text = value.to_str().map_err(|_| invalid())?.trim();
        let text = match (bearer, text.split_once(' ')) {
            (false, _) => text,
            (true, Some((scheme, token))) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            (true, _) => return Err(unauthenticated("UNKNOWN_AUTH_SCHEME", "Authorization must be Bearer")),
        };
        if text.is_empty() || text.len() > MAX_CREDENTIAL || text.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(invalid());
        }
        if found.is_some_and(|other| other != text) {
            return Err(unauthenticated(
                "AMBIGUOUS_CREDENTIALS",
                "the request brings two different credentials",
            ));
        }
        found = Some(text);
    }
    Ok(found)
}

fn unauthenticated(reason: &'static str, message: &str) -> Status {
    mesh::refuse_with(Code::Unauthenticated, reason, message, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_credential() {
        let long = "x".repeat(MAX_CREDENTIAL + 1);
        for (headers, expected) in [
            (&[][..], Ok(None)),
            (&[("x-api-key", "ck_a")], Ok(Some("ck_a"))),
            (&[("authorization", "Bearer ck_a")], Ok(Some("ck_a"))),
            (&[("authorization", "bearer  ck_a ")], Ok(Some("ck_a"))),
            (&[("x-api-key", "ck_a"), ("authorization", "Bearer ck_a")], Ok(Some("ck_a"))),
            (&[("x-api-key", "ck_a"), ("authorization", "Bearer ck_b")], Err("AMBIGUOUS_CREDENTIALS")),
            (&[("x-api-key", "ck_a"), ("x-api-key", "ck_b")], Err("AMBIGUOUS_CREDENTIALS")),
            (&[("authorization", "Basic dTpw")], Err("UNKNOWN_AUTH_SCHEME")),
            (&[("authorization", "ck_a")], Err("UNKNOWN_AUTH_SCHEME")),
            (&[("authorization", "Bearer ")], Err("UNKNOWN_AUTH_SCHEME")),
            (&[("x-api-key", "")], Err("INVALID_API_KEY")),
            (&[("x-api-key", "a b")], Err("INVALID_API_KEY")),
            (&[("x-api-key", long.as_str())], Err("INVALID_API_KEY")),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
            }
            let found = credential(&map).map_err(|status| mesh::error_reason(&status).unwrap());
            assert_eq!(found, expected.map_err(ToOwned::to_owned), "{headers:?}");
        }
    }

    #[test]
    fn an_answer_ends_with_its_credential() {
        let now = mesh::clock::now().unix_timestamp();
        let ends = |seconds| pb::Principal {
            expire_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..pb::Principal::default()
        };
        assert_eq!(left(&pb::Principal::default()), Duration::MAX);
        assert_eq!(left(&ends(now - 10)), Duration::ZERO);
        assert!(left(&ends(now + 10)) <= Duration::from_secs(10));
    }
}
