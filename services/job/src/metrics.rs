//! What operators see of the ledger. Labels come from closed sets.

use std::sync::LazyLock;

use domain::{Lane, Verdict};
use mesh::metrics::meter;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};

use crate::job::State;

macro_rules! counters {
    ($($name:ident = $metric:literal, $description:literal;)*) => {
        $(static $name: LazyLock<Counter<u64>> =
            LazyLock::new(|| meter().u64_counter($metric).with_description($description).build());)*
    };
}

counters! {
    CREATED = "crawlmesh.job.created", "Jobs accepted.";
    ENDED = "crawlmesh.job.ended", "Jobs that reached a terminal state.";
    DISPATCHED = "crawlmesh.job.pages_dispatched", "Pages handed to the queue.";
    SETTLED = "crawlmesh.job.pages_settled", "Pages that got their verdict.";
    RETRIED = "crawlmesh.job.pages_retried", "Pages that went back to the frontier.";
    RESCUED = "crawlmesh.job.pages_rescued", "Pages that the queue lost and that were handed to it again.";
    DROPPED = "crawlmesh.job.outcomes_dropped", "Outcomes that changed nothing.";
    MISMATCH = "crawlmesh.job.ledger_mismatch", "Jobs whose sums were not those of their pages.";
    SCHEDULE_DUE = "crawlmesh.job.schedules_due", "Due times of schedules, by what they came to.";
    SWEPT = "crawlmesh.job.rows_swept", "Rows deleted because of their age.";
}

static BATCH: LazyLock<Histogram<u64>> = LazyLock::new(|| {
    meter()
        .u64_histogram("crawlmesh.job.settle_batch")
        .with_description("Outcomes settled in one transaction.")
        .with_boundaries([1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map(f64::from).to_vec())
        .build()
});

/// Why an outcome changed nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Drop {
    /// Of another dispatch, or delivered before.
    Stale,
    /// Not an outcome.
    Garbage,
    /// The store refused it.
    Failed,
}

/// Why a page was handed to the queue again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rescue {
    /// The queue came back, perhaps without it.
    Resent,
    /// No outcome within `dispatch_timeout`.
    Overdue,
    /// The queue did not take it.
    Refused,
}

pub(crate) fn created() {
    CREATED.add(1, &[]);
}

/// `what`: `created`, `skipped` or `refused`.
pub(crate) fn schedule_due(what: &'static str) {
    SCHEDULE_DUE.add(1, &[KeyValue::new("result", what)]);
}

pub(crate) fn ended(state: State) {
    ENDED.add(1, &[KeyValue::new("state", state.as_str())]);
}

pub(crate) fn dispatched(lane: Lane, pages: usize) {
    DISPATCHED.add(pages as u64, &[KeyValue::new("lane", lane.as_str())]);
}

pub(crate) fn settled(lane: Lane, verdict: Option<Verdict>) {
    let lane = KeyValue::new("lane", lane.as_str());
    match verdict {
        Some(verdict) => SETTLED.add(1, &[lane, KeyValue::new("verdict", verdict.as_str())]),
        None => RETRIED.add(1, &[lane]),
    }
}

pub(crate) fn batch(outcomes: usize) {
    BATCH.record(outcomes as u64, &[]);
}

pub(crate) fn rescued(why: Rescue, pages: u64) {
    let why = match why {
        Rescue::Resent => "resent",
        Rescue::Overdue => "overdue",
        Rescue::Refused => "refused",
    };
    RESCUED.add(pages, &[KeyValue::new("reason", why)]);
}

pub(crate) fn dropped(why: Drop) {
    let why = match why {
        Drop::Stale => "stale",
        Drop::Garbage => "garbage",
        Drop::Failed => "failed",
    };
    DROPPED.add(1, &[KeyValue::new("reason", why)]);
}

pub(crate) fn mismatch() {
    MISMATCH.add(1, &[]);
}

pub(crate) fn swept(rows: u64) {
    SWEPT.add(rows, &[]);
}
