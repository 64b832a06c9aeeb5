//! A job: its states, its ledger of sums, and the rules that move them. No I/O; the time is an argument.
//!
//! Promises: `found = succeeded + failed + skipped + cancelled + pending + running` after every change; a terminal state is
//! final; exactly one event of a job is terminal, and sequences have no gaps.

use std::{collections::BTreeMap, fmt, str::FromStr};

use domain::{JobId, Outcome, Priority, ScheduleId, TenantId, Verdict, lane::UnknownWord};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    change::Changes,
    discovery::Discovered,
    error::Error,
    event::{Event, EventType, Snapshot},
    spec::{Spec, Webhook},
};

#[cfg(test)]
mod tests;

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Accepted; no page was started.
    Queued,
    /// Pages are being worked on.
    Running,
    /// Held by its owner.
    Paused,
    /// Every page has its verdict, and one at least succeeded.
    Succeeded,
    /// Every page has its verdict, and none succeeded.
    Failed,
    /// Cancelled before every page had its verdict.
    Cancelled,
}

impl State {
    /// The word for it in tables and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing can happen any more.
    pub(crate) const fn terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Queued, Self::Running, Self::Paused, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned(), "State"))
    }
}

/// The sums of a job's ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// URLs of the job.
    pub(crate) found: i64,
    /// Pages with a document.
    pub(crate) succeeded: i64,
    /// Pages that were tried in vain.
    pub(crate) failed: i64,
    /// Pages that were not tried, by rule.
    pub(crate) skipped: i64,
    /// Pages without verdict when the job was cancelled.
    pub(crate) cancelled: i64,
    /// Pages that wait for their turn.
    pub(crate) pending: i64,
    /// Pages that were handed to the queue.
    pub(crate) running: i64,
}

impl Counts {
    /// Whether every URL is counted exactly once.
    pub(crate) const fn add_up(&self) -> bool {
        self.found
            == self.succeeded + self.failed + self.skipped + self.cancelled + self.pending + self.running
            && self.pending >= 0
            && self.running >= 0
    }

    /// Counts pages with a verdict.
    pub(crate) fn done(&mut self, verdict: Verdict, pages: i64) {
        match verdict.outcome() {
            Outcome::Succeeded => self.succeeded += pages,
            Outcome::Failed => self.failed += pages,
            Outcome::Skipped => self.skipped += pages,
            Outcome::Cancelled => self.cancelled += pages,
        }
    }
}

/// Pages by verdict, in the words of [`Verdict`]; verdicts without pages are left out.
pub(crate) type Verdicts = BTreeMap<String, i64>;

/// A job with the sums of its ledger.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) tenant: TenantId,
    pub(crate) state: State,
    pub(crate) priority: Priority,
    pub(crate) spec: Spec,
    pub(crate) spec_version: i32,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The first URLs, at most 10.
    pub(crate) first_urls: Vec<String>,
    pub(crate) counts: Counts,
    pub(crate) verdicts: Verdicts,
    /// What became of the links of its pages.
    pub(crate) discovered: Discovered,
    /// Sequence of the last event; 0: none yet.
    pub(crate) event_sequence: i64,
    /// W3C trace context of the submit call.
    pub(crate) traceparent: Option<String>,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) start_time: Option<OffsetDateTime>,
    pub(crate) end_time: Option<OffsetDateTime>,
    /// When the last `job.progress` was appended.
    pub(crate) progress_time: Option<OffsetDateTime>,
    /// When its time is up.
    pub(crate) deadline: Option<OffsetDateTime>,
    /// The job whose failed pages it tries again.
    pub(crate) retry_of: Option<JobId>,
    /// The schedule that created it.
    pub(crate) schedule: Option<ScheduleId>,
    /// The job that its pages are compared with.
    pub(crate) baseline: Option<JobId>,
    /// How its pages differ from those of the baseline; without one, all are new. None: they are not compared.
    pub(crate) changes: Option<Changes>,
}

impl Job {
    /// Counts new pages: `pending` of them to be fetched, `duplicates` that will not be.
    pub(crate) fn add_pages(&mut self, pending: i64, duplicates: i64) {
        self.counts.found += pending + duplicates;
        self.counts.pending += pending;
        self.counts.done(Verdict::Duplicate, duplicates);
        self.add_verdict(Verdict::Duplicate, duplicates);
    }

    /// Counts pages that were found: `pending` to be fetched, `budget` that will not be.
    pub(crate) fn add_found(&mut self, pending: i64, budget: i64) {
        self.counts.found += pending + budget;
        self.counts.pending += pending;
        self.counts.done(Verdict::Budget, budget);
        self.add_verdict(Verdict::Budget, budget);
    }

    /// Counts waiting pages that lost their places to better ones.
    pub(crate) fn displace(&mut self, pages: i64) {
        self.counts.pending -= pages;
        self.counts.done(Verdict::Budget, pages);
        self.add_verdict(Verdict::Budget, pages);
    }

    /// How many more pages may be fetched: all pages count, whatever became of them, but those that found no place.
    pub(crate) fn room(&self) -> i64 {
        let most = self.spec.follow.as_ref().map_or(0, |follow| i64::from(follow.max_pages));
        (most - (self.counts.found - self.discovered.sources - self.over_budget())).max(0)
    }

    /// Pages that found no place.
    pub(crate) fn over_budget(&self) -> i64 {
        self.verdicts.get(Verdict::Budget.as_str()).copied().unwrap_or_default()
    }

    /// Counts pages that were handed to the queue. The first ones start the job.
    pub(crate) fn dispatch(&mut self, pages: i64, now: OffsetDateTime) -> Option<Event> {
        self.counts.pending -= pages;
        self.counts.running += pages;
        if self.state != State::Queued {
            return None;
        }
        self.state = State::Running;
        self.start_time = Some(now);
        Some(self.record(EventType::Started, now))
    }

    /// Counts pages that come back from the queue without a verdict.
    pub(crate) fn give_back(&mut self, pages: i64) {
        self.counts.running -= pages;
        self.counts.pending += pages;
    }

    /// Counts the verdict of a running page.
    pub(crate) fn settle(&mut self, verdict: Verdict) {
        self.counts.running -= 1;
        self.counts.done(verdict, 1);
        self.add_verdict(verdict, 1);
    }

    /// Whether the next [`Job::advance`] ends the job.
    pub(crate) const fn ends(&self) -> bool {
        !self.state.terminal() && self.counts.pending + self.counts.running == 0
    }

    /// What a batch of outcomes adds to the event log: the terminal event when no page is left, else `job.progress`,
    /// unless the last one was less than `interval` ago.
    pub(crate) fn advance(&mut self, now: OffsetDateTime, interval: std::time::Duration) -> Option<Event> {
        if self.state.terminal() {
            return None;
        }
        if self.ends() {
            return Some(self.finish(self.result(), now));
        }
        if self.progress_time.is_some_and(|last| now - last < interval) {
            return None;
        }
        self.progress_time = Some(now);
        Some(self.record(EventType::Progress, now))
    }

    /// Cancels the job and all pages without a verdict. Cancelling twice is not an error and adds no event.
    pub(crate) fn cancel(&mut self, now: OffsetDateTime) -> Result<Option<Event>, Error> {
        match self.state {
            State::Succeeded | State::Failed => Err(Error::Finished(self.id, self.state)),
            State::Cancelled => Ok(None),
            State::Queued | State::Running | State::Paused => {
                let open = self.counts.pending + self.counts.running;
                self.counts.pending = 0;
                self.counts.running = 0;
                self.counts.done(Verdict::Cancelled, open);
                self.add_verdict(Verdict::Cancelled, open);
                Ok(Some(self.finish(State::Cancelled, now)))
            }
        }
    }

    /// Holds the job. Pausing twice is not an error and adds no event.
    pub(crate) fn pause(&mut self, now: OffsetDateTime) -> Result<Option<Event>, Error> {
        match self.state {
            State::Succeeded | State::Failed | State::Cancelled => Err(Error::Finished(self.id, self.state)),
            State::Paused => Ok(None),
            State::Queued | State::Running => {
                self.state = State::Paused;
                Ok(Some(self.record(EventType::Paused, now)))
            }
        }
    }

    /// Lets a paused job go on. Resuming one that is not paused is not an error and adds no event.
    pub(crate) fn resume(&mut self, now: OffsetDateTime) -> Result<Option<Event>, Error> {
        match self.state {
            State::Succeeded | State::Failed | State::Cancelled => Err(Error::Finished(self.id, self.state)),
            State::Queued | State::Running => Ok(None),
            State::Paused => {
                self.state = if self.start_time.is_some() { State::Running } else { State::Queued };
                Ok(Some(self.record(EventType::Resumed, now)))
            }
        }
    }

    /// Changes what goes first. Returns whether that is a change.
    pub(crate) fn prioritize(&mut self, priority: Priority) -> Result<bool, Error> {
        if self.state.terminal() {
            return Err(Error::Finished(self.id, self.state));
        }
        Ok(std::mem::replace(&mut self.priority, priority) != priority)
    }

    /// Counts failed pages that are tried again. The job goes on, so it is none of their ends.
    pub(crate) fn retry(&mut self, verdict: Verdict, pages: i64) {
        self.counts.done(verdict, -pages);
        self.counts.pending += pages;
        let word = verdict.as_str();
        if let Some(sum) = self.verdicts.get_mut(word) {
            *sum -= pages;
        }
        self.verdicts.retain(|_, sum| *sum != 0);
    }

    /// Ends the job when its time is up: pages without a verdict are out of budget. None: it has ended already, or has time.
    pub(crate) fn expire(&mut self, now: OffsetDateTime) -> Option<Event> {
        if self.state.terminal() || self.deadline.is_none_or(|deadline| deadline > now) {
            return None;
        }
        let open = self.counts.pending + self.counts.running;
        self.counts.pending = 0;
        self.counts.running = 0;
        self.counts.done(Verdict::Budget, open);
        self.add_verdict(Verdict::Budget, open);
        Some(self.finish(self.result(), now))
    }

    /// Appends an event with the job as it stands now.
    pub(crate) fn record(&mut self, event_type: EventType, now: OffsetDateTime) -> Event {
        self.event_sequence += 1;
        Event {
            job: self.id,
            tenant: self.tenant,
            sequence: self.event_sequence,
            event_type,
            time: now,
            has_webhook: self.webhook.is_some(),
            traceparent: self.traceparent.clone(),
            snapshot: Snapshot {
                state: self.state,
                counts: self.counts,
                verdicts: self.verdicts.clone(),
                start_time: self.start_time,
                end_time: self.end_time,
                changes: self.changes,
            },
        }
    }

    /// The job as it stood when an event was recorded. What never changes is not in the event.
    pub(crate) fn as_of(&self, snapshot: Snapshot) -> Self {
        let Snapshot { state, counts, verdicts, start_time, end_time, changes } = snapshot;
        Self { state, counts, verdicts, start_time, end_time, changes, ..self.clone() }
    }

    /// What the job comes to when no page is left.
    const fn result(&self) -> State {
        if self.counts.succeeded > self.discovered.read { State::Succeeded } else { State::Failed }
    }

    fn finish(&mut self, state: State, now: OffsetDateTime) -> Event {
        self.state = state;
        self.end_time = Some(now);
        let event_type = match state {
            State::Succeeded => EventType::Succeeded,
            State::Cancelled => EventType::Cancelled,
            State::Queued | State::Running | State::Paused | State::Failed => EventType::Failed,
        };
        self.record(event_type, now)
    }

    fn add_verdict(&mut self, verdict: Verdict, pages: i64) {
        if pages > 0 {
            *self.verdicts.entry(verdict.as_str().to_owned()).or_default() += pages;
        }
    }
}
