//! The attempts at a page, one by one: what a caller reads to see why a page took as long as it did. No I/O.
//!
//! A page's row keeps those that did not end it. The last one is read from the row itself: most pages have no other, and
//! cost nothing more.

use domain::{Lane, Verdict};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::page::{Kind, Outcome, Page, Record, State};

#[cfg(test)]
mod tests;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// The page got its verdict.
    Decided,
    /// It failed in a way that may pass.
    Retried,
    /// crawlmesh itself failed.
    Fault,
    /// The page needs the browser lane.
    Escalated,
    /// The crawler handed it back.
    Released,
    /// No outcome came.
    Lost,
}

impl From<Kind> for End {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Retry => Self::Retried,
            // An end without a verdict is a fault of the crawler.
            Kind::Infra | Kind::Final => Self::Fault,
            Kind::Escalate => Self::Escalated,
            Kind::Release => Self::Released,
        }
    }
}

/// One attempt at a page, from its way to the queue to its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) dispatch_time: OffsetDateTime,
    /// None: it runs.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) end_time: Option<OffsetDateTime>,
    pub(crate) lane: Lane,
    pub(crate) lane_reason: String,
    /// None: it runs.
    pub(crate) end: Option<End>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) detail: String,
    pub(crate) http_status: Option<i32>,
    /// Crawlers that had died of the page by then.
    pub(crate) crashes: i32,
}

impl Attempt {
    /// The attempt at a page with this record that had this outcome.
    pub(crate) fn new(
        outcome: &Outcome,
        record: &Record,
        dispatch_time: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            dispatch_time,
            end_time: Some(now),
            lane: record.lane,
            lane_reason: record.lane_reason.clone(),
            end: Some(outcome.kind.into()),
            verdict: outcome.verdict,
            detail: outcome.detail.clone(),
            http_status: outcome.http_status,
            crashes: record.crashes.max(outcome.crashes),
        }
    }
}

impl Page {
    /// The attempt that has ended this page, or that runs.
    pub(crate) fn last_attempt(&self) -> Option<Attempt> {
        let dispatch_time = self.dispatch_time?;
        let kept = self.history.last().is_some_and(|last| last.dispatch_time >= dispatch_time);
        (!kept && self.state != State::Pending).then(|| Attempt {
            dispatch_time,
            end_time: self.end_time,
            lane: self.lane,
            lane_reason: self.lane_reason.clone(),
            end: (self.state == State::Done).then_some(End::Decided),
            verdict: self.verdict,
            detail: if self.state == State::Done { self.detail.clone() } else { String::new() },
            http_status: self.http_status.filter(|_| self.state == State::Done),
            crashes: self.crashes,
        })
    }
}

/// Adds an attempt to those that a row keeps. The oldest give way to what is over `max`.
pub(crate) fn keep(history: &mut Vec<Attempt>, attempt: Attempt, max: usize) {
    history.push(attempt);
    history.drain(..history.len().saturating_sub(max));
}
