//! The entry of every request: id, span, limits, the way to its handler, and the headers of every answer.
//!
//! Whatever happens inside, a panic included, the client gets one answer with its request id.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::http::request::Parts;
use domain::Service;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mesh::{Node, PRINCIPAL_HEADERS, Principal, REQUEST_ID_HEADER, client::Channel};
use prost_reflect::DescriptorPool;
use tokio::sync::Semaphore;
use tonic::{Code, Status};
use tracing::{Instrument, Span, error, field::Empty, info_span};

use crate::{
    auth::Gate,
    body::{Body, BodyLimits},
    config::{Config, Public, bytes},
    crawl4ai, grpc,
    health::Readiness,
    metrics, openapi, pages,
    problem::Problem,
    streams::Streams,
    transcode::{self, Routes},
};

/// Longest request id that is taken over.
const MAX_REQUEST_ID: usize = 64;

/// Connections to the services that requests go to.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    auth: Channel,
    job: Channel,
    crawler: Channel,
    result: Channel,
    webhook: Channel,
}

impl Peers {
    fn new(node: &Node) -> Self {
        Self {
            auth: node.channel(Service::Auth),
            job: node.channel(Service::Job),
            crawler: node.channel(Service::Crawler),
            result: node.channel(Service::Result),
            webhook: node.channel(Service::Webhook),
        }
    }

    /// The connection to a service. The gateway itself owns no method; its word leads to auth.
    pub(crate) fn channel(&self, service: Service) -> &Channel {
        match service {
            Service::Auth | Service::Gateway => &self.auth,
            Service::Job => &self.job,
            Service::Crawler => &self.crawler,
            Service::Result => &self.result,
            Service::Webhook => &self.webhook,
        }
    }
}

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) routes: Routes,
    pub(crate) peers: Peers,
    pub(crate) gate: Gate,
    pub(crate) streams: Streams,
    pub(crate) limits: BodyLimits,
    pub(crate) public: Public,
    pub(crate) readiness: Readiness,
    pub(crate) native: grpc::Native,
    /// /openapi.json.
    pub(crate) description: String,
    work: Semaphore,
}

/// One request, as far as its handlers need to know.
#[derive(Debug)]
pub(crate) struct Context {
    /// Its id, the same on every hop.
    pub(crate) request_id: String,
    /// Its path.
    pub(crate) instance: String,
    /// Its method, one of the known ones.
    method: &'static str,
    span: Span,
    route: OnceLock<String>,
}

impl Context {
    /// Notes the route, a template of the closed set.
    pub(crate) fn routed(&self, route: &str) {
        self.span.record("http.route", route);
        self.span.record("otel.name", format!("{} {route}", self.method));
        // The first is the right one.
        let _ = self.route.set(route.to_owned());
    }

    fn acts_for(&self, principal: &Principal) {
        self.span.record("tenant", tracing::field::display(principal.tenant));
    }

    /// Writes what members of the mesh are told about the request.
    pub(crate) fn write(&self, principal: Option<&Principal>, headers: &mut HeaderMap) {
        if let Some(principal) = principal {
            mesh::principal_headers(principal, headers);
        }
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(REQUEST_ID_HEADER, id);
        }
    }
}

impl Edge {
    /// Reads the descriptors and prepares the connections, which are made at their first call.
    pub(crate) fn new(config: &Config, node: &Node) -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(api::FILE_DESCRIPTOR_SET)?;
        let routes = Routes::read(&pool)?;
        let public = config.public.clone();
        let peers = Peers::new(node);
        let readiness = Readiness::new(&peers, node.shutdown.clone());
        Ok(Self {
            description: openapi::describe(&pool, &routes)?.to_string(),
            gate: Gate::new(peers.auth.clone(), config.credentials.clone()),
            streams: Streams::new(public.max_streams_per_tenant),
            limits: BodyLimits { bytes: bytes(public.max_body), time: public.body_timeout },
            work: Semaphore::new(public.max_concurrent_requests),
            native: grpc::Native::new(readiness.clone(), mesh::Config::server(config).reflection)?,
            routes,
            peers,
            public,
            readiness,
        })
    }

    /// Answers one request.
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let start = Instant::now();
        let (mut parts, body) = request.into_parts();
        let request_id = request_id(&parts.headers);
        let method = method_label(&parts.method);
        let span = span(method, &request_id);
        mesh::telemetry::set_parent_from(&parts.headers, &span);
        for name in PRINCIPAL_HEADERS {
            parts.headers.remove(name);
        }
        let instance = parts.uri.path().to_owned();
        let context = Context { request_id, instance, method, span: span.clone(), route: OnceLock::new() };
        let native = grpc::is_grpc(&parts.headers);
        let handled = self.dispatch(&context, parts, body, native).instrument(span.clone());
        let result = AssertUnwindSafe(Box::pin(handled)).catch_unwind().await.unwrap_or_else(|panic| {
            span.in_scope(|| report(panic.as_ref()));
            Err(mesh::refuse_with(Code::Internal, "PANIC", "the gateway failed", &[]).into())
        });
        let mut response = match result {
            Ok(response) => response,
            Err(problem) if native => problem.into_grpc(),
            Err(problem) => problem.into_response(&context.instance, &context.request_id),
        };
        finish(&context, &mut response);
        span.record("http.response.status_code", response.status().as_u16());
        if response.status().is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        let route = context.route.get().map_or("none", String::as_str);
        metrics::request(route, response.status(), start.elapsed());
        Ok(response)
    }

    async fn dispatch(
        &self,
        context: &Context,
        parts: Parts,
        body: Incoming,
        native: bool,
    ) -> Result<Response<Body>, Problem> {
        if parts.headers.len() > self.public.max_headers {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let message = format!("the request has more than {} headers", self.public.max_headers);
            return Err(Problem::http(status, Code::InvalidArgument, "TOO_MANY_HEADERS", message));
        }
        if !native && let Some(response) = pages::probe(self, context, &parts).await {
            return response;
        }
        let Ok(_working) = self.work.try_acquire() else {
            metrics::overloaded();
            return Err(overloaded().into());
        };
        if native {
            return grpc::answer(self, context, parts, body).await;
        }
        if let Some(response) = pages::page(self, context, &parts).await {
            return response;
        }
        if let Some(call) = crawl4ai::Call::find(&parts.method, parts.uri.path())? {
            return crawl4ai::answer(self, context, call, parts, body).await;
        }
        transcode::answer(self, context, parts, body).await
    }

    /// The principal of a request for the gRPC method at `path`. Open methods need none.
    pub(crate) async fn principal(
        &self,
        path: &str,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Option<Arc<Principal>>, Status> {
        if !transcode::OPEN.contains(&path) {
            return self.require(headers, context).await.map(Some);
        }
        let principal = self.gate.identify(headers).await?;
        if let Some(principal) = &principal {
            context.acts_for(principal);
        }
        Ok(principal)
    }

    /// The principal of a request that must have one.
    pub(crate) async fn require(
        &self,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Arc<Principal>, Status> {
        let principal = self.gate.require(headers).await?;
        context.acts_for(&principal);
        Ok(principal)
    }
}

fn overloaded() -> Status {
    use tonic_types::{ErrorDetails, StatusExt};
    let mut details =
        ErrorDetails::with_error_info("OVERLOADED", "gateway.crawlmesh", std::collections::HashMap::new());
    details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    Status::with_error_details(Code::Unavailable, "too many requests are at work, try again", details)
}

/// Methods label spans, so they come from a closed set.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

fn span(method: &'static str, request_id: &str) -> Span {
    info_span!(
        "request",
        otel.name = Empty,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        request_id,
        tenant = Empty,
    )
}

/// The client's id, if it is one that may be logged, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let given = headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
    given
        .filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(good))
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), ToOwned::to_owned)
}

/// Headers of every answer.
fn finish(context: &Context, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), id);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn report(panic: &(dyn std::any::Any + Send)) {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text =
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "not a text".to_owned());
    metrics::panicked();
    error!(panic = text, "a request panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_taken_over_only_if_it_may_be_logged() {
        let long = "x".repeat(65);
        for (id, kept) in
            [("r-1_a.B", true), ("", false), ("a b", false), ("a\"b", false), (long.as_str(), false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID_HEADER, HeaderValue::from_str(id).unwrap());
            let taken = request_id(&headers);
            assert_eq!(taken == id, kept, "{id:?}");
            assert!(!taken.is_empty());
        }
    }
}
