//! Native gRPC on the public port: the same credential, then bytes through to the service that owns the method.
//!
//! Only public methods are known here. What the client says about itself to members of the mesh is dropped: of
//! its headers only those of the protocol go on.

use std::{collections::HashMap, convert::Infallible, pin::Pin, time::Duration};

use axum::http::request::Parts;
use domain::Service;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use tower::{Service as _, ServiceExt};

use crate::{
    body::Body,
    edge::{Context, Edge},
    health::Readiness,
    problem::Problem,
    streams::StreamPermit,
};

/// Headers of a call that go on to the service: those of the protocol.
const FORWARDED: [&str; 5] = ["content-type", "te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding"];
/// How often a health watch looks.
const WATCH: Duration = Duration::from_secs(1);

/// Whether a request is gRPC. gRPC-Web is not: it has other frames.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media == "application/grpc"
        || media.starts_with("application/grpc+")
        || media.starts_with("application/grpc;")
}

/// Answers a gRPC call.
pub(crate) async fn answer(
    edge: &Edge,
    context: &Context,
    parts: Parts,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    if parts.version != Version::HTTP_2 {
        let message = "gRPC needs HTTP/2";
        return Err(Problem::http(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Code::Unimplemented,
            "HTTP2_NEEDED",
            message,
        ));
    }
    let path = parts.uri.path();
    if let Some(answer) = edge.native.answer(path, &parts, context) {
        return answer.call(body).await;
    }
    let Some(route) = edge.routes.method(path) else {
        let message = "there is no such method";
        return Err(mesh::refuse_with(Code::Unimplemented, "METHOD_NOT_FOUND", message, &[]).into());
    };
    context.routed(route.path.as_str());
    let principal = edge.principal(route.path.as_str(), &parts.headers, context).await?;
    let permit = match (&principal, route.method.is_server_streaming()) {
        (Some(principal), true) => Some(edge.streams.open(principal.tenant)?),
        _ => None,
    };
    let mut request = Request::new(tonic::body::Body::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from(route.path.clone());
    *request.version_mut() = Version::HTTP_2;
    copy(&parts.headers, request.headers_mut());
    context.write(principal.as_deref(), request.headers_mut());
    pass(edge, route.owner, request, permit).await
}

fn copy(from: &HeaderMap, to: &mut HeaderMap) {
    for name in FORWARDED {
        if let Some(value) = from.get(name) {
            to.insert(HeaderName::from_static(name), value.clone());
        }
    }
}

async fn pass(
    edge: &Edge,
    owner: Service,
    request: Request<tonic::body::Body>,
    permit: Option<StreamPermit>,
) -> Result<Response<Body>, Problem> {
    let mut channel = edge.peers.channel(owner).clone();
    let response = channel.ready().await?.call(request).await?;
    // The permit goes with the last frame.
    Ok(response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &permit;
            frame
        }))
    }))
}

type Inner =
    tower::util::BoxCloneSyncService<Request<tonic::body::Body>, Response<tonic::body::Body>, Infallible>;

/// The gRPC services that the gateway answers itself: health and reflection. Neither needs a credential.
#[derive(Debug)]
pub(crate) struct Native {
    services: HashMap<&'static str, Inner>,
}

/// A call that the gateway answers itself.
pub(crate) struct NativeCall {
    service: Inner,
    request: Request<()>,
}

impl Native {
    /// Health from `readiness`; reflection if wanted.
    pub(crate) fn new(readiness: Readiness, reflection: bool) -> anyhow::Result<Self> {
        let mut services: HashMap<&'static str, Inner> = HashMap::new();
        services.insert("grpc.health.v1.Health", Inner::new(HealthServer::new(Checker(readiness))));
        if reflection {
            let builder = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(api::FILE_DESCRIPTOR_SET)
            };
            services.insert("grpc.reflection.v1.ServerReflection", Inner::new(builder().build_v1()?));
            services
                .insert("grpc.reflection.v1alpha.ServerReflection", Inner::new(builder().build_v1alpha()?));
        }
        Ok(Self { services })
    }

    fn answer(&self, path: &str, parts: &Parts, context: &Context) -> Option<NativeCall> {
        let (name, _) = path.strip_prefix('/')?.split_once('/')?;
        let (name, service) = self.services.get_key_value(name)?;
        context.routed(name);
        let mut request = Request::new(());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        copy(&parts.headers, request.headers_mut());
        Some(NativeCall { service: service.clone(), request })
    }
}

impl NativeCall {
    async fn call(mut self, body: Incoming) -> Result<Response<Body>, Problem> {
        let request = self.request.map(|()| tonic::body::Body::new(body));
        let response = match self.service.ready().await {
            Ok(service) => service.call(request).await,
            Err(never) => match never {},
        };
        match response {
            Ok(response) => Ok(response.map(Body::new)),
            Err(never) => match never {},
        }
    }
}

#[derive(Debug)]
struct Checker(Readiness);

async fn check(readiness: &Readiness) -> HealthCheckResponse {
    let status =
        if readiness.report().await.ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Checker {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        if !request.get_ref().service.is_empty() {
            return Err(Status::not_found("only the whole mesh has a health here: leave the service empty"));
        }
        Ok(tonic::Response::new(check(&self.0).await))
    }

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let state = (self.0.clone(), None::<i32>);
        let changes = stream::unfold(state, |(readiness, mut last)| async move {
            loop {
                let response = check(&readiness).await;
                if last.replace(response.status) != Some(response.status) {
                    return Some((Ok(response), (readiness, last)));
                }
                tokio::time::sleep(WATCH).await;
            }
        });
        Ok(tonic::Response::new(changes.boxed()))
    }
}
