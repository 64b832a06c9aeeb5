//! The reconciler: finds pages that the queue lost, and sums that are wrong.
//!
//! The queue may forget: its store may be wiped, and this process may die between marking a page and publishing it. The
//! ledger cannot see what the queue holds, but handing out a page twice only costs a second fetch: one dispatch number
//! settles once. So pages are handed out again whenever that is cheap.
//!
//! - At start: what was marked a moment ago is published again under its id, which the queue drops if it has it.
//! - When the queue came back: a lane without any waiting message has lost them or has them all at crawlers. Its pages are
//!   published again `lost_after` later, when the outcomes of the latter have arrived. A lane with messages has its store.
//! - After `dispatch_timeout`, which is longer than any page may take: a new dispatch number. Never more than make up
//!   `queue_depth` with what waits in the lane, or a lane without crawlers would fill the stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::Lane;
use mesh::Shutdown;
use queue::Bus;
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error, info};

use crate::{
    error::Error,
    hub::Hub,
    metrics::{self, Rescue},
    publisher::publish,
    store::Store,
};

/// Less than the time for which the queue remembers the id of a message, 2 minutes.
const REMEMBERED: Duration = Duration::from_secs(100);
/// How long the state of a round may be waited for.
const LOOK: Duration = Duration::from_millis(500);

/// `[reconcile]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// How often lost pages are looked for and ledgers are verified.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// A page without outcome for so long is dispatched again.
    #[serde(with = "humantime_serde")]
    pub dispatch_timeout: Duration,
    /// The same after the queue came back without messages.
    #[serde(with = "humantime_serde")]
    pub lost_after: Duration,
    /// Changed jobs whose sums are recounted in one round.
    pub verify_jobs: usize,
    /// Pages of a running job that is recounted, at most.
    pub verify_pages: i64,
}

/// The loop.
pub(crate) struct Reconciler {
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) hub: Hub,
    pub(crate) config: Reconcile,
    pub(crate) queue_depth: usize,
    pub(crate) caught_up: Arc<AtomicBool>,
}

/// Pages that the queue may have lost.
struct Suspects {
    /// Those dispatched before this.
    before: OffsetDateTime,
    /// Those dispatched after this are sent even if their lane has messages.
    certain_after: Option<OffsetDateTime>,
    /// Lanes that were not looked at yet.
    lanes: Vec<Lane>,
}

impl Reconciler {
    /// Reconciles until the shutdown begins.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut ready = self.bus.ready();
        let mut round = interval(self.config.interval);
        let mut look = interval(LOOK);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connected = false;
        let mut first = true;
        let mut suspects: Option<Suspects> = None;
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                changed = ready.changed() => if changed.is_err() { return },
                _ = look.tick(), if suspects.is_some() => {}
                _ = round.tick() => {
                    self.verify().await;
                    if connected {
                        self.log(self.rescue_overdue().await);
                    }
                    // Another process may have left work behind.
                    self.hub.work();
                }
            }
            let now = ready.borrow_and_update().is_ok();
            if now && !connected {
                suspects = Some(Suspects::now(std::mem::take(&mut first)));
            }
            connected = now;
            if connected && let Some(list) = &mut suspects {
                self.log(self.resend(list).await);
                if list.lanes.is_empty() {
                    suspects = None;
                }
            }
        }
    }

    /// Publishes again what the queue may have lost, under the same ids.
    async fn resend(&self, suspects: &mut Suspects) -> Result<(), Error> {
        let now = mesh::clock::now();
        let grace = if suspects.certain_after.is_some() { Duration::ZERO } else { self.config.lost_after };
        // An outcome that waits says more than an empty lane.
        if now < suspects.before + grace || !self.caught_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        for lane in std::mem::take(&mut suspects.lanes) {
            let Ok(backlog) = self.bus.backlog(lane).await else {
                suspects.lanes.push(lane);
                continue;
            };
            let after = match (backlog, suspects.certain_after) {
                (0, _) => OffsetDateTime::UNIX_EPOCH,
                (_, Some(after)) => after,
                (_, None) => continue,
            };
            let pages = self.store.out(lane, after, suspects.before, self.queue_depth * 2).await?;
            let sent = publish(&self.bus, &pages).await;
            let resent = sent.iter().filter(|result| result.is_ok()).count();
            if resent > 0 {
                info!(%lane, pages = resent, "pages that the queue may have lost were sent again");
                metrics::rescued(Rescue::Resent, resent as u64);
            }
            if resent < pages.len() {
                suspects.lanes.push(lane);
            }
        }
        Ok(())
    }

    /// Dispatches pages anew that have no outcome for too long.
    async fn rescue_overdue(&self) -> Result<(), Error> {
        if !self.caught_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let before = mesh::clock::now() - self.config.dispatch_timeout;
        for &lane in Lane::ALL {
            let overdue = self.store.overdue(lane, before, self.queue_depth).await?;
            if overdue.is_empty() {
                continue;
            }
            let Ok(backlog) = self.bus.backlog(lane).await else { return Ok(()) };
            let backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
            let room = self.queue_depth.saturating_sub(backlog).min(overdue.len());
            let given_back = self.store.give_back(&overdue[..room]).await?;
            if given_back > 0 {
                info!(%lane, pages = given_back, "pages without an outcome go back to the frontier");
                metrics::rescued(Rescue::Overdue, given_back);
                self.hub.work();
            }
        }
        Ok(())
    }

    /// Compares the sums of jobs that changed with their pages.
    async fn verify(&self) {
        let jobs = self.hub.take_changed(self.config.verify_jobs);
        if jobs.is_empty() {
            return;
        }
        match self.store.recount(&jobs, self.config.verify_pages).await {
            Ok(mismatches) => {
                for mismatch in mismatches {
                    metrics::mismatch();
                    error!(job = %mismatch.job, kept = ?mismatch.kept, counted = ?mismatch.counted, "a ledger does not add up");
                }
            }
            Err(error) => self.log(Err(error)),
        }
    }

    /// The store away is not this loop's news; anything else is.
    fn log(&self, result: Result<(), Error>) {
        match result {
            Ok(()) => {}
            Err(error) if error.unavailable() => debug!(%error, "reconciliation waits for the job store"),
            Err(error) => error!(error = ?error, "reconciliation failed"),
        }
    }
}

impl Suspects {
    fn now(first: bool) -> Self {
        let before = mesh::clock::now();
        let certain_after = first.then(|| before - REMEMBERED);
        Self { before, certain_after, lanes: Lane::ALL.to_vec() }
    }
}
