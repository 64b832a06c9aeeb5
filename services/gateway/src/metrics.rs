//! The gateway's metrics. Labels come from closed sets: route templates and HTTP status codes.

use std::{sync::LazyLock, time::Duration};

use http::StatusCode;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};

static REQUESTS: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    mesh::metrics::meter()
        .f64_histogram("crawlmesh.request.duration")
        .with_unit("s")
        .with_description("From the head of a public request to the head of its answer.")
        .with_boundaries(vec![0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 65.0])
        .build()
});

static OVERLOADED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh::metrics::meter()
        .u64_counter("crawlmesh.request.overloaded")
        .with_description("Public requests refused because too many were at work.")
        .build()
});

static PANICS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh::metrics::meter()
        .u64_counter("crawlmesh.request.panics")
        .with_description("Public requests whose handler panicked.")
        .build()
});

static CONNECTIONS_REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh::metrics::meter()
        .u64_counter("crawlmesh.connection.closed")
        .with_description("Public connections closed before their first request.")
        .build()
});

pub(crate) fn request(route: &str, status: StatusCode, elapsed: Duration) {
    let status = i64::from(status.as_u16());
    let labels = [KeyValue::new("route", route.to_owned()), KeyValue::new("status", status)];
    REQUESTS.record(elapsed.as_secs_f64(), &labels);
}

pub(crate) fn overloaded() {
    OVERLOADED.add(1, &[]);
}

pub(crate) fn panicked() {
    PANICS.add(1, &[]);
}

pub(crate) fn connection_closed(reason: &'static str) {
    CONNECTIONS_REFUSED.add(1, &[KeyValue::new("reason", reason)]);
}
