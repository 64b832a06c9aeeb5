//! A host and the rate at which it is visited: one for all workers, jobs and tenants. No I/O; the time is an argument.
//!
//! Promises: two pages of a host are admitted at least [`Host::delay`] apart, and never more at a time than its pace allows;
//! whatever slows a host down (Crawl-delay, Retry-After, 429, 503, slow answers) slows it down for everybody, by no more
//! than the settings allow.

mod politeness;
#[cfg(test)]
pub(crate) mod tests;
mod visit;

use std::time::Duration;

use domain::TenantId;
use time::OffsetDateTime;

pub(crate) use politeness::Paces;
pub use politeness::{Pace, Politeness};
pub(crate) use visit::Reservation;

/// Weight of a new answer time in the smoothed one: about the last eight answers count.
const SMOOTHING: f64 = 0.125;

/// What is known of a host. The key is [`domain::PageUrl::host_key`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Host {
    pub(crate) key: String,
    /// The next page may start then.
    pub(crate) next_time: OffsetDateTime,
    /// Whether it has answered, or failed to.
    pub(crate) known: bool,
    /// Smoothed answer time.
    pub(crate) latency: Option<Duration>,
    /// The pause that robots.txt asks for.
    pub(crate) crawl_delay: Option<Duration>,
    /// Added by 429 and 503; zero: none.
    pub(crate) back_off: Duration,
    /// Nothing starts before, because the host said so (Retry-After) or could not take more.
    pub(crate) hold_time: Option<OffsetDateTime>,
    /// When it last asked to slow down.
    pub(crate) throttle_time: Option<OffsetDateTime>,
    /// How often it asked.
    pub(crate) throttles: i64,
    /// Whether pages wait for it outside the frontier.
    pub(crate) parked: bool,
    /// Whether it has as many pages out as it may; the next outcome takes this away.
    pub(crate) busy: bool,
    /// The tenant whose waiting page was served last.
    pub(crate) served: Option<TenantId>,
    /// Visits that are no pages, each until the time at which its visitor has given up if it was not heard of.
    pub(crate) visits: Vec<OffsetDateTime>,
}

/// Whether a page may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes, and it has been counted.
    Now,
    /// Not yet: it waits for the host.
    Later,
}

/// Why a host is visited at its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The settings.
    Default,
    /// Its robots.txt.
    CrawlDelay,
    /// It answers slowly.
    Latency,
    /// It asked to slow down.
    BackOff,
}

/// What an outcome says about the host of its page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// When the work on the page began. None: it was not begun.
    pub(crate) start_time: Option<OffsetDateTime>,
    /// Whether the host answered at all.
    pub(crate) answered: bool,
    /// How long it took to. None: it did not, or nobody knows.
    pub(crate) latency: Option<Duration>,
    /// The pause that robots.txt asks for, zero if there is none. None: it was not asked.
    pub(crate) crawl_delay: Option<Duration>,
    /// Whether the host asked to slow down.
    pub(crate) throttled: bool,
    /// For how long it wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Host {
    /// A host that was never visited.
    pub(crate) fn new(key: String, now: OffsetDateTime) -> Self {
        Self {
            key,
            next_time: now,
            known: false,
            latency: None,
            crawl_delay: None,
            back_off: Duration::ZERO,
            hold_time: None,
            throttle_time: None,
            throttles: 0,
            parked: false,
            busy: false,
            served: None,
            visits: Vec::new(),
        }
    }

    /// The least time between the starts of two pages, and what it comes from.
    pub(crate) fn delay(&self, pace: &Pace) -> (Duration, Reason) {
        let mut longest = (pace.min_delay, Reason::Default);
        let others = [
            (self.crawl_delay.unwrap_or_default(), Reason::CrawlDelay),
            (pace.of_latency(self.latency), Reason::Latency),
            (self.back_off, Reason::BackOff),
        ];
        for other in others {
            if other.0 > longest.0 {
                longest = other;
            }
        }
        longest
    }

    /// Pages at a time. One while the host asked for a pause, because pages may start later than they are handed out; and
    /// one until it has answered for the first time, since before nobody knows what it asks for.
    pub(crate) fn concurrency(&self, pace: &Pace) -> u32 {
        let asked = self.crawl_delay.is_some_and(|delay| !delay.is_zero()) || !self.back_off.is_zero();
        let new = !self.known && !pace.min_delay.is_zero();
        if asked || new { 1 } else { pace.max_concurrency }
    }

    /// Lets one page start while `running` others of the host are out, or says that it has to wait.
    pub(crate) fn admit(&mut self, running: u32, now: OffsetDateTime, pace: &Pace) -> Admission {
        if running + self.visiting(now) >= self.concurrency(pace) {
            self.busy = true;
            return Admission::Later;
        }
        if self.next_time > now {
            return Admission::Later;
        }
        let delay = self.delay(pace).0;
        if !delay.is_zero() {
            self.next_time = now + delay;
        }
        Admission::Now
    }

    /// Learns from an outcome. Returns whether anything worth keeping changed.
    pub(crate) fn learn(&mut self, answer: &Answer, now: OffsetDateTime, pace: &Pace) -> bool {
        let before = self.clone();
        self.busy = false;
        let Some(start) = answer.start_time.map(|start| start.min(now)) else { return *self != before };
        self.known = true;
        if let Some(delay) = answer.crawl_delay {
            self.crawl_delay = (!delay.is_zero()).then_some(delay);
        }
        if answer.throttled {
            self.throttle(start, answer.retry_after, now, pace);
        } else if answer.answered {
            self.recover(start, pace);
        }
        if let Some(latency) = answer.latency {
            self.latency = Some(smoothed(self.latency, latency));
        }
        let delay = self.delay(pace).0;
        if !delay.is_zero() {
            // The page may have waited in the queue: the next one starts no sooner after it than it should.
            self.next_time = self.next_time.max(start + delay);
        }
        *self != before
    }

    /// Slows down. Several answers to requests of before the last time are one complaint.
    fn throttle(
        &mut self,
        start: OffsetDateTime,
        retry_after: Option<Duration>,
        now: OffsetDateTime,
        pace: &Pace,
    ) {
        if self.throttle_time.is_none_or(|last| start >= last) {
            self.back_off = (self.back_off * 2).clamp(pace.back_off, pace.max_back_off);
            self.throttle_time = Some(now);
            self.throttles += 1;
        }
        let hold = now + retry_after.unwrap_or_default().min(pace.max_retry_after).max(self.back_off);
        self.hold_time = Some(self.hold_time.map_or(hold, |last| last.max(hold)));
        self.next_time = self.next_time.max(hold);
    }

    /// Speeds up again: a request that was sent after the last complaint went well.
    fn recover(&mut self, start: OffsetDateTime, pace: &Pace) {
        if self.back_off.is_zero() || self.throttle_time.is_some_and(|last| start < last) {
            return;
        }
        self.back_off /= 2;
        if self.back_off < pace.back_off / 2 {
            self.back_off = Duration::ZERO;
        }
    }
}

/// A moving average, to the millisecond: smaller changes are not worth a write.
fn smoothed(old: Option<Duration>, new: Duration) -> Duration {
    let mixed = old.map_or(new, |old| old.mul_f64(1.0 - SMOOTHING) + new.mul_f64(SMOOTHING));
    let whole = u64::try_from(mixed.as_millis()).unwrap_or(u64::MAX);
    match old {
        // Answers vary by a few milliseconds on any host.
        Some(old) if mixed.abs_diff(old) < (old / 8).max(Duration::from_millis(4)) => old,
        _ => Duration::from_millis(whole),
    }
}
