//! Crawl4AI's endpoints, in its shapes, so that its clients work unchanged. Everything goes through the public methods of
//! the services: nothing can be done here that the native API cannot do.
//!
//! Crawl4AI's errors are `{"detail": …}`; a problem document has that member too, so errors need no form of their own.

mod browser;
mod deep;
mod extraction;
mod fields;
#[cfg(test)]
mod fuzz;
mod logs;
mod proxy;
mod result;
mod status;
mod submit;

use api::{
    auth::v1::{IssueTokenRequest, auth_service_client::AuthServiceClient},
    job::v1::job_service_client::JobServiceClient,
};
use axum::http::request::Parts;
use domain::{JobId, Service};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use mesh::client::Channel;
use serde_json::{Map, Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::{
    body::{self, Body},
    config::bytes,
    edge::{Context, Edge},
    problem::Problem,
    transcode,
};

const TASK_PREFIX: &str = "crawl_";

/// A request to one of the endpoints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `POST /crawl/job`.
    Create,
    /// `GET /crawl/job/{task_id}`.
    Status(String),
    /// `POST /token`.
    Token,
    /// `POST /llm/job`, `GET /llm/job/{task_id}`.
    Llm,
}

impl Call {
    /// The call that a method and a path stand for, if it is one of these.
    pub(crate) fn find(method: &Method, path: &str) -> Result<Option<Self>, Problem> {
        let (call, expected) = match path.split('/').collect::<Vec<_>>()[..] {
            ["", "crawl", "job"] => (Self::Create, Method::POST),
            ["", "crawl", "job", id] if !id.is_empty() => (Self::Status(id.to_owned()), Method::GET),
            ["", "token"] => (Self::Token, Method::POST),
            ["", "llm", "job"] => (Self::Llm, Method::POST),
            ["", "llm", "job", id] if !id.is_empty() => (Self::Llm, Method::GET),
            _ => return Ok(None),
        };
        if *method == expected { Ok(Some(call)) } else { Err(Problem::method_not_allowed(expected.as_str())) }
    }

    fn route(&self) -> &'static str {
        match self {
            Self::Create => "/crawl/job",
            Self::Status(_) => "/crawl/job/{task_id}",
            Self::Token => "/token",
            Self::Llm => "/llm/job",
        }
    }
}

/// Answers a call.
pub(crate) async fn answer(
    edge: &Edge,
    context: &Context,
    call: Call,
    parts: Parts,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    context.routed(call.route());
    match call {
        Call::Create => create(edge, context, &parts, body).await,
        Call::Status(task) => {
            let principal = edge.require(&parts.headers, context).await?;
            let id = job_id(&task).ok_or_else(unknown_task)?;
            status::show(edge, context, &principal, id).await
        }
        Call::Token => token(edge, context, &parts, body).await,
        Call::Llm => {
            edge.require(&parts.headers, context).await?;
            let message =
                "crawlmesh does not run language models yet; POST /crawl/job gives Markdown to feed to one";
            Err(mesh::refuse_with(Code::Unimplemented, "NOT_IMPLEMENTED_YET", message, &[]).into())
        }
    }
}

async fn create(
    edge: &Edge,
    context: &Context,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let principal = edge.require(&parts.headers, context).await?;
    let body = read_object(edge, &parts.headers, body).await?;
    let mut submission = submit::read(&body)?;
    if let Some(key) = parts.headers.get("idempotency-key").and_then(|value| value.to_str().ok()) {
        submission.request.request_id = key.to_owned();
    }
    let request = transcode::outgoing(edge, context, Some(&principal), submission.request);
    let job = jobs(edge).create_crawl_job(request).await.map_err(extraction::renamed)?.into_inner();
    let id =
        JobId::from_name(&job.name).map_err(|error| mesh::fail(Code::Internal, "BAD_JOB_NAME", &error))?;
    let mut response = body::json(&json!({"task_id": task_id(id), "ignored_fields": submission.ignored}));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

async fn token(
    edge: &Edge,
    context: &Context,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let body = read_object(edge, &parts.headers, body).await?;
    let mut wrong = mesh::Violations::new();
    for name in body.keys().filter(|name| !matches!(name.as_str(), "email" | "api_token")) {
        wrong.add(name, "UNKNOWN_FIELD", "is not a field");
    }
    let key = body.get("api_token").and_then(Value::as_str).unwrap_or_default();
    if key.is_empty() {
        wrong.add("api_token", "REQUIRED", "must be an API key");
    }
    wrong.into_result()?;
    let request = transcode::outgoing(edge, context, None, IssueTokenRequest { api_key: key.to_owned() });
    let issued =
        AuthServiceClient::new(edge.peers.channel(Service::Auth).clone()).issue_token(request).await?;
    Ok(body::json(&json!({
        "email": body.get("email"),
        "access_token": issued.get_ref().access_token,
        "token_type": "bearer",
    })))
}

async fn read_object(
    edge: &Edge,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Map<String, Value>, Problem> {
    let body = edge.limits.read(headers, body).await?;
    body::require_json(headers, &body)?;
    match transcode::parse_json(&body)? {
        Some(Value::Object(object)) => Ok(object),
        _ => Err(Problem::field("$body", "INVALID_TYPE", "must be an object")),
    }
}

fn jobs(edge: &Edge) -> JobServiceClient<Channel> {
    JobServiceClient::new(edge.peers.channel(Service::Job).clone())
        .max_decoding_message_size(bytes(edge.public.max_response))
}

/// `crawl_` and the id without hyphens.
fn task_id(id: JobId) -> String {
    format!("{TASK_PREFIX}{}", id.0.simple())
}

fn job_id(task: &str) -> Option<JobId> {
    let hex = task.strip_prefix(TASK_PREFIX)?;
    let lower =
        hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let id = Uuid::try_parse(hex).ok().filter(|id| lower && !id.is_nil())?;
    Some(JobId(id))
}

fn unknown_task() -> Problem {
    mesh::refuse_with(Code::NotFound, "JOB_NOT_FOUND", "there is no such task", &[]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_is_a_job_id() {
        let id = JobId::new();
        assert_eq!(job_id(&task_id(id)), Some(id));
        let upper = task_id(id).to_uppercase().replace("CRAWL_", "crawl_");
        for bad in
            ["", "crawl_", "crawl_1234", "llm_x", "crawl_00000000000000000000000000000000", upper.as_str()]
        {
            // An id of digits only has one case.
            assert!(job_id(bad).is_none() || bad == task_id(id), "{bad}");
        }
    }

    #[test]
    fn calls_are_found() {
        let find = |method: Method, path: &str| Call::find(&method, path).unwrap();
        assert_eq!(find(Method::POST, "/crawl/job"), Some(Call::Create));
        assert_eq!(find(Method::GET, "/crawl/job/x"), Some(Call::Status("x".to_owned())));
        assert_eq!(find(Method::POST, "/llm/job"), Some(Call::Llm));
        assert_eq!(find(Method::GET, "/llm/job/x"), Some(Call::Llm));
        assert_eq!(find(Method::POST, "/token"), Some(Call::Token));
        for path in ["/crawl", "/crawl/job/", "/crawl/job/x/y", "//crawl/job", "/crawl//job", "/v1/jobs"] {
            assert_eq!(find(Method::GET, path), None, "{path}");
        }
        assert!(Call::find(&Method::GET, "/crawl/job").is_err());
        assert!(Call::find(&Method::DELETE, "/crawl/job/x").is_err());
    }
}
