//! What happens to a call between the connection and the handler, in the fixed order that server.rs names.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use domain::Service;
use futures::FutureExt;
use http::{Request, Response};
use opentelemetry::trace::Status as SpanStatus;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Code, Status, body::Body, service::Routes};
use tower::Service as _;
use tracing::{Instrument, Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Caller, method_label, response::Observation};
use crate::{
    Call, call, clock, config, context::Context, error::refuse_with, metrics, policy, task, telemetry,
    timeouts,
};

/// The layers around the services of one member.
pub(super) struct Pipeline {
    service: Service,
    routes: Routes,
    slots: Arc<Semaphore>,
    default_deadline: Duration,
    max_deadline: Duration,
}

impl Pipeline {
    pub(super) fn new(service: Service, config: &config::Server, routes: Routes) -> Self {
        Self {
            service,
            routes,
            slots: Arc::new(Semaphore::new(config.max_concurrent_calls)),
            default_deadline: config.default_deadline,
            max_deadline: config.max_deadline,
        }
    }

    /// Answers a call from `caller`: always with a response, and if it is an error, with one that has a reason.
    pub(super) async fn answer(&self, caller: Caller, request: Request<Body>) -> Response<Body> {
        let arrival = Instant::now();
        let request_id =
            call::read_request_id(request.headers()).unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let span = span(&request, caller, &request_id);
        let streams = policy::streams(request.uri().path());
        let limit = timeouts::read(request.headers()).unwrap_or(self.default_deadline).min(self.max_deadline);
        let deadline = arrival + limit;
        let context = Context { service: self.service, request_id, deadline: Some(deadline) };
        let observation = Observation {
            service: self.service.as_str(),
            method: method_label(request.uri().path()),
            arrival,
            span: span.clone(),
            context: context.clone().without_deadline(),
        };
        let answered = self.shed(caller, request, deadline);
        context
            .scope(async {
                let response = answered.await.unwrap_or_else(Status::into_http);
                // Tidied inside of the context: a new reason needs the domain of the service.
                observation.observe(response, (!streams).then_some(deadline))
            })
            .instrument(span)
            .await
    }

    /// Refuses what is more than this member can work on. A stream counts until it begins.
    async fn shed(
        &self,
        caller: Caller,
        request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Body>, Status> {
        let Ok(_slot) = self.slots.try_acquire() else {
            let message = "the service has too many calls at work, try again";
            return Err(refuse_with(Code::Unavailable, "OVERLOADED", message, &[]));
        };
        match timeout_at(deadline, self.authenticate(caller, request, deadline)).await {
            Ok(result) => result,
            Err(_) => {
                let message = "the call was not answered in time";
                Err(refuse_with(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message, &[]))
            }
        }
    }

    async fn authenticate(
        &self,
        caller: Caller,
        mut request: Request<Body>,
        deadline: Instant,
    ) -> Result<Response<Body>, Status> {
        let Some(caller) = caller else {
            let message = "the certificate does not name exactly one member of the mesh";
            return Err(refuse_with(Code::Unauthenticated, "UNKNOWN_CALLER", message, &[]));
        };
        let path = request.uri().path();
        if !policy::allowed(caller, path) {
            let message = format!("{caller} may not call this method");
            let metadata = [("caller", caller.as_str()), ("method", path.trim_start_matches('/'))];
            return Err(refuse_with(Code::PermissionDenied, "SERVICE_NOT_ALLOWED", message, &metadata));
        }
        let principal = match caller {
            Service::Gateway => call::read_principal(request.headers()),
            _ => None,
        };
        if let Some(principal) = &principal {
            Span::current().record("tenant", tracing::field::display(principal.tenant));
        }
        let request_id = crate::context::current().map(|context| context.request_id).unwrap_or_default();
        let call = Call { caller, principal, time: clock::now(), deadline, request_id };
        request.extensions_mut().insert(call);
        self.guard(request).await
    }

    /// Turns a panic into a status.
    async fn guard(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let mut routes = self.routes.clone();
        match AssertUnwindSafe(async move { routes.call(request).await }).catch_unwind().await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(never)) => match never {},
            Err(panic) => {
                task::report_panic("handler", panic.as_ref());
                Err(refuse_with(Code::Internal, "PANIC", "the service failed", &[]))
            }
        }
    }
}

fn span(request: &Request<Body>, caller: Caller, request_id: &str) -> Span {
    let path = request.uri().path();
    // Only names of the protocol: a path is the caller's to choose.
    let method = policy::method(path).map_or("other", |method| method.path);
    let span = info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.method = method,
        rpc.code = Empty,
        caller = caller.map(Service::as_str),
        tenant = Empty,
        request_id,
        trace_id = Empty,
    );
    telemetry::set_parent_from(request.headers(), &span);
    if let Some(id) = telemetry::trace_id_of(&span) {
        span.record("trace_id", id);
    }
    span
}

/// Notes the end of a call.
pub(super) fn finished(observation: &Observation, code: Code) {
    let Observation { service, method, arrival, span, .. } = observation;
    let name = code_name(code);
    span.record("rpc.code", name);
    // To the trace, only our own faults are errors (OpenTelemetry's conventions for gRPC servers).
    if matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    ) {
        span.set_status(SpanStatus::error(name));
    }
    metrics::rpc(service, method, name, arrival.elapsed().as_secs_f64());
}

fn code_name(code: Code) -> &'static str {
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
