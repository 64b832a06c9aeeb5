//! What a log line and an export look like from outside.

use std::{
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{Request, Response, Status};
use tracing::{info, info_span, subscriber::with_default};
use tracing_subscriber::{
    fmt::{MakeWriter, format::JsonFields, layer},
    layer::SubscriberExt,
};

use super::{FLUSH, export, log::Json};
use crate::{config, spawn};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn a_json_line_holds_the_event_and_the_spans_around_it() {
    let lines = Lines::default();
    let format = layer().fmt_fields(JsonFields::new()).event_format(Json).with_writer(lines.clone());
    with_default(tracing_subscriber::registry().with(format), || {
        let outer =
            info_span!("rpc", otel.name = "x", request_id = "r-1", trace_id = tracing::field::Empty, job = 1);
        outer.record("trace_id", "abc");
        let _outer = outer.enter();
        let _inner = info_span!("inner", job = 2).entered();
        info!(pages = 3_u64, done = true, error = %io::Error::other("a \"quoted\"\nline"), "job finished");
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "job finished");
    assert_eq!(line["level"], "INFO");
    assert_eq!((&line["request_id"], &line["trace_id"]), (&"r-1".into(), &"abc".into()));
    assert_eq!((&line["job"], &line["pages"], &line["done"]), (&2.into(), &3.into(), &true.into()));
    assert_eq!(line["error"], "a \"quoted\"\nline");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z') && line.get("otel.name").is_none());
}

/// A collector that passes on what it gets, or keeps everyone waiting.
struct Collector(Option<mpsc::Sender<ExportTraceServiceRequest>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        match &self.0 {
            Some(sender) => sender.send(request.into_inner()).await.unwrap(),
            None => pending().await,
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector(collector: Collector) -> config::Telemetry {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = TraceServiceServer::new(collector);
    let server = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
    spawn("collector", server).detach();
    settings(&endpoint)
}

fn settings(endpoint: &str) -> config::Telemetry {
    let sections = config::SECTIONS.parse::<toml::Table>().unwrap();
    let mut settings: config::Telemetry = sections["telemetry"].clone().try_into().unwrap();
    settings.otlp_endpoint = endpoint.to_owned();
    settings.otlp_timeout = Duration::from_millis(500);
    settings
}

/// Ends `spans` spans and returns how long that took.
fn trace(settings: &config::Telemetry, spans: usize) -> (export::Handle, Duration) {
    let (processor, handle) = export::start(settings, Resource::builder_empty().build()).unwrap();
    let tracers = SdkTracerProvider::builder().with_span_processor(processor).build();
    let begun = Instant::now();
    for _ in 0..spans {
        drop(tracers.tracer("test").start("a span"));
    }
    (handle, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_at_the_collector_by_the_flush() {
    let (sender, mut received) = mpsc::channel(100);
    let (handle, _) = trace(&collector(Collector(Some(sender))).await, 1_000);
    handle.flush(FLUSH).await;
    let mut spans = 0;
    while let Ok(request) = received.try_recv() {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        spans += scopes.map(|scope| scope.spans.len()).sum::<usize>();
    }
    assert_eq!(spans, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_or_stuck_collector_costs_no_time() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for settings in [collector(Collector(None)).await, settings(&format!("http://{nobody}"))] {
        let (handle, took) = trace(&settings, 20_000);
        assert!(
            took < Duration::from_secs(10),
            "{took:?} for 20 000 spans, most of which find the queue full"
        );
        let begun = Instant::now();
        handle.flush(Duration::from_millis(700)).await;
        assert!(begun.elapsed() < Duration::from_secs(8), "the flush is bounded");
    }
}
