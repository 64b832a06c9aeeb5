//! The reconciler: finds pages that the queue lost, and sums that are wrong.
//!
//! The queue may forget: its store may be wiped, and this process may die between marking a page and publishing it. The
//! ledger cannot see what the queue holds, but handing out a page twice only costs a second fetch: one dispatch number
//! settles once. So pages are handed out again whenever that is cheap.
//!
//! - At start: what was marked a moment ago is published again under its id, which the queue drops if it has it.
//! - After `repeat_after`: what has no outcome yet is published again in the same way, once or twice, since another job service may
//!   have died or stopped after it marked it.
//! - When the queue came back: what was dispatched before its store was made, or before it lost messages that it had
//!   confirmed, is published again `lost_after` later, when the outcomes of what crawlers held have arrived. So are the pages of
//!   a lane in which nothing waits: it has lost them or has them all at crawlers.
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
use queue::{Bus, Epoch};
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
/// By how much the clock of the queue may be behind ours. Less than the time for which it remembers ids.
const SKEW: Duration = Duration::from_secs(60);
/// How often pages are looked for that are due for `repeat_after`, ...
const REPEAT: Duration = Duration::from_secs(1);
/// ... and by how much the clocks of two job services may differ.
const DRIFT: Duration = Duration::from_secs(1);
/// How long the state of a round may be waited for.
const LOOK: Duration = Duration::from_millis(500);

/// The detail of an attempt that nobody told the end of.
const LOST: &str = "no outcome in time";

/// `[reconcile]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// How often lost pages are looked for and ledgers are verified.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// A page without outcome for so long is sent again under its id.
    #[serde(with = "humantime_serde")]
    pub repeat_after: Duration,
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
    /// Those dispatched before this are sent even if their lane has messages.
    lost_before: OffsetDateTime,
    /// And those dispatched after this.
    certain_after: Option<OffsetDateTime>,
    /// Lanes that were not looked at yet.
    lanes: Vec<Lane>,
}

impl Reconciler {
    /// Reconciles until the shutdown begins.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut epochs = self.bus.epochs();
        let mut round = interval(self.config.interval);
        let mut look = interval(LOOK);
        let mut repeat = interval(REPEAT);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut repeated = mesh::clock::now() - self.config.repeat_after;
        let mut seen = Epoch::default();
        let mut suspects: Option<Suspects> = None;
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                changed = epochs.changed() => if changed.is_err() { return },
                _ = look.tick(), if suspects.is_some() => {}
                _ = repeat.tick(), if suspects.is_none() => self.log(self.repeat(&mut repeated).await),
                _ = round.tick() => {
                    self.verify().await;
                    if seen.number > 0 {
                        self.log(self.rescue_overdue().await);
                    }
                    // Another process may have left work behind.
                    self.hub.work();
                }
            }
            let epoch = *epochs.borrow_and_update();
            if epoch != seen {
                suspects = Some(Suspects::of(epoch, seen, suspects.as_ref(), mesh::clock::now()));
                seen = epoch;
            }
            if let Some(list) = &mut suspects {
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
            let mut pages = Vec::new();
            for (after, before) in suspects.times(backlog == 0) {
                pages.extend(self.store.out(lane, after, before, self.queue_depth * 2).await?);
            }
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

    /// Publishes pages that were dispatched `repeat_after` ago again under their ids, which the queue drops if it has had them. They
    /// were repeated up to those of the time `repeated`.
    async fn repeat(&self, repeated: &mut OffsetDateTime) -> Result<(), Error> {
        if !self.caught_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now = mesh::clock::now();
        let (after, before) = ((*repeated - DRIFT).max(now - REMEMBERED), now - self.config.repeat_after);
        for &lane in Lane::ALL {
            let pages = self.store.out(lane, after, before, self.queue_depth * 2).await?;
            if publish(&self.bus, &pages).await.iter().any(Result::is_err) {
                // The queue is away: the next time, or what is done when it comes back.
                return Ok(());
            }
        }
        *repeated = before;
        Ok(())
    }

    /// Dispatches pages anew that have no outcome for too long.
    async fn rescue_overdue(&self) -> Result<(), Error> {
        if !self.caught_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now = mesh::clock::now();
        let before = now - self.config.dispatch_timeout;
        for &lane in Lane::ALL {
            let overdue = self.store.overdue(lane, before, self.queue_depth).await?;
            if overdue.is_empty() {
                continue;
            }
            let Ok(backlog) = self.bus.backlog(lane).await else { return Ok(()) };
            let backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
            let room = self.queue_depth.saturating_sub(backlog).min(overdue.len());
            let given_back = self.store.give_back(&overdue[..room], Some(LOST), now).await?;
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
    /// What to look at after a connection; `open` are those of the connection before that were not looked at yet.
    fn of(epoch: Epoch, seen: Epoch, open: Option<&Self>, now: OffsetDateTime) -> Self {
        let created = epoch.work_created.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let lost_before = if epoch.rollbacks > seen.rollbacks { now } else { now.min(created + SKEW) };
        let first = (seen.number == 0).then(|| now - REMEMBERED);
        Self {
            before: now,
            lost_before: open.map_or(lost_before, |open| open.lost_before.max(lost_before)),
            certain_after: first.or(open.and_then(|open| open.certain_after)),
            lanes: Lane::ALL.to_vec(),
        }
    }

    /// Between which times what was dispatched may be lost, if its lane is empty or not.
    fn times(&self, empty: bool) -> Vec<(OffsetDateTime, OffsetDateTime)> {
        let start = OffsetDateTime::UNIX_EPOCH;
        if empty {
            return vec![(start, self.before)];
        }
        // The two must not overlap: each page is sent once.
        let after = self.certain_after.map(|after| (after.max(self.lost_before), self.before));
        [(start, self.lost_before)].into_iter().chain(after).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second)
    }

    fn epoch(number: u64, created: i64, rollbacks: u64) -> Epoch {
        Epoch { number, work_created: Some(at(created)), rollbacks, ..Epoch::default() }
    }

    #[test]
    fn what_is_older_than_the_store_of_the_queue_is_lost_even_if_the_lane_has_messages() {
        let wiped = Suspects::of(epoch(2, 1000, 0), epoch(1, 10, 0), None, at(1001));
        assert_eq!(wiped.times(false), [(at(0), at(1001))]);
        let kept = Suspects::of(epoch(2, 10, 0), epoch(1, 10, 0), None, at(1001));
        assert_eq!(kept.times(false), [(at(0), at(70))]);
        assert_eq!(kept.times(true), [(at(0), at(1001))]);
    }

    #[test]
    fn a_store_that_was_rolled_back_may_have_lost_anything() {
        let rolled = Suspects::of(epoch(2, 10, 1), epoch(1, 10, 0), None, at(1001));
        assert_eq!(rolled.times(false), [(at(0), at(1001))]);
        // A second connection before anything was looked at forgets nothing.
        let again = Suspects::of(epoch(3, 10, 1), epoch(2, 10, 1), Some(&rolled), at(1002));
        assert_eq!(again.times(false), [(at(0), at(1001))]);
    }

    #[test]
    fn at_start_what_was_dispatched_a_moment_ago_is_sent_again() {
        let first = Suspects::of(epoch(1, 10, 0), Epoch::default(), None, at(1001));
        assert_eq!(first.times(false), [(at(0), at(70)), (at(901), at(1001))]);
    }
}
