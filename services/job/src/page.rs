//! A page: one line of the ledger, and the rule that says what an outcome makes of it. No I/O; chance is an argument.
//!
//! Promises: a page ends after at most `max_attempts` attempts, `max_infra_faults` faults of ours and one escalation; faults
//! of crawlmesh itself never use up an attempt.

use std::{fmt, str::FromStr, time::Duration};

use domain::{JobId, Lane, PageId, Verdict, lane::UnknownWord};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    attempt::Attempt,
    change::Change,
    discovery::{Discovery, Key, Kind as PageKind},
    host::Answer,
    spec::{Render, Spec},
};

#[cfg(test)]
pub(crate) mod tests;

/// Where a page is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for its turn.
    Pending,
    /// Was handed to the queue.
    Running,
    /// Has its verdict.
    Done,
}

impl State {
    /// The word for it in tables.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
        }
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
        [Self::Pending, Self::Running, Self::Done]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned(), "State"))
    }
}

/// One line of the ledger, as callers see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    pub(crate) id: PageId,
    pub(crate) job: JobId,
    /// Position in the job, from 0.
    pub(crate) idx: i64,
    pub(crate) url: String,
    pub(crate) state: State,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) detail: String,
    pub(crate) http_status: Option<i32>,
    pub(crate) lane: Lane,
    pub(crate) lane_reason: String,
    pub(crate) attempts: i32,
    pub(crate) infra_faults: i32,
    /// Crawlers that died of it.
    pub(crate) crashes: i32,
    /// The attempts that did not end it, oldest first; see [`Page::last_attempt`] for the last one.
    pub(crate) history: Vec<Attempt>,
    /// When it was last handed to the queue.
    pub(crate) dispatch_time: Option<OffsetDateTime>,
    /// None: at once.
    pub(crate) due_time: Option<OffsetDateTime>,
    pub(crate) end_time: Option<OffsetDateTime>,
    /// How long it waited for its host, in all.
    pub(crate) host_wait: Duration,
    /// Since when it waits for its host. None: it does not.
    pub(crate) host_since: Option<OffsetDateTime>,
    pub(crate) kind: PageKind,
    /// Links from a seed.
    pub(crate) depth: i32,
    /// The page that it was found on.
    pub(crate) found_on: Option<PageId>,
    /// The URL of that page.
    pub(crate) found_on_url: Option<String>,
    /// The rule that let it in.
    pub(crate) rule: String,
    pub(crate) score: Option<f64>,
    pub(crate) found_time: Option<OffsetDateTime>,
    pub(crate) first_dispatch_time: Option<OffsetDateTime>,
    /// Links found on it that were new to the job.
    pub(crate) new_links: i64,
    /// How it differs from the baseline.
    pub(crate) change: Option<Change>,
    /// The page of the baseline that it was compared with.
    pub(crate) base: Option<PageId>,
}

/// What a page has been through: the part that decides what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) lane: Lane,
    pub(crate) lane_reason: String,
    /// Attempts that count.
    pub(crate) attempts: i32,
    /// Attempts that crawlmesh itself spoilt.
    pub(crate) infra_faults: i32,
    /// Crawlers that died of it.
    pub(crate) crashes: i32,
}

/// What the crawler wants the ledger to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Has its verdict.
    Final,
    /// Failed in a way that may pass.
    Retry,
    /// crawlmesh itself failed.
    Infra,
    /// Needs the browser lane.
    Escalate,
    /// Was handed back.
    Release,
}

/// How the work on a page went.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) job: JobId,
    pub(crate) page: PageId,
    /// The dispatch that this is the outcome of.
    pub(crate) dispatch_seq: i64,
    pub(crate) kind: Kind,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) detail: String,
    pub(crate) http_status: Option<i32>,
    pub(crate) crashes: i32,
    pub(crate) stored: bool,
    pub(crate) retry_after: Option<Duration>,
    /// What it says about the host.
    pub(crate) answer: Answer,
    /// Key of its main text, if it has content.
    pub(crate) content_key: Option<Key>,
    /// What the page led to, if the job follows links.
    pub(crate) discovery: Option<Box<Discovery>>,
}

/// What becomes of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// It has its verdict.
    Settled(Verdict),
    /// It goes back to the frontier and is due after this time.
    Again(Duration),
}

impl Next {
    /// The verdict, if the page has one.
    pub(crate) const fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Settled(verdict) => Some(*verdict),
            Self::Again(_) => None,
        }
    }
}

/// `[retry]`: how often and how soon a page is tried again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The n-th retry waits `base · 2^n`, times a random factor from 0.5 to 1.
    #[serde(with = "humantime_serde")]
    pub base: Duration,
    /// The longest such wait.
    #[serde(with = "humantime_serde")]
    pub cap: Duration,
    /// A site's Retry-After is honoured up to this.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
    /// `base` for faults of crawlmesh itself.
    #[serde(with = "humantime_serde")]
    pub infra_base: Duration,
    /// `cap` for faults of crawlmesh itself.
    #[serde(with = "humantime_serde")]
    pub infra_cap: Duration,
    /// So many faults of crawlmesh itself make the verdict `infra`.
    pub max_infra_faults: i32,
    /// So many dead crawlers make the verdict `poison`.
    pub max_crashes: i32,
    /// Attempts that a page's row keeps; the oldest give way.
    pub max_history: usize,
}

impl Retry {
    /// Moves a running page on. `chance` is uniform in 0..1 and spreads the retries of many pages.
    pub(crate) fn settle(&self, record: &mut Record, outcome: &Outcome, spec: &Spec, chance: f64) -> Next {
        record.crashes = record.crashes.max(outcome.crashes);
        let verdict = match (outcome.kind, outcome.verdict) {
            (Kind::Final, Some(verdict)) => {
                // Nobody tried to fetch a page whose crawlers are dead.
                record.attempts += i32::from(verdict != Verdict::Poison);
                return Next::Settled(verdict);
            }
            (_, verdict) => verdict,
        };
        if record.crashes >= self.max_crashes {
            return Next::Settled(Verdict::Poison);
        }
        match (outcome.kind, verdict) {
            (Kind::Release, _) => Next::Again(Duration::ZERO),
            (Kind::Retry, verdict) => self.retry(record, outcome, spec, verdict, chance),
            (Kind::Escalate, _) if record.lane == Lane::Http && spec.render == Render::Auto => {
                record.lane = Lane::Browser;
                record.lane_reason = lane_reason(&outcome.detail);
                Next::Again(Duration::ZERO)
            }
            // There is no lane beyond the browser, and none but the one that was asked for.
            (Kind::Escalate, Some(verdict)) => {
                record.attempts += 1;
                Next::Settled(verdict)
            }
            // An end without a verdict is a fault of the crawler.
            (Kind::Infra | Kind::Final | Kind::Escalate, _) => self.infra_fault(record, chance),
        }
    }

    fn retry(
        &self,
        record: &mut Record,
        outcome: &Outcome,
        spec: &Spec,
        verdict: Option<Verdict>,
        chance: f64,
    ) -> Next {
        let wait = back_off(self.base, self.cap, record.attempts, chance);
        record.attempts += 1;
        if record.attempts >= spec.max_attempts {
            return Next::Settled(verdict.unwrap_or(Verdict::Infra));
        }
        let asked = outcome.retry_after.unwrap_or_default().min(self.max_retry_after);
        Next::Again(wait.max(asked))
    }

    fn infra_fault(&self, record: &mut Record, chance: f64) -> Next {
        let wait = back_off(self.infra_base, self.infra_cap, record.infra_faults, chance);
        record.infra_faults += 1;
        if record.infra_faults >= self.max_infra_faults {
            return Next::Settled(Verdict::Infra);
        }
        Next::Again(wait)
    }
}

/// `base · 2^n` up to `cap`, times a factor from 0.5 to 1.
fn back_off(base: Duration, cap: Duration, n: i32, chance: f64) -> Duration {
    let exponent = n.clamp(0, 31).cast_unsigned();
    let wait = base.saturating_mul(1 << exponent).min(cap);
    wait.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

fn lane_reason(detail: &str) -> String {
    if detail.starts_with("needs ") { detail.to_owned() } else { format!("needs JavaScript: {detail}") }
}
