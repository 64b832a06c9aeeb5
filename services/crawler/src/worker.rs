//! A lane at work: pulls as many pages as it has free slots, works on each, and settles it.
//!
//! Promises: never more pages than slots; every page that was pulled is kept alive until it is settled (published, then
//! acked) or given up; at shutdown running pages get the grace and the rest is handed back as `RELEASE`, so that a delivery
//! beyond the first means that a crawler died.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::PageId;
use parking_lot::Mutex;
use prost::Message;
use queue::{Bus, Delivery, Puller};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::browser::Availability;
use crate::cancel::Cancels;
use crate::classify::Judgement;
use crate::metrics;
use crate::outcome::Outcome;
use crate::page::Bench;
use crate::task::Task;

/// Pause after a failed pull, while the queue is away.
const PULL_PAUSE: Duration = Duration::from_millis(500);
/// First pause before an outcome is published again; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// At shutdown: how long outcomes may take after the grace is over. What is not settled then counts as a crash.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A lane of this crawler. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Worker(Arc<Inner>);

struct Inner {
    bench: Bench,
    bus: Bus,
    cancels: Cancels,
    available: Availability,
    slots: usize,
    free: Arc<Semaphore>,
    running: Mutex<HashSet<(PageId, i64)>>,
    /// Fires when the grace is over.
    release: CancellationToken,
    /// Fires when nobody waits for outcomes any more.
    give_up: CancellationToken,
}

/// How the work on a delivery ended.
enum End {
    /// There is something to tell the ledger.
    Told(Outcome),
    /// Nobody wants to know: the message is acked and forgotten.
    Dropped(&'static str),
}

impl Worker {
    /// A lane with so many slots, which pulls while `available` says that it can work.
    pub(crate) fn new(
        bench: Bench,
        bus: Bus,
        cancels: Cancels,
        available: Availability,
        slots: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            bench,
            bus,
            cancels,
            available,
            slots,
            free: Arc::new(Semaphore::new(slots)),
            running: Mutex::default(),
            release: CancellationToken::new(),
            give_up: CancellationToken::new(),
        }))
    }

    /// Pages being worked on.
    pub(crate) fn busy(&self) -> usize {
        // Not the places that are taken: a pull that waits holds all that are free.
        self.0.running.lock().len()
    }

    /// Pages at once.
    pub(crate) fn slots(&self) -> usize {
        self.0.slots
    }

    /// Pulls until `stop` fires, then lets running pages finish within `grace`. Returns when the last page is settled.
    pub(crate) async fn run(&self, stop: CancellationToken, grace: Duration) {
        let mut puller = self.0.bus.pull(self.0.bench.lane);
        while !stop.is_cancelled() {
            let () = stop.run_until_cancelled(self.step(&mut puller)).await.unwrap_or_default();
        }
        self.drain(puller, grace).await;
    }

    /// Waits for a free slot and for work, and starts it.
    async fn step(&self, puller: &mut Puller) {
        self.0.available.wait().await;
        let Ok(first) = self.0.free.clone().acquire_owned().await else { return };
        let mut places = vec![first];
        while let Ok(place) = self.0.free.clone().try_acquire_owned() {
            places.push(place);
        }
        match puller.pull(places.len()).await {
            Ok(deliveries) => self.start(deliveries, places),
            Err(error) => {
                tracing::debug!(%error, "no work can be pulled");
                sleep(PULL_PAUSE).await;
            }
        }
    }

    fn start(&self, deliveries: Vec<Delivery>, places: Vec<OwnedSemaphorePermit>) {
        for (delivery, place) in deliveries.into_iter().zip(places) {
            let worker = self.clone();
            mesh::spawn("page", async move {
                worker.handle(delivery).await;
                drop(place);
            })
            .detach();
        }
    }

    async fn drain(&self, puller: Puller, grace: Duration) {
        // What was on its way is worked on or released; left alone, it would come back as if we had crashed of it.
        let mut places = Vec::new();
        let mut deliveries = Vec::new();
        for delivery in puller.close().await {
            match self.0.free.clone().try_acquire_owned() {
                Ok(place) => {
                    places.push(place);
                    deliveries.push(delivery);
                }
                // More than we asked for, which a sweep that was dropped can bring.
                Err(_) => drop(delivery.nak().await),
            }
        }
        self.start(deliveries, places);
        let all = u32::try_from(self.0.slots).unwrap_or(u32::MAX);
        if timeout(grace, self.0.free.acquire_many(all)).await.is_ok() {
            return;
        }
        self.0.release.cancel();
        if timeout(LAST_WORDS, self.0.free.acquire_many(all)).await.is_err() {
            tracing::warn!(lane = %self.0.bench.lane, pages = self.busy(), "pages were left unsettled");
            self.0.give_up.cancel();
        }
    }

    /// Works on one delivery until it is settled.
    async fn handle(&self, delivery: Delivery) {
        let task = match Task::decode(
            &delivery.payload,
            delivery.deliveries,
            delivery.lapses(mesh::clock::now().into()),
        ) {
            Ok(task) => task,
            Err(garbage) => {
                tracing::warn!(problem = %garbage, "a message in the work queue is no task");
                metrics::dropped("garbage");
                let _ = delivery.term().await;
                return;
            }
        };
        let span = self.span(&task, &delivery);
        self.handle_task(&task, &delivery).instrument(span).await;
    }

    fn span(&self, task: &Task, delivery: &Delivery) -> Span {
        let span = info_span!(
            parent: None,
            "page",
            otel.kind = "consumer",
            job = %task.job,
            page = %task.page,
            lane = %self.0.bench.lane,
            attempt = task.attempts,
            verdict = field::Empty,
        );
        // Without an OpenTelemetry layer there is no trace to join.
        let _ = span.set_parent(delivery.parent.clone());
        span
    }

    async fn handle_task(&self, task: &Task, delivery: &Delivery) {
        // The queue was away for longer than `ack_wait` and delivers again what we still work on. Our own ack will
        // take the message away.
        let Some(_claim) = Claim::new(self, task) else {
            metrics::dropped("running already");
            return;
        };
        let keep_alive = delivery.keep_alive();
        let start = mesh::clock::now();
        let end = self.end(task).await;
        match end {
            End::Told(outcome) => {
                Span::current().record("verdict", outcome.label());
                let message = outcome.encode(task, self.0.bench.lane, start, mesh::clock::now());
                let payload = Bytes::from(message.encode_to_vec());
                let published =
                    self.publish(task.outcome_id(), payload).instrument(info_span!("settle")).await;
                if !published {
                    return;
                }
                metrics::page(self.0.bench.lane, outcome.label());
            }
            End::Dropped(reason) => metrics::dropped(reason),
        }
        drop(keep_alive);
        if let Err(error) = delivery.ack().await {
            tracing::debug!(%error, "a page was settled but its message not acked");
        }
    }

    async fn end(&self, task: &Task) -> End {
        let Some(running) = self.0.cancels.begin(task.job) else { return End::Dropped("cancelled") };
        tokio::select! {
            biased;
            () = running.cancelled() => End::Dropped("cancelled"),
            () = self.0.release.cancelled() => End::Told(Judgement::release().into()),
            outcome = self.0.bench.work(task) => match outcome {
                Some(outcome) => End::Told(outcome),
                None => End::Dropped("job ended"),
            },
        }
    }

    /// Publishes until the queue has it. `false`: it never will, or nobody waits any more.
    async fn publish(&self, id: String, payload: Bytes) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.0.bus.publish_outcome(id.clone(), payload.clone()).await {
                Ok(()) => return true,
                Err(queue::Error::TooLarge { limit }) => {
                    tracing::error!(limit, bytes = payload.len(), "an outcome does not fit into the queue");
                    return false;
                }
                Err(error) => tracing::debug!(%error, "an outcome is not published yet"),
            }
            if self.0.give_up.run_until_cancelled(sleep(pause)).await.is_none() {
                return false;
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// A page in our hands; there is one for each page and dispatch.
struct Claim<'a> {
    worker: &'a Worker,
    key: (PageId, i64),
}

impl<'a> Claim<'a> {
    fn new(worker: &'a Worker, task: &Task) -> Option<Self> {
        let key = (task.page, task.dispatch_sequence);
        let new = worker.0.running.lock().insert(key);
        new.then_some(Self { worker, key })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.worker.0.running.lock().remove(&self.key);
    }
}
