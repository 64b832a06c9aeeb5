//! An OTLP collector in the test process: it keeps the spans that services export, and draws them as a tree.

use std::{collections::HashMap, fmt::Write as _, net::SocketAddr, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span as it was exported.
#[derive(Debug, Clone)]
pub struct Span {
    /// `service.name` of the process.
    pub service: String,
    /// Name.
    pub name: String,
    /// Trace id, hexadecimal.
    pub trace: String,
    /// Span id, hexadecimal.
    pub id: String,
    /// Id of the parent span. Empty: none.
    pub parent: String,
    /// Attributes, as text.
    pub attributes: HashMap<String, String>,
    /// Start, nanoseconds since 1970.
    pub start: u64,
    /// End, nanoseconds since 1970.
    pub end: u64,
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock();
        for resource in request.into_inner().resource_spans {
            let about = attributes(resource.resource.map(|resource| resource.attributes).unwrap_or_default());
            let service = about.get("service.name").cloned().unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Span {
                    service: service.clone(),
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    attributes: attributes(span.attributes),
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn attributes(pairs: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    let value =
        |pair: &KeyValue| pair.value.clone().and_then(|value| value.value).map(text).unwrap_or_default();
    pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

/// A running collector.
pub struct Collector {
    addr: SocketAddr,
    spans: Spans,
    server: JoinHandle<()>,
}

impl Collector {
    /// Starts a collector on a free port of 127.0.0.1.
    #[expect(clippy::disallowed_methods, reason = "a test's own server needs no span")]
    pub async fn start() -> Self {
        let spans = Spans::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("because loopback can be bound");
        let addr = listener.local_addr().expect("because it is bound");
        let service = TraceServiceServer::new(spans.clone()).max_decoding_message_size(64 << 20);
        let server = tokio::spawn(async move {
            let router = tonic::transport::Server::builder().add_service(service);
            let _ = router.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        Self { addr, spans, server }
    }

    /// The OTLP gRPC endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The spans of one trace so far, in the order of their starts.
    #[must_use]
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        let mut spans: Vec<_> =
            self.spans.0.lock().iter().filter(|span| span.trace == trace).cloned().collect();
        spans.sort_by_key(|span| span.start);
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Draws spans as a tree, each with its service and duration.
#[must_use]
pub fn draw(spans: &[Span]) -> String {
    let known: HashMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let mut text = String::new();
    let mut open: Vec<(usize, &Span)> = spans
        .iter()
        .rev()
        .filter(|span| !known.contains_key(span.parent.as_str()))
        .map(|span| (0, span))
        .collect();
    while let Some((depth, span)) = open.pop() {
        let millis = span.end.saturating_sub(span.start) as f64 / 1e6;
        let _ = writeln!(
            text,
            "{:indent$}{} [{}] {millis:.1} ms",
            "",
            span.name,
            span.service,
            indent = 2 * depth
        );
        open.extend(
            spans.iter().rev().filter(|child| child.parent == span.id).map(|child| (depth + 1, child)),
        );
    }
    text
}
