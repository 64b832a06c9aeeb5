//! The meter, and the instruments of the mesh itself. Labels come from closed sets only.

use std::sync::LazyLock;

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter},
};

/// The meter of all crawlmesh instruments. Make instruments after `telemetry::init`: earlier ones record nothing.
#[must_use]
pub fn meter() -> Meter {
    global::meter("crawlmesh")
}

/// Bounds in seconds, from a cache hit to the longest deadline.
const SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];

static RPC_DURATION: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    meter()
        .f64_histogram("crawlmesh.rpc.duration")
        .with_unit("s")
        .with_description("From the arrival of a call to the end of its answer.")
        .with_boundaries(SECONDS.to_vec())
        .build()
});

static TASK_PANICS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter().u64_counter("crawlmesh.task.panics").with_description("Tasks and handlers that panicked.").build()
});

static SPANS_DROPPED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("crawlmesh.telemetry.spans_dropped")
        .with_description("Spans that were not exported.")
        .build()
});

static HANDSHAKES_FAILED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("crawlmesh.tls.handshakes_failed")
        .with_description("Connections that were refused before their first call.")
        .build()
});

pub(crate) fn rpc(service: &'static str, method: &'static str, code: &'static str, seconds: f64) {
    let labels =
        [KeyValue::new("service", service), KeyValue::new("method", method), KeyValue::new("code", code)];
    RPC_DURATION.record(seconds, &labels);
}

pub(crate) fn panic(task: &'static str) {
    TASK_PANICS.add(1, &[KeyValue::new("task", task)]);
}

pub(crate) fn spans_dropped(reason: &'static str, spans: usize) {
    SPANS_DROPPED.add(spans as u64, &[KeyValue::new("reason", reason)]);
}

pub(crate) fn handshake_failed(reason: &'static str) {
    HANDSHAKES_FAILED.add(1, &[KeyValue::new("reason", reason)]);
}
