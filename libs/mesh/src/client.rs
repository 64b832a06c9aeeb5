//! Calls to other members: over mTLS, with the trace, the request id and what is left of the deadline.
//!
//! A channel connects at its first call and again after a loss. A peer that cannot be reached is `UNAVAILABLE`, never
//! anything else; an answer that does not come in time is `DEADLINE_EXCEEDED`.

mod body;

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use domain::Service;
use http::{HeaderValue, Request, Response};
use opentelemetry::trace::Status as SpanStatus;
use tokio::time::{Instant, timeout_at};
use tonic::{
    Code, Status, TimeoutExpired,
    body::Body,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity as TlsIdentity},
};
use tower::{Service as _, ServiceExt};
use tracing::{Instrument, Span, debug, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    Identity, REQUEST_ID_HEADER, context,
    error::{chain, refuse_with},
    policy, telemetry, timeouts,
};

/// Of calls that say nothing about theirs.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// Kept back from the deadline, for our own answer to get home in time.
const RESERVE: Duration = Duration::from_millis(50);
/// Statuses are headers; ours stay far below this.
const MAX_HEADERS: u32 = 64 << 10;
/// Of one stream and of the connection: a message of the default greatest size never waits for the window.
const WINDOW: u32 = 4 << 20;

/// A connection to another member. Cheap to clone; a clone shares the connection.
#[derive(Clone)]
pub struct Channel {
    to: Service,
    inner: Option<tonic::transport::Channel>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Channel {
    /// A channel to `address` (`host:port`), where the certificate must be that of `to`. Connects at the first call.
    ///
    /// An address or an identity that cannot be used makes a channel whose calls are `UNAVAILABLE`, and is logged. Needs
    /// a runtime.
    #[must_use]
    pub fn connect(to: Service, address: &str, identity: &Identity, connect_timeout: Duration) -> Self {
        crate::install_crypto_provider();
        let inner = endpoint(to, address, identity, connect_timeout).map(|endpoint| endpoint.connect_lazy());
        if let Err(error) = &inner {
            tracing::error!(peer = %to, address, error = chain(error), "the peer's address or our identity is not usable");
        }
        Self { to, inner: inner.ok() }
    }
}

fn endpoint(
    to: Service,
    address: &str,
    identity: &Identity,
    connect_timeout: Duration,
) -> Result<Endpoint, tonic::transport::Error> {
    let tls = ClientTlsConfig::new()
        .domain_name(to.as_str())
        .ca_certificate(Certificate::from_pem(&identity.ca_pem))
        .identity(TlsIdentity::from_pem(&identity.cert_pem, identity.key_pem.expose()))
        .timeout(connect_timeout);
    Ok(Endpoint::from_shared(format!("https://{address}"))?
        .tls_config(tls)?
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(MAX_HEADERS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4))
}

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Status>> {
        // Readiness is waited for within the deadline of each call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let span = span(self.to, request.uri().path());
        Box::pin(send(self.to, self.inner.clone(), request).instrument(span))
    }
}

fn span(to: Service, path: &str) -> Span {
    let method = path.strip_prefix('/').unwrap_or(path);
    info_span!(
        "call",
        otel.name = method,
        otel.kind = "client",
        rpc.system = "grpc",
        rpc.method = method,
        peer = to.as_str(),
        rpc.code = Empty,
    )
}

async fn send(
    to: Service,
    inner: Option<tonic::transport::Channel>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let Some(mut inner) = inner else { return Err(unreachable(to)) };
    let deadline = deadline(&request)?;
    let streams = policy::streams(request.uri().path());
    prepare(&mut request, deadline);
    let answer = timeout_at(deadline, async { inner.ready().await?.call(request).await }).await;
    let result = match answer {
        Ok(Ok(response)) => Ok(body::watch(response, to, (!streams).then_some(deadline))),
        Ok(Err(error)) if expired(&error) => Err(too_late(to)),
        Ok(Err(error)) => {
            debug!(peer = %to, error = chain(&error), "peer is not reachable");
            Err(unreachable(to))
        }
        Err(_) => Err(too_late(to)),
    };
    if let Err(status) = &result {
        record(status.code());
    }
    result
}

/// The earliest of the call's own deadline, that of the call we are answering, and the default for neither.
fn deadline(request: &Request<Body>) -> Result<Instant, Status> {
    let now = Instant::now();
    let own = timeouts::read(request.headers()).map(|timeout| now + timeout.min(timeouts::MAX));
    let ours = context::current().and_then(|context| context.deadline).map(|due| due - RESERVE);
    let deadline = own.into_iter().chain(ours).min().unwrap_or(now + DEFAULT_DEADLINE);
    if deadline <= now {
        let message = "no time was left for a call that the answer needs";
        return Err(refuse_with(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message, &[]));
    }
    Ok(deadline)
}

fn prepare(request: &mut Request<Body>, deadline: Instant) {
    let headers = request.headers_mut();
    timeouts::write(headers, deadline.saturating_duration_since(Instant::now()));
    telemetry::inject(headers);
    let id = context::current()
        .map(|context| context.request_id)
        .unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    // The gateway has its own id for what comes from outside, and has set it.
    if !headers.contains_key(REQUEST_ID_HEADER)
        && let Ok(id) = HeaderValue::from_str(&id)
    {
        headers.insert(REQUEST_ID_HEADER, id);
    }
}

fn record(code: Code) {
    let span = Span::current();
    span.record("rpc.code", tracing::field::debug(code));
    if code != Code::Ok {
        span.set_status(SpanStatus::error(format!("{code:?}")));
    }
}

fn expired(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(current) = error {
        if current.is::<TimeoutExpired>() {
            return true;
        }
        error = current.source();
    }
    false
}

pub(crate) fn unreachable(to: Service) -> Status {
    let message = format!("the {to} service cannot be reached");
    refuse_with(Code::Unavailable, "PEER_UNREACHABLE", message, &[("peer", to.as_str())])
}

pub(crate) fn too_late(to: Service) -> Status {
    let message = format!("the {to} service did not answer in time");
    refuse_with(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message, &[("peer", to.as_str())])
}
