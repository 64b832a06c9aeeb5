//! REST over gRPC, driven by the descriptors: finds the route, builds the message, calls the owner, writes the answer.

mod codec;
#[cfg(test)]
mod fuzz;
mod json;
mod lines;
mod message;
mod request;
mod response;
mod route;
mod template;

use axum::http::request::Parts;
use http::{HeaderValue, Response, header};
use hyper::body::Incoming;
use mesh::Principal;
use tonic::{Status, client::Grpc, metadata::MetadataMap};

use self::{codec::Dynamic, response::StreamForm};
pub(crate) use self::{
    json::parse as parse_json,
    lines::{CONTENT_TYPES as LINES, taken_by as takes_lines},
    route::{BodyRule, Route, Routes},
};
use crate::{
    body::{self, Body},
    edge::{Context, Edge},
    problem::Problem,
    streams::StreamPermit,
};

/// Methods that need no credential: the way to one, and the keys that verify it.
pub(crate) const OPEN: [&str; 2] =
    ["/crawlmesh.auth.v1.AuthService/IssueToken", "/crawlmesh.auth.v1.AuthService/GetJwks"];

/// Answers a REST request.
pub(crate) async fn answer(
    edge: &Edge,
    context: &Context,
    parts: Parts,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (route, bindings) = edge.routes.find(&parts.method, parts.uri.path())?;
    context.routed(&route.text);
    let principal = edge.principal(route.path.as_str(), &parts.headers, context).await?;
    let form = Form::choose(route, &parts.headers)?;
    let body = edge.limits.read(&parts.headers, body).await?;
    let (body, lines) = read_body(route, &parts.headers, &body)?;
    let query = parts.uri.query().unwrap_or_default();
    let message = request::build(route, &bindings, query, &parts.headers, body)?;
    let request = outgoing(edge, context, principal.as_deref(), message);
    let (path, codec) = (route.path.clone(), Dynamic(route.method.output()));
    let mut client = client(edge, route).await?;
    let events = match form {
        Form::Json => {
            let answer = client.unary(request, path, codec).await;
            let answer = answer.map_err(|status| match &lines {
                Some(lines) => lines.rename(&status),
                None => status,
            })?;
            return Ok(body::json(&response::to_json(answer.get_ref())?));
        }
        Form::Raw => None,
        Form::Stream { events } => Some(events),
    };
    let permit = permit(edge, principal.as_deref())?;
    let answer = client.server_streaming(request, path, codec).await?.into_inner();
    let Some(events) = events else { return response::raw(answer, permit).await };
    let (instance, request_id) = (context.instance.clone(), context.request_id.clone());
    let form = StreamForm { events, heartbeat: edge.public.heartbeat, instance, request_id };
    Ok(response::streamed(answer, form, permit))
}

/// A body as JSON; one of lines comes with their numbers.
fn read_body(
    route: &Route,
    headers: &http::HeaderMap,
    body: &[u8],
) -> Result<(Option<serde_json::Value>, Option<lines::Numbers>), Problem> {
    if let Some(lines) = lines::Lines::read(route, headers, body)? {
        body::require_plain(headers)?;
        let (body, numbers) = lines.into_body();
        return Ok((Some(body), Some(numbers)));
    }
    body::require_json(headers, body)?;
    Ok((json::parse(body)?, None))
}

/// How an answer is written.
enum Form {
    Json,
    Stream { events: bool },
    Raw,
}

impl Form {
    fn choose(route: &Route, headers: &http::HeaderMap) -> Result<Self, Problem> {
        if route.raw() {
            return Ok(Self::Raw);
        }
        if !route.method.is_server_streaming() {
            response::require_accept(headers, &["application/json"])?;
            return Ok(Self::Json);
        }
        response::require_accept(headers, &["application/x-ndjson", "text/event-stream"])?;
        // Asked for by name: a client that takes anything gets lines of JSON.
        let named = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/event-stream"));
        Ok(Self::Stream { events: headers.get_all(header::ACCEPT).iter().any(named) })
    }
}

/// A request to the owner of a method, on behalf of `principal`.
pub(crate) fn outgoing<T>(
    edge: &Edge,
    context: &Context,
    principal: Option<&Principal>,
    message: T,
) -> tonic::Request<T> {
    let mut headers = http::HeaderMap::new();
    context.write(principal, &mut headers);
    let mut request =
        tonic::Request::from_parts(MetadataMap::from_headers(headers), tonic::Extensions::new(), message);
    request.set_timeout(edge.public.default_deadline);
    request
}

async fn client(edge: &Edge, route: &Route) -> Result<Grpc<mesh::client::Channel>, Status> {
    let limit = crate::config::bytes(edge.public.max_response);
    let mut client = Grpc::new(edge.peers.channel(route.owner).clone()).max_decoding_message_size(limit);
    client.ready().await?;
    Ok(client)
}

fn permit(edge: &Edge, principal: Option<&Principal>) -> Result<StreamPermit, Status> {
    let principal = principal.ok_or_else(|| {
        mesh::refuse_with(
            tonic::Code::Unauthenticated,
            "MISSING_CREDENTIALS",
            "a stream needs a credential",
            &[],
        )
    })?;
    edge.streams.open(principal.tenant)
}
