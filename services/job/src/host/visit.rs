//! Visits of a host that are no pages of a job, such as those of a map: they have their moments among the pages.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Answer, Host, Pace};

/// A host that has as many pages out as it may is not asked about sooner than after this.
const BUSY: Duration = Duration::from_millis(200);

/// What there is for one who wants to visit a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reservation {
    /// The visit has been counted, and may start after this time.
    After(Duration),
    /// Nothing was reserved; it may be worth asking again after this time.
    AskAgain(Duration),
}

impl Host {
    /// Reserves the next moment at which a page may start, unless that is more than `patience` away or `running` pages are as
    /// many as may be out. Unlike a page, the visitor waits by itself, so the moment may lie in the future; until its patience
    /// ends, or it is heard of, it counts as a page that is out.
    pub(crate) fn reserve(
        &mut self,
        running: u32,
        patience: Duration,
        now: OffsetDateTime,
        pace: &Pace,
    ) -> Reservation {
        let delay = self.delay(pace).0;
        let wait = Duration::try_from(self.next_time - now).unwrap_or_default();
        if wait > patience {
            return Reservation::AskAgain(wait);
        }
        if running + self.visiting(now) >= self.concurrency(pace) {
            return Reservation::AskAgain(wait.max(BUSY));
        }
        if !delay.is_zero() {
            self.next_time = now + wait + delay;
        }
        self.visits.retain(|end| *end > now);
        self.visits.push(now + patience);
        Reservation::After(wait)
    }

    /// Visits that are under way or reserved: they are as much work to the host as pages are.
    pub(super) fn visiting(&self, now: OffsetDateTime) -> u32 {
        u32::try_from(self.visits.iter().filter(|end| **end > now).count()).unwrap_or(u32::MAX)
    }

    /// Learns from the answer to a visit, which has ended. Returns whether anything worth keeping changed.
    pub(crate) fn visited(&mut self, answer: &Answer, now: OffsetDateTime, pace: &Pace) -> bool {
        // Which of them it was does not matter: their number counts.
        let ended = !self.visits.is_empty();
        if ended {
            self.visits.remove(0);
        }
        self.learn(answer, now, pace) || ended
    }
}
