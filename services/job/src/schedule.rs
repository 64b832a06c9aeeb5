//! A schedule: when it creates jobs, which, and what happens when its time comes. No I/O; the time is an argument.
//!
//! Promises: each due time has one job at most; what was missed is made up for by one job, and what passed during a pause by none.

mod timing;

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use bytesize::ByteSize;
use domain::{JobId, Priority, ScheduleId, TenantId, lane::UnknownWord};
use mesh::config::Problems;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::spec::{Spec, Submission, Webhook};

pub(crate) use timing::{Refusal, Timing};

#[cfg(test)]
mod tests;

/// The longest interval of a schedule.
pub(crate) const MAX_INTERVAL: Duration = Duration::from_secs(366 * 86_400);

/// `[schedules]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedules {
    /// Schedules of one tenant.
    pub max_per_tenant: u64,
    /// Between two times of a schedule.
    #[serde(with = "humantime_serde")]
    pub min_interval: Duration,
    /// Of the job that a schedule creates, as JSON.
    pub max_job_size: ByteSize,
    /// How often it is looked whether another process has changed a schedule.
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
}

impl Schedules {
    /// Tells what is wrong with the settings.
    pub(crate) fn check(&self, problems: &mut Problems) {
        if self.min_interval < Duration::from_secs(1) || self.min_interval > MAX_INTERVAL {
            problems.add("schedules.min_interval", "must be from 1s to 366d");
        }
        if !(1..=100_000).contains(&self.max_per_tenant) {
            problems.add("schedules.max_per_tenant", "must be from 1 to 100000");
        }
        if self.max_job_size < ByteSize::kib(1) || self.max_job_size > ByteSize::mib(16) {
            problems.add("schedules.max_job_size", "must be from 1KiB to 16MiB");
        }
        if self.poll < Duration::from_millis(100) {
            problems.add("schedules.poll", "must be at least 100ms");
        }
    }
}

/// What happens when the time comes and the last job has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overlap {
    /// No job is created.
    Skip,
    /// Another job is created beside it.
    Allow,
}

impl Overlap {
    /// The word for it in tables.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Allow => "allow",
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Overlap {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Skip, Self::Allow]
            .into_iter()
            .find(|overlap| overlap.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned(), "Overlap"))
    }
}

/// The job that a schedule creates, as it was valid when it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Template {
    pub(crate) urls: Vec<String>,
    pub(crate) spec: Spec,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The word of a [`Priority`].
    priority: String,
    pub(crate) max_duration: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) baseline: Option<JobId>,
}

impl Template {
    /// Keeps a submission for later.
    pub(crate) fn of(submission: Submission) -> Self {
        Self {
            urls: submission.urls.into_iter().map(|(url, _)| url).collect(),
            spec: submission.spec,
            webhook: submission.webhook,
            labels: submission.labels,
            priority: submission.priority.as_str().to_owned(),
            max_duration: submission.max_duration,
            baseline: submission.baseline,
        }
    }

    pub(crate) fn priority(&self) -> Priority {
        self.priority.parse().unwrap_or(Priority::Normal)
    }
}

/// What its owner decides of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) timing: Timing,
    pub(crate) job: Template,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) overlap: Overlap,
    pub(crate) paused: bool,
    /// Whether each job is compared with the last one that succeeded.
    pub(crate) track_changes: bool,
}

impl Plan {
    /// Tells one plan from another.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let timing = match &self.timing {
            Timing::Cron { expression, time_zone } => (expression.as_str(), time_zone.as_str(), None),
            Timing::Every(interval) => ("", "", Some(*interval)),
        };
        let canonical = (timing, &self.job, &self.labels, self.overlap, self.paused, self.track_changes);
        blake3::hash(&serde_json::to_vec(&canonical).unwrap_or_default()).into()
    }

    /// When the first job is due from now on. None: while it is paused, never.
    fn first(&self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, Refusal> {
        if self.paused { Ok(None) } else { self.timing.next(None, now).map(Some) }
    }
}

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) id: ScheduleId,
    pub(crate) tenant: TenantId,
    pub(crate) plan: Plan,
    /// When the next job is due.
    pub(crate) next_time: Option<OffsetDateTime>,
    /// The due time of the last job.
    pub(crate) last_time: Option<OffsetDateTime>,
    pub(crate) last_job: Option<JobId>,
    /// Why the last due time has no job.
    pub(crate) last_error: Option<String>,
    /// Jobs that it created.
    pub(crate) fired: i64,
    /// Due times without a job, because the last one had not ended.
    pub(crate) skipped: i64,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) update_time: OffsetDateTime,
    /// Changes by its owner.
    pub(crate) version: i64,
}

/// What a due time comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A job is created.
    Fire,
    /// The last job has not ended.
    Skip,
}

impl Schedule {
    /// A new schedule.
    pub(crate) fn new(tenant: TenantId, plan: Plan, now: OffsetDateTime) -> Result<Self, Refusal> {
        Ok(Self {
            id: ScheduleId::new(),
            tenant,
            next_time: plan.first(now)?,
            plan,
            last_time: None,
            last_job: None,
            last_error: None,
            fired: 0,
            skipped: 0,
            create_time: now,
            update_time: now,
            version: 1,
        })
    }

    /// Takes over what its owner decided. Times begin anew only where they change: a new label moves none.
    pub(crate) fn change(&mut self, plan: Plan, now: OffsetDateTime) -> Result<(), Refusal> {
        let moved = plan.timing != self.plan.timing || plan.paused != self.plan.paused;
        if moved {
            self.next_time = plan.first(now)?;
            self.last_error = None;
        }
        self.plan = plan;
        self.update_time = now;
        self.version += 1;
        Ok(())
    }

    /// What is to be done when somebody asks for a job, whatever the times are.
    pub(crate) fn asked(&self, busy: bool) -> Turn {
        if busy && self.plan.overlap == Overlap::Skip { Turn::Skip } else { Turn::Fire }
    }

    /// What is to be done now; `busy` says that the last job has not ended. None: its time has not come, or another process
    /// has taken it.
    pub(crate) fn turn(&self, now: OffsetDateTime, busy: bool) -> Option<Turn> {
        if self.plan.paused || self.next_time.is_none_or(|due| due > now) {
            return None;
        }
        Some(self.asked(busy))
    }

    /// Goes on to the first time after `now`: times that have passed are not made up for.
    pub(crate) fn advance(&mut self, now: OffsetDateTime) {
        match self.plan.timing.next(self.next_time, now) {
            Ok(next) => self.next_time = Some(next),
            Err(refusal) => {
                self.next_time = None;
                self.last_error = Some(format!("{}: {}", refusal.field, refusal.description));
            }
        }
    }

    /// Notes the job of the time that has come.
    pub(crate) fn fire(&mut self, job: JobId) {
        self.last_time = self.next_time;
        self.created(job);
    }

    /// Notes a job that somebody asked for.
    pub(crate) fn created(&mut self, job: JobId) {
        self.last_job = Some(job);
        self.last_error = None;
        self.fired += 1;
    }
}
