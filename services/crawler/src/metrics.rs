//! The instruments of the crawler. Labels come from closed sets: lanes, verdicts, reasons.

use std::sync::LazyLock;
use std::time::Duration;

use domain::Lane;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, UpDownCounter},
};

/// Bounds in seconds, from a cached page to the longest deadline.
const SECONDS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

fn histogram(name: &'static str, description: &'static str) -> Histogram<f64> {
    mesh::metrics::meter()
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(SECONDS.to_vec())
        .build()
}

fn counter(name: &'static str, description: &'static str) -> Counter<u64> {
    mesh::metrics::meter().u64_counter(name).with_description(description).build()
}

static PAGES: LazyLock<Counter<u64>> =
    LazyLock::new(|| counter("crawlmesh.crawler.pages", "Outcomes published, by lane and verdict."));
static DROPPED: LazyLock<Counter<u64>> =
    LazyLock::new(|| counter("crawlmesh.crawler.dropped", "Page tasks that were not worked on, by reason."));
static FETCH: LazyLock<Histogram<f64>> =
    LazyLock::new(|| histogram("crawlmesh.crawler.fetch", "Fetch of a page over plain HTTP."));
static RENDER: LazyLock<Histogram<f64>> =
    LazyLock::new(|| histogram("crawlmesh.crawler.render", "Rendering of a page in the browser."));
static EXTRACT: LazyLock<Histogram<f64>> =
    LazyLock::new(|| histogram("crawlmesh.crawler.extract", "Extraction of a page."));
static BROWSERS: LazyLock<UpDownCounter<i64>> = LazyLock::new(|| {
    mesh::metrics::meter()
        .i64_up_down_counter("crawlmesh.crawler.browsers")
        .with_description("Browsers alive, by whether their sandbox is on.")
        .build()
});
static RECYCLES: LazyLock<Counter<u64>> =
    LazyLock::new(|| counter("crawlmesh.crawler.recycles", "Browsers that were replaced, by reason."));

static ADS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter("crawlmesh.crawler.ads", "Requests that pages did not make because they were ads.")
});

/// A page did not make a request, because it was an ad.
pub(crate) fn ad() {
    ADS.add(1, &[]);
}

/// An outcome was published. `verdict` is its word, or that of the outcome's kind where it has none.
pub(crate) fn page(lane: Lane, verdict: &'static str) {
    PAGES.add(1, &[KeyValue::new("lane", lane.as_str()), KeyValue::new("verdict", verdict)]);
}

/// A task was dropped on purpose.
pub(crate) fn dropped(reason: &'static str) {
    DROPPED.add(1, &[KeyValue::new("reason", reason)]);
}

/// A page was fetched or rendered, well or not.
pub(crate) fn fetched(lane: Lane, took: Duration) {
    match lane {
        Lane::Http => FETCH.record(took.as_secs_f64(), &[]),
        Lane::Browser => RENDER.record(took.as_secs_f64(), &[]),
    }
}

/// A page was extracted.
pub(crate) fn extracted(took: Duration) {
    EXTRACT.record(took.as_secs_f64(), &[]);
}

/// A browser was started (1) or is gone (-1).
pub(crate) fn browsers(change: i64, sandbox: bool) {
    BROWSERS.add(change, &[KeyValue::new("sandbox", if sandbox { "on" } else { "off" })]);
}

/// A browser was replaced.
pub(crate) fn recycled(reason: &'static str) {
    RECYCLES.add(1, &[KeyValue::new("reason", reason)]);
}
