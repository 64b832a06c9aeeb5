//! What the gateway answers without a service: probes, metrics, the API description and its page.

use axum::http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use crate::{
    body::{self, Body},
    edge::{Context, Edge},
    problem::Problem,
};

const DOCS: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");
/// The page runs its own script and talks to its own origin; nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers a probe. These have no limit: an overloaded gateway is alive.
pub(crate) async fn probe(
    edge: &Edge,
    context: &Context,
    parts: &Parts,
) -> Option<Result<Response<Body>, Problem>> {
    let path = parts.uri.path();
    if !matches!(path, "/live" | "/ready" | "/health") {
        return None;
    }
    context.routed(path);
    if let Err(problem) = reading(parts) {
        return Some(Err(problem));
    }
    Some(Ok(match path {
        "/live" => body::json(&json!({"live": true})),
        "/ready" => {
            let report = edge.readiness.report().await;
            let mut response = body::json(&report.json());
            if !report.ready {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        }
        // Crawl4AI's form. Its clients take any other status than ok for a dead server.
        _ => body::json(&json!({
            "status": "ok",
            "timestamp": mesh::clock::now().format(&Rfc3339).unwrap_or_default(),
            "version": env!("CARGO_PKG_VERSION"),
        })),
    }))
}

/// Answers for a page of the gateway's own.
pub(crate) async fn page(
    edge: &Edge,
    context: &Context,
    parts: &Parts,
) -> Option<Result<Response<Body>, Problem>> {
    let path = parts.uri.path();
    if !matches!(path, "/metrics" | "/openapi.json" | "/docs" | "/docs/errors" | "/docs/docs.js") {
        return None;
    }
    context.routed(path);
    if let Err(problem) = reading(parts) {
        return Some(Err(problem));
    }
    Some(match path {
        "/metrics" => metrics(edge, context, parts).await,
        "/openapi.json" => Ok(body::response("application/json", edge.description.clone())),
        "/docs/docs.js" => Ok(body::response("text/javascript; charset=utf-8", SCRIPT)),
        _ => Ok(docs()),
    })
}

fn reading(parts: &Parts) -> Result<(), Problem> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        Ok(())
    } else {
        Err(Problem::method_not_allowed("GET, HEAD"))
    }
}

async fn metrics(edge: &Edge, context: &Context, parts: &Parts) -> Result<Response<Body>, Problem> {
    if !edge.public.open_metrics {
        edge.require(&parts.headers, context).await?;
    }
    Ok(body::response("text/plain; version=0.0.4; charset=utf-8", mesh::telemetry::metrics_text()))
}

fn docs() -> Response<Body> {
    let mut response = body::response("text/html; charset=utf-8", DOCS);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
