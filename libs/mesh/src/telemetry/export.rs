//! Takes finished spans to a collector. The queue is bounded, one export runs at a time and has a limit; a span that
//! finds the queue full, or whose export fails, is dropped and counted.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::Context;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter as _, SpanProcessor},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tracing::warn;

use crate::{config, metrics, spawn};

const QUEUE: usize = 4_096;
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(1);
/// A collector that is away is told about once in this time.
const COMPLAIN: Duration = Duration::from_secs(60);

/// The near end of the queue.
#[derive(Debug)]
pub(super) struct Processor(mpsc::Sender<SpanData>);

impl SpanProcessor for Processor {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(span).is_err() {
            metrics::spans_dropped("queue_full", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Asks the far end to finish.
#[derive(Debug)]
pub(super) struct Handle(oneshot::Sender<oneshot::Sender<()>>);

impl Handle {
    /// Sends what is queued, within `limit`.
    pub(super) async fn flush(self, limit: Duration) {
        let (done, finished) = oneshot::channel();
        if self.0.send(done).is_ok() && timeout(limit, finished).await.is_err() {
            warn!("the collector did not take the last spans");
        }
    }
}

/// Starts the export. Needs a runtime.
pub(super) fn start(config: &config::Telemetry, resource: Resource) -> anyhow::Result<(Processor, Handle)> {
    let mut exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&config.otlp_endpoint)
        .with_timeout(config.otlp_timeout)
        .build()
        .context("use telemetry.otlp_endpoint")?;
    exporter.set_resource(&resource);
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (handle, flush) = oneshot::channel();
    let export = Export { exporter, limit: config.otlp_timeout, complained: None };
    spawn("trace export", export.run(receiver, flush)).detach();
    Ok((Processor(sender), Handle(handle)))
}

/// The far end of the queue.
struct Export {
    exporter: SpanExporter,
    limit: Duration,
    complained: Option<Instant>,
}

impl Export {
    async fn run(
        mut self,
        mut spans: mpsc::Receiver<SpanData>,
        mut flush: oneshot::Receiver<oneshot::Sender<()>>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let asked = tokio::select! {
                asked = &mut flush => asked,
                received = spans.recv() => {
                    batch.extend(received);
                    fill(&mut spans, &mut batch).await;
                    self.send(&mut batch).await;
                    continue;
                }
            };
            spans.close();
            while spans.recv_many(&mut batch, BATCH).await > 0 {
                self.send(&mut batch).await;
            }
            if let Ok(done) = asked {
                // Nobody waits any more if the limit has passed.
                let _ = done.send(());
            }
            return;
        }
    }

    async fn send(&mut self, batch: &mut Vec<SpanData>) {
        let spans = batch.len();
        let sent = timeout(self.limit, self.exporter.export(std::mem::take(batch))).await;
        if sent.is_ok_and(|result| result.is_ok()) {
            return;
        }
        metrics::spans_dropped("export_failed", spans);
        if self.complained.is_none_or(|last| last.elapsed() > COMPLAIN) {
            self.complained = Some(Instant::now());
            warn!(spans, "the collector did not take spans");
        }
    }
}

/// Waits until the batch is full or old enough.
async fn fill(spans: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    let due = Instant::now() + DELAY;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match timeout_at(due, spans.recv_many(batch, room)).await {
            Ok(received) if received > 0 => {}
            _ => return,
        }
    }
}
