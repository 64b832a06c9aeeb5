//! Errors as a client sees them: one status, written as RFC 9457 `application/problem+json` or as a gRPC trailer.
//!
//! A client branches on `reason`. Nothing but the known details leaves: no debug information, no insides.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::body::Body;

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    http: StatusCode,
    status: Status,
    allow: Option<String>,
}

impl Problem {
    /// A fault that exists in HTTP only, e.g. 405, with the gRPC status that is nearest to it.
    pub(crate) fn http(
        http: StatusCode,
        code: Code,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner { http, status: mesh::refuse_with(code, reason, message, &[]), allow: None }))
    }

    /// There is nothing at this path.
    pub(crate) fn no_route() -> Self {
        Self::http(StatusCode::NOT_FOUND, Code::NotFound, "ROUTE_NOT_FOUND", "there is nothing at this path")
    }

    /// The path exists, but not with this method; `allow` lists those it has.
    pub(crate) fn method_not_allowed(allow: impl Into<String>) -> Self {
        let message = "the path does not take this method";
        let mut problem =
            Self::http(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "METHOD_NOT_ALLOWED", message);
        problem.0.allow = Some(allow.into());
        problem
    }

    /// One field of the request is wrong.
    pub(crate) fn field(field: &str, reason: &'static str, description: impl Into<String>) -> Self {
        let mut violations = mesh::Violations::new();
        violations.add(field, reason, description);
        match violations.into_result() {
            Err(status) => status.into(),
            Ok(()) => Status::invalid_argument("a field is not valid").into(),
        }
    }

    /// The HTTP status.
    #[cfg(test)]
    pub(crate) fn http_status(&self) -> StatusCode {
        self.0.http
    }

    /// The problem as a trailers-only gRPC answer.
    pub(crate) fn into_grpc(self) -> Response<Body> {
        self.0.status.into_http()
    }

    /// The problem as an HTTP answer. `instance` is the path of the request.
    pub(crate) fn into_response(self, instance: &str, request_id: &str) -> Response<Body> {
        let document = self.document(instance, request_id);
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = self.0.http;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.0.http == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.0.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if let Some(delay) = self.0.status.get_details_retry_info().and_then(|info| info.retry_delay) {
            // Retry-After has whole seconds; too early would be refused again.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }

    /// The problem document.
    pub(crate) fn document(&self, instance: &str, request_id: &str) -> Value {
        let Inner { http, status, .. } = &*self.0;
        let info = status.get_details_error_info();
        let code = code_name(status.code());
        let reason = info.as_ref().map_or(code, |info| info.reason.as_str());
        let mut document = Map::new();
        document.insert("type".to_owned(), json!(format!("/docs/errors#{reason}")));
        document.insert("title".to_owned(), json!(http.canonical_reason().unwrap_or("Error")));
        document.insert("status".to_owned(), json!(http.as_u16()));
        document.insert("detail".to_owned(), json!(status.message()));
        document.insert("instance".to_owned(), json!(instance));
        document.insert("code".to_owned(), json!(code));
        document.insert("reason".to_owned(), json!(reason));
        document.insert("request_id".to_owned(), json!(request_id));
        if let Some(bad) = status.get_details_bad_request() {
            let errors: Vec<Value> = bad.field_violations.iter().map(violation).collect();
            document.insert("errors".to_owned(), Value::Array(errors));
        }
        if let Some(info) = info.filter(|info| !info.metadata.is_empty()) {
            document.insert("metadata".to_owned(), json!(info.metadata));
        }
        Value::Object(document)
    }
}

fn violation(violation: &tonic_types::FieldViolation) -> Value {
    json!({"field": violation.field, "reason": violation.reason, "description": violation.description})
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let http = match (status.code(), mesh::error_reason(&status).as_deref()) {
            (_, Some("BODY_TOO_LARGE")) => StatusCode::PAYLOAD_TOO_LARGE,
            (code, _) => http_status(code),
        };
        Self(Box::new(Inner { http, status, allow: None }))
    }
}

/// The HTTP status of a gRPC code, as google.rpc.Code lists them.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The name of a gRPC code as the specification writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_a_problem_document() {
        let problem = Problem::field("urls[0]", "INVALID_URL", "is not a URL");
        let document = problem.document("/v1/crawl-jobs", "r-1");
        assert_eq!(document["status"], 400);
        assert_eq!(document["code"], "INVALID_ARGUMENT");
        assert_eq!(document["reason"], "INVALID_URL");
        assert_eq!(document["type"], "/docs/errors#INVALID_URL");
        assert_eq!(document["instance"], "/v1/crawl-jobs");
        assert_eq!(document["request_id"], "r-1");
        let field = json!({"field": "urls[0]", "reason": "INVALID_URL", "description": "is not a URL"});
        assert_eq!(document["errors"], json!([field]));
        assert!(document.get("metadata").is_none());
    }

    #[test]
    fn headers_tell_what_to_do() {
        let missing = mesh::refuse_with(Code::Unauthenticated, "MISSING_CREDENTIALS", "no credential", &[]);
        let response = Problem::from(missing).into_response("/", "r");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let away = mesh::fail(Code::Unavailable, "AUTH_UNAVAILABLE", &std::io::Error::other("refused"));
        let response = Problem::from(away).into_response("/", "r");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &HeaderValue::from(1))
        );
        let response = Problem::method_not_allowed("GET, POST").into_response("/", "r");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"GET, POST".parse().unwrap())
        );
    }

    #[test]
    fn the_scope_that_is_missing_is_named() {
        let metadata = [("permission", "jobs:write")];
        let status = mesh::refuse_with(Code::PermissionDenied, "MISSING_PERMISSION", "lacks it", &metadata);
        let document = Problem::from(status).document("/", "r");
        assert_eq!(
            (&document["status"], &document["metadata"]["permission"]),
            (&json!(403), &json!("jobs:write"))
        );
        let bare = Problem::from(Status::internal("x")).document("/", "r");
        assert_eq!((&bare["status"], &bare["reason"]), (&json!(500), &json!("INTERNAL")));
    }
}
