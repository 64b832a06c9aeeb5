//! What a handler knows about the call that it answers. The server builds it once from the certificate and the headers.
//!
//! Who the caller acts for is believed from the gateway alone: it has checked the credential.

use domain::{Scope, Service, TenantId};
use http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;
use tokio::time::Instant;
use tonic::{Code, Request, Status};

use crate::error::refuse_with;

/// Headers that say who the caller acts for. The gateway removes them from what comes from outside.
pub const PRINCIPAL_HEADERS: [&str; 3] = [TENANT, SUBJECT, SCOPES];
/// The header with the id of a request, the same on every hop.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

const TENANT: &str = "x-crawlmesh-tenant";
const SUBJECT: &str = "x-crawlmesh-subject";
const SCOPES: &str = "x-crawlmesh-scopes";
const MAX_REQUEST_ID: usize = 64;

/// Whose credential a call carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The tenant that owns what the call touches.
    pub tenant: TenantId,
    /// The name of the credential, e.g. `api-keys/{uuid}`.
    pub subject: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// A call from a member of the mesh.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls, by its certificate.
    pub caller: Service,
    /// For whom, if the gateway said so.
    pub principal: Option<Principal>,
    /// When it arrived.
    pub time: OffsetDateTime,
    /// When the answer is due; a stream only has to begin by then.
    pub deadline: Instant,
    /// Its id, the same on every hop.
    pub request_id: String,
}

/// A call on behalf of a tenant.
#[derive(Clone, Debug)]
pub struct TenantCall {
    /// The tenant that owns what the call touches.
    pub tenant: TenantId,
    /// The name of the credential.
    pub subject: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When the call arrived.
    pub time: OffsetDateTime,
    /// When the answer is due; a stream only has to begin by then.
    pub deadline: Instant,
    /// Its id, the same on every hop.
    pub request_id: String,
}

impl TenantCall {
    /// Refuses a call without `scope`: `PERMISSION_DENIED`, reason `MISSING_PERMISSION`, with the scope's name.
    pub fn require(&self, scope: Scope) -> Result<(), Status> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let message = format!("the credential lacks the permission {scope}");
        Err(refuse_with(
            Code::PermissionDenied,
            "MISSING_PERMISSION",
            message,
            &[("permission", scope.as_str())],
        ))
    }
}

/// The call behind a request, for methods that act for a tenant. `UNAUTHENTICATED`, reason `MISSING_CREDENTIALS`, if it
/// does not say for whom.
pub fn call<T>(request: &Request<T>) -> Result<TenantCall, Status> {
    let Call { principal, time, deadline, request_id, .. } = internal_call(request)?;
    let Some(Principal { tenant, subject, scopes }) = principal else {
        return Err(refuse_with(
            Code::Unauthenticated,
            "MISSING_CREDENTIALS",
            "the call carries no credential",
            &[],
        ));
    };
    Ok(TenantCall { tenant, subject, scopes, time, deadline, request_id })
}

/// The call behind a request, for internal methods. `UNAUTHENTICATED`, reason `UNKNOWN_CALLER`, outside of
/// [`crate::Server`].
pub fn internal_call<T>(request: &Request<T>) -> Result<Call, Status> {
    request.extensions().get::<Call>().cloned().ok_or_else(|| {
        refuse_with(Code::Unauthenticated, "UNKNOWN_CALLER", "the caller is not a member of the mesh", &[])
    })
}

/// Writes who the caller acts for into the headers of a call. Only the gateway is believed.
pub fn principal_headers(principal: &Principal, headers: &mut HeaderMap) {
    let scopes = principal.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
    for (name, text) in
        [(TENANT, principal.tenant.to_string()), (SUBJECT, principal.subject.clone()), (SCOPES, scopes)]
    {
        // A control character cannot be sent; a subject with one is of no known credential.
        let clean: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(clean)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Reads who the caller acts for. Scopes that this version does not know grant nothing.
pub(crate) fn read_principal(headers: &HeaderMap) -> Option<Principal> {
    let text = |name| headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let scopes = text(SCOPES).unwrap_or_default();
    Some(Principal {
        tenant: text(TENANT)?.parse().ok()?,
        subject: text(SUBJECT)?.to_owned(),
        scopes: scopes.split(',').filter_map(|scope| scope.parse().ok()).collect(),
    })
}

/// The id that came with a call, if it is one that may be logged.
pub(crate) fn read_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID_HEADER)?.to_str().ok()?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(good)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal() -> Principal {
        Principal {
            tenant: TenantId::new(),
            subject: "api-keys/Ünal".to_owned(),
            scopes: vec![Scope::JobsRead, Scope::JobsWrite],
        }
    }

    #[test]
    fn a_principal_survives_the_headers() {
        let mut headers = HeaderMap::new();
        let mut sent = principal();
        principal_headers(&sent, &mut headers);
        assert_eq!(read_principal(&headers), Some(sent.clone()));

        headers.insert(SCOPES, HeaderValue::from_static("jobs:read,future:scope"));
        assert_eq!(read_principal(&headers).map(|p| p.scopes), Some(vec![Scope::JobsRead]));

        sent.subject = "a\nb".to_owned();
        principal_headers(&sent, &mut headers);
        assert_eq!(read_principal(&headers).map(|p| p.subject).as_deref(), Some("a?b"));

        headers.insert(TENANT, HeaderValue::from_static("not-an-id"));
        assert_eq!(read_principal(&headers), None);
    }

    #[test]
    fn a_request_id_is_kept_only_if_it_may_be_logged() {
        let long = "x".repeat(65);
        for (id, kept) in
            [("r-1_a.B", true), ("", false), ("a b", false), ("a\"b", false), (long.as_str(), false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID_HEADER, HeaderValue::from_str(id).unwrap());
            assert_eq!(read_request_id(&headers).is_some(), kept, "{id:?}");
        }
    }

    #[test]
    fn a_missing_scope_is_named() {
        let Principal { tenant, subject, scopes } = principal();
        let call = TenantCall {
            tenant,
            subject,
            scopes,
            time: crate::clock::now(),
            deadline: Instant::now(),
            request_id: "r".to_owned(),
        };
        assert!(call.require(Scope::JobsRead).is_ok());
        let status = call.require(Scope::KeysManage).unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
        assert_eq!(
            (info.reason.as_str(), info.metadata["permission"].as_str()),
            ("MISSING_PERMISSION", "keys:manage")
        );
    }

    #[test]
    fn a_request_without_the_server_has_no_call() {
        assert_eq!(call(&Request::new(())).unwrap_err().code(), Code::Unauthenticated);
    }
}
