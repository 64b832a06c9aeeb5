//! The settler: takes outcomes from the queue in batches and books each batch in one transaction.
//!
//! Promises: an outcome is acked only after its transaction was committed, so a crash costs one more delivery, which the
//! dispatch number makes harmless; no message, however broken, stops those behind it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use mesh::Shutdown;
use queue::{Bus, Delivery, Outcomes};
use rand::RngExt;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Span, debug, error, field, info, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    DeepCrawl,
    error::Error,
    hub::Hub,
    metrics::{self, Drop},
    pace,
    page::{Outcome, Retry},
    store::{SettleRules, Settled, Store},
    wire,
};

/// The durable name under which outcomes are read.
const DURABLE: &str = "job";
/// How long one pull waits.
const WAIT: Duration = Duration::from_secs(5);
/// Pauses while the queue or the store is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// `[settle]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// Outcomes of one transaction.
    pub batch: usize,
    /// At most one `job.progress` per job in this time.
    #[serde(with = "humantime_serde")]
    pub progress_interval: Duration,
    /// From the start of one transaction to that of the next, at least.
    #[serde(with = "humantime_serde")]
    pub min_interval: Duration,
}

/// The loop.
pub(crate) struct Settler {
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) hub: Hub,
    pub(crate) retry: Retry,
    pub(crate) config: Settle,
    pub(crate) deep_crawl: DeepCrawl,
    /// Whether no outcome waits: what has no verdict then has no outcome.
    pub(crate) caught_up: Arc<AtomicBool>,
}

/// An outcome with its message and its span in the trace of the page.
struct Work {
    delivery: Delivery,
    outcome: Outcome,
    span: Span,
}

impl Settler {
    /// Settles until the shutdown begins; a batch that was pulled is finished, and what was on its way given back.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut outcomes = self.bus.outcomes(DURABLE);
        self.settle(&mut outcomes, &shutdown).await;
        outcomes.close().await;
    }

    async fn settle(&self, outcomes: &mut Outcomes, shutdown: &Shutdown) {
        let mut pause = PAUSE.0;
        let mut next = Instant::now();
        loop {
            // What comes meanwhile shares a transaction.
            tokio::select! {
                () = shutdown.begun() => return,
                () = sleep_until(next) => {}
            }
            let pulled = tokio::select! {
                biased;
                () = shutdown.begun() => return,
                pulled = outcomes.pull(self.config.batch, WAIT) => pulled,
            };
            match pulled {
                Ok(deliveries) => {
                    pause = PAUSE.0;
                    next = pace::next(next, self.config.min_interval);
                    let more = deliveries.last().is_some_and(|delivery| delivery.pending > 0);
                    let settled = self.take(deliveries, shutdown).await;
                    self.caught_up.store(settled && !more, Ordering::Relaxed);
                }
                Err(error) => {
                    self.caught_up.store(false, Ordering::Relaxed);
                    debug!(%error, "outcomes cannot be pulled");
                    tokio::select! {
                        () = shutdown.begun() => return,
                        () = sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                    }
                }
            }
        }
    }

    /// Settles one pull, waiting for the store if need be. Returns whether it was settled.
    async fn take(&self, deliveries: Vec<Delivery>, shutdown: &Shutdown) -> bool {
        let mut batch = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match wire::read_outcome(&delivery.payload) {
                Ok(outcome) => batch.push(Work { span: span(&delivery, &outcome), delivery, outcome }),
                Err(garbage) => {
                    metrics::dropped(Drop::Garbage);
                    warn!(%garbage, bytes = delivery.payload.len(), "a message on the outcomes stream is not an outcome");
                    answer(delivery.term().await);
                }
            }
        }
        let mut pause = PAUSE.0;
        while !batch.is_empty() {
            match self.book(&batch).await {
                Ok(settled) => {
                    self.announce(&batch, settled).await;
                    ack(&batch).await;
                    return true;
                }
                Err(error) if error.unavailable() => {
                    warn!(error = %error, outcomes = batch.len(), "outcomes wait for the job store");
                    tokio::select! {
                        () = shutdown.begun() => return false,
                        () = sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                    }
                }
                Err(error) => {
                    self.one_by_one(batch, &error).await;
                    return true;
                }
            }
        }
        true
    }

    async fn book(&self, batch: &[Work]) -> Result<Settled, Error> {
        let outcomes: Vec<(Outcome, f64)> = {
            let mut random = rand::rng();
            batch.iter().map(|work| (work.outcome.clone(), random.random())).collect()
        };
        let now = mesh::clock::now();
        let rules = SettleRules {
            retry: &self.retry,
            progress_interval: self.config.progress_interval,
            deep_crawl: self.deep_crawl,
        };
        self.store.settle(&outcomes, &rules, now).await
    }

    /// Something in the batch cannot be booked: find out what, and let the rest pass. The page of a dropped outcome is
    /// dispatched again by the reconciler.
    async fn one_by_one(&self, batch: Vec<Work>, cause: &Error) {
        error!(error = ?cause, outcomes = batch.len(), "a batch of outcomes cannot be settled");
        for work in batch {
            let single = std::slice::from_ref(&work);
            match self.book(single).await {
                Ok(settled) => {
                    self.announce(single, settled).await;
                    ack(single).await;
                }
                // Delivered again after its ack wait.
                Err(error) if error.unavailable() => {}
                Err(error) => {
                    metrics::dropped(Drop::Failed);
                    error!(error = ?error, page = %work.outcome.page, "an outcome cannot be settled");
                    answer(work.delivery.term().await);
                }
            }
        }
    }

    /// Tells everyone who waits for what a batch did.
    async fn announce(&self, batch: &[Work], settled: Settled) {
        metrics::batch(batch.len());
        for (work, result) in batch.iter().zip(&settled.verdicts) {
            match result {
                None => {
                    metrics::dropped(Drop::Stale);
                    work.span.record("verdict", "stale");
                }
                Some((lane, verdict)) => {
                    metrics::settled(*lane, *verdict);
                    work.span.record("verdict", verdict.map_or("again", |verdict| verdict.as_str()));
                }
            }
        }
        for changed in &settled.changed {
            if let Some(state) = changed.ended {
                metrics::ended(state);
                info!(job = %changed.job, %state, "job finished");
            }
            self.hub.changed(changed.job);
        }
        if settled.more {
            self.hub.work();
        } else {
            self.hub.room();
        }
        if settled.notify {
            self.bus.notify("event", Bytes::new()).await;
        }
    }
}

fn span(delivery: &Delivery, outcome: &Outcome) -> Span {
    let span = info_span!(
        parent: None, "settle page", otel.kind = "consumer", job = %outcome.job, page = %outcome.page,
        dispatch = outcome.dispatch_seq, verdict = field::Empty
    );
    // Without an OpenTelemetry layer there is no trace to join.
    let _ = span.set_parent(delivery.parent.clone());
    span
}

/// Acks outcomes that were booked.
async fn ack(batch: &[Work]) {
    for work in batch {
        answer(work.delivery.ack().await);
    }
}

/// A lost answer means one more delivery, which is dropped as stale.
fn answer(result: Result<(), queue::Error>) {
    if let Err(error) = result {
        debug!(%error, "an answer to the queue was lost");
    }
}
