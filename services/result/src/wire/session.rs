//! Sessions in and out.

use std::time::{Duration, SystemTime};

use api::result::v1 as pb;
use domain::{SessionName, TenantId};
use mesh::Violations;
use prost_types::Timestamp;
use time::OffsetDateTime;
use tonic::Status;
use uuid::Uuid;

use super::{refuse, refused};
use crate::session::{Changes, Cookie, Session, SessionKey, State, StorageChange};

const DEFAULT_PAGE: u64 = 50;
const MAX_PAGE: u64 = 100;

/// One page of a tenant's sessions.
pub(crate) struct List {
    pub(crate) size: u64,
    pub(crate) after: Option<SessionName>,
}

/// Reads `sessions/{session}`.
pub(crate) fn name(name: &str) -> Result<SessionName, Status> {
    SessionName::from_name(name).or_else(|error| refuse("name", "INVALID_NAME", &error.to_string()))
}

/// Reads a request for a list.
pub(crate) fn list(request: &pb::ListSessionsRequest, tenant: TenantId) -> Result<List, Status> {
    let size = match u64::try_from(request.page_size) {
        Err(_) => return refuse("page_size", "OUT_OF_RANGE", "must not be negative"),
        Ok(0) => DEFAULT_PAGE,
        Ok(size) => size.min(MAX_PAGE),
    };
    let cursor = domain::page_token::decode(&list_name(tenant), &request.page_token);
    let after = cursor.ok().map(|cursor| cursor.map(|name| name.parse()).transpose());
    match after {
        Some(Ok(after)) => Ok(List { size, after }),
        _ => refuse("page_token", "INVALID_PAGE_TOKEN", "is not a page token of this list"),
    }
}

/// The token of the sessions after `last`.
pub(crate) fn token(tenant: TenantId, last: &SessionName) -> String {
    domain::page_token::encode(&list_name(tenant), last.as_str())
}

fn list_name(tenant: TenantId) -> String {
    format!("{tenant} sessions")
}

/// Reads what a crawler opens, and for how long.
pub(crate) fn opening(request: &pb::OpenSessionRequest) -> Result<(SessionKey, Duration), Status> {
    let key = key(&request.tenant, &request.name)?;
    let ttl = request.ttl.and_then(|ttl| Duration::try_from(ttl).ok()).filter(|ttl| !ttl.is_zero());
    match ttl {
        Some(ttl) if ttl <= crate::DAY * 3660 => Ok((key, ttl)),
        _ => refuse("ttl", "OUT_OF_RANGE", "must be more than 0s and at most 3660d"),
    }
}

fn key(tenant: &str, session: &str) -> Result<SessionKey, Status> {
    let mut wrong = Violations::new();
    let tenant = TenantId::from_name(tenant);
    if let Err(error) = &tenant {
        wrong.add("tenant", "INVALID_NAME", error.to_string());
    }
    let name = SessionName::from_name(session);
    if let Err(error) = &name {
        wrong.add("name", "INVALID_NAME", error.to_string());
    }
    match (tenant, name) {
        (Ok(tenant), Ok(name)) => Ok(SessionKey { tenant, name }),
        _ => Err(refused(wrong)),
    }
}

/// Reads what a page has changed.
pub(crate) fn changes(request: pb::ChangeSessionRequest) -> Result<(SessionKey, Uuid, Changes), Status> {
    let key = key(&request.tenant, &request.name)?;
    let Ok(id) = Uuid::try_parse(&request.session_id) else {
        return refuse("session_id", "INVALID_NAME", "is not a UUID");
    };
    let Some(changes) = request.changes else { return refuse("changes", "REQUIRED", "is required") };
    let removed = changes.removed_cookies.into_iter().map(|cookie| read_cookie(cookie).key());
    let storage = changes.storage.into_iter().map(|change| StorageChange {
        origin: change.origin,
        items: change.items.into_iter().collect(),
        removed: change.removed,
    });
    let changes = Changes {
        cookies: changes.cookies.into_iter().map(read_cookie).collect(),
        removed_cookies: removed.collect(),
        storage: storage.collect(),
    };
    Ok((key, id, changes))
}

fn read_cookie(cookie: pb::SessionCookie) -> Cookie {
    let pb::SessionCookie { name, value, host, below, path, secure, http_only, expires, same_site } = cookie;
    Cookie { name, value, host, below, path, secure, http_only, expires, same_site }
}

fn write_cookie(cookie: Cookie) -> pb::SessionCookie {
    let Cookie { name, value, host, below, path, secure, http_only, expires, same_site } = cookie;
    pb::SessionCookie { name, value, host, below, path, secure, http_only, expires, same_site }
}

/// What a page begins with, as crawlers get it.
pub(crate) fn state(state: State) -> pb::SessionState {
    let storage = state.storage.into_iter().map(|(origin, items)| pb::SessionStorage {
        origin,
        items: items.into_iter().collect(),
        removed: Vec::new(),
    });
    pb::SessionState {
        cookies: state.cookies.into_iter().map(write_cookie).collect(),
        storage: storage.collect(),
    }
}

/// A session as its tenant sees it.
pub(crate) fn show(session: &Session) -> pb::Session {
    let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    pb::Session {
        name: session.name.name(),
        create_time: Some(stamp(session.create_time)),
        use_time: Some(stamp(session.use_time)),
        expire_time: Some(stamp(session.expire_time)),
        ttl: prost_types::Duration::try_from(session.ttl).ok(),
        cookies: number(session.extent.cookies),
        origins: number(session.extent.origins),
        size: i64::try_from(session.extent.size).unwrap_or(i64::MAX),
    }
}

fn stamp(time: OffsetDateTime) -> Timestamp {
    Timestamp::from(SystemTime::from(time))
}
