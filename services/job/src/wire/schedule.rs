//! Schedules: reads `Schedule` and what changes of one, shows it, and makes the request of the job that is due.

use std::{collections::BTreeMap, time::Duration};

use api::job::v1::{self as pb, schedule as message};
use domain::{ScheduleId, Scope};
use mesh::Violations;
use prost_types::FieldMask;
use time::OffsetDateTime;
use tonic::Status;

use super::{
    read_duration,
    reply::{self, Headers, timestamp},
    submission::{self, Rules},
};
use crate::{
    error::Error,
    job::Job,
    schedule::{MAX_INTERVAL, Overlap, Plan, Refusal, Schedule, Schedules, Template, Timing},
    spec::Submission,
};

/// The fields that their owner may change.
const FIELDS: [&str; 8] =
    ["cron", "time_zone", "interval", "job", "paused", "overlap", "labels", "track_changes"];

/// What a caller asks a schedule to be.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) plan: Plan,
    /// What the caller's credential must allow beside creating jobs.
    pub(crate) scopes: Vec<Scope>,
}

/// Reads a schedule. Fails with every violation.
pub(crate) fn draft(
    schedule: Option<pb::Schedule>,
    rules: &Rules,
    limits: &Schedules,
    now: OffsetDateTime,
) -> Result<Draft, Status> {
    let mut violations = Violations::new();
    let Some(schedule) = schedule else {
        return Err(super::violation("schedule", "REQUIRED", "is required"));
    };
    let timing = read_timing(&schedule, limits, now, &mut violations);
    let job = read_job(schedule.job, rules, limits, &mut violations);
    let mut wrong_labels = Violations::new();
    let labels = submission::read_labels(schedule.labels, &mut wrong_labels);
    adopt(&mut violations, "schedule", wrong_labels.into_result())?;
    let overlap = match message::Overlap::try_from(schedule.overlap) {
        Ok(message::Overlap::Unspecified | message::Overlap::Skip) => Overlap::Skip,
        Ok(message::Overlap::Allow) => Overlap::Allow,
        Err(_) => {
            violations.add("schedule.overlap", "UNKNOWN_VALUE", "is not a known value");
            Overlap::Skip
        }
    };
    // A target that is not allowed is told after everything that is wrong, as it is of a job.
    let refused = job.as_ref().err().filter(|status| status.code() != tonic::Code::InvalidArgument).cloned();
    violations.into_result()?;
    if let Some(status) = refused {
        return Err(status);
    }
    let submission = job?;
    let scopes = submission.scopes.clone();
    let (paused, track_changes) =
        (schedule.paused.unwrap_or_default(), schedule.track_changes.unwrap_or_default());
    let (timing, job) = (timing?, Template::of(submission));
    if track_changes && job.baseline.is_some() {
        let description = "a schedule compares with its own last job, or with the one that is named";
        return Err(super::violation("schedule.track_changes", "CONFLICT", description));
    }
    Ok(Draft { plan: Plan { timing, job, labels, overlap, paused, track_changes }, scopes })
}

fn adopt(violations: &mut Violations, path: &str, result: Result<(), Status>) -> Result<(), Status> {
    match result {
        Ok(()) => Ok(()),
        Err(status) => violations.adopt(path, status),
    }
}

/// Reads when. What is wrong is among the violations, too.
fn read_timing(
    schedule: &pb::Schedule,
    limits: &Schedules,
    now: OffsetDateTime,
    violations: &mut Violations,
) -> Result<Timing, Status> {
    let invalid = || Status::invalid_argument("schedule");
    let timing = match (schedule.cron.as_str(), schedule.interval) {
        ("", None) => {
            violations.add("schedule.cron", "REQUIRED", "one of `cron` and `interval` is required");
            return Err(invalid());
        }
        ("", interval) => {
            if !schedule.time_zone.is_empty() {
                violations.add("schedule.time_zone", "CONFLICT", "an interval has no time zone");
            }
            let range = (limits.min_interval, MAX_INTERVAL);
            let field = "schedule.interval";
            return Ok(Timing::Every(read_duration(field, interval, limits.min_interval, range, violations)));
        }
        (_, Some(_)) => {
            for field in ["schedule.cron", "schedule.interval"] {
                violations.add(field, "CONFLICT", "`cron` and `interval` exclude each other");
            }
            return Err(invalid());
        }
        (expression, None) => Timing::cron(expression, &schedule.time_zone),
    };
    let checked = timing.and_then(|timing| timing.check(limits.min_interval, now).map(|()| timing));
    checked.map_err(|Refusal { field, reason, description }| {
        violations.add(format!("schedule.{field}"), reason, description);
        invalid()
    })
}

/// Reads the job. What is wrong is among the violations, too, unless it is a target that is not allowed.
fn read_job(
    job: Option<pb::CreateCrawlJobRequest>,
    rules: &Rules,
    limits: &Schedules,
    violations: &mut Violations,
) -> Result<Submission, Status> {
    let Some(job) = job else {
        violations.add("schedule.job", "REQUIRED", "is required");
        return Err(Status::invalid_argument("schedule.job"));
    };
    if !job.request_id.is_empty() {
        violations.add("schedule.job.request_id", "CONFLICT", "each time makes another job");
    }
    if job.wait.is_some() {
        violations.add("schedule.job.wait", "CONFLICT", "nobody waits for the job of a schedule");
    }
    match submission::read(job, rules) {
        Ok(submission) => {
            let size = serde_json::to_vec(&Template::of(submission.clone())).map_or(0, |json| json.len());
            if size as u64 > limits.max_job_size.as_u64() {
                let description = format!("has {size} bytes, more than {}", limits.max_job_size);
                violations.add("schedule.job", "TOO_LONG", description);
            }
            Ok(submission)
        }
        Err(submission::Refused::Target(field)) => {
            Err(Error::TargetNotAllowed(format!("schedule.job.{field}")).into())
        }
        Err(submission::Refused::Fields(status)) => {
            violations.adopt("schedule.job", status.clone())?;
            Err(status)
        }
    }
}

/// What a schedule will be when a change is made, and whether its job is another. The change names no field that is not there.
pub(crate) fn changed(
    schedule: &Schedule,
    change: pb::Schedule,
    mask: Option<&FieldMask>,
) -> Result<(pb::Schedule, bool), Status> {
    let mut whole = self::schedule(schedule, Headers::Shown);
    let fields = fields(&change, mask)?;
    let named = |field: &str| fields.iter().any(|named| named == field);
    // One replaces the other.
    if named("interval") && change.interval.is_some() && !named("cron") {
        (whole.cron, whole.time_zone) = (String::new(), String::new());
    }
    if named("cron") && !change.cron.is_empty() && !named("interval") {
        whole.interval = None;
    }
    if named("cron") {
        whole.cron = change.cron;
        if whole.cron.is_empty() && !named("time_zone") {
            whole.time_zone = String::new();
        }
    }
    if named("time_zone") {
        whole.time_zone = change.time_zone;
    }
    if named("interval") {
        whole.interval = change.interval;
    }
    if named("paused") {
        whole.paused = change.paused;
    }
    if named("overlap") {
        whole.overlap = change.overlap;
    }
    if named("track_changes") {
        whole.track_changes = change.track_changes;
    }
    if named("labels") {
        whole.labels = change.labels;
    }
    let another_job = named("job");
    if another_job {
        whole.job = change.job;
    }
    Ok((whole, another_job))
}

/// The fields of a change.
fn fields(change: &pb::Schedule, mask: Option<&FieldMask>) -> Result<Vec<String>, Status> {
    let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else {
        let set = [
            ("cron", !change.cron.is_empty()),
            ("time_zone", !change.time_zone.is_empty()),
            ("interval", change.interval.is_some()),
            ("job", change.job.is_some()),
            ("paused", change.paused.is_some()),
            ("overlap", change.overlap != 0),
            ("labels", !change.labels.is_empty()),
            ("track_changes", change.track_changes.is_some()),
        ];
        return Ok(set.into_iter().filter(|(_, set)| *set).map(|(field, _)| field.to_owned()).collect());
    };
    let mut violations = Violations::new();
    for path in mask.paths.iter().filter(|path| !FIELDS.contains(&path.as_str())) {
        let description = format!("{path:?} is none of {}", FIELDS.join(", "));
        violations.add("update_mask", "UNKNOWN_FIELD", description);
    }
    violations.into_result()?;
    Ok(mask.paths.clone())
}

/// The submission of a job that is due, held against the rules of now; compared with the last one that succeeded, if that is asked
/// for and their pages can be compared.
pub(crate) fn scheduled(
    schedule: &Schedule,
    last: Option<&Job>,
    rules: &Rules,
) -> Result<Submission, Status> {
    let submission = submission::submission(request(&schedule.plan.job, Headers::Shown), rules)?;
    let last = last.filter(|last| last.spec.follow.is_some() == submission.spec.follow.is_some());
    let baseline = submission.baseline.or(last.map(|last| last.id));
    let track_changes = submission.track_changes || schedule.plan.track_changes;
    Ok(Submission { schedule: Some(schedule.id), baseline, track_changes, ..submission })
}

fn request(job: &Template, headers: Headers) -> pb::CreateCrawlJobRequest {
    pb::CreateCrawlJobRequest {
        urls: job.urls.clone(),
        config: Some(reply::config(&job.spec, headers)),
        webhook: job.webhook.as_ref().map(|target| reply::webhook(target, headers)),
        labels: job.labels.clone().into_iter().collect(),
        priority: reply::priority(job.priority()).into(),
        max_duration: job.max_duration.and_then(duration),
        baseline: job.baseline.map(|job| job.name()).unwrap_or_default(),
        ..Default::default()
    }
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}

/// A schedule as callers see it.
pub(crate) fn schedule(schedule: &Schedule, headers: Headers) -> pb::Schedule {
    let Schedule { id, plan, .. } = schedule;
    let (cron, time_zone, interval) = match &plan.timing {
        Timing::Cron { expression, time_zone } => (expression.clone(), time_zone.clone(), None),
        Timing::Every(interval) => (String::new(), String::new(), duration(*interval)),
    };
    pb::Schedule {
        name: ScheduleId::name(id),
        cron,
        time_zone,
        interval,
        job: Some(request(&plan.job, headers)),
        paused: Some(plan.paused),
        track_changes: Some(plan.track_changes),
        overlap: match plan.overlap {
            Overlap::Skip => message::Overlap::Skip,
            Overlap::Allow => message::Overlap::Allow,
        }
        .into(),
        labels: BTreeMap::clone(&plan.labels).into_iter().collect(),
        next_time: schedule.next_time.map(timestamp),
        last_time: schedule.last_time.map(timestamp),
        last_job: schedule.last_job.map(|job| job.name()).unwrap_or_default(),
        last_error: schedule.last_error.clone().unwrap_or_default(),
        fired: schedule.fired,
        skipped: schedule.skipped,
        create_time: Some(timestamp(schedule.create_time)),
        update_time: Some(timestamp(schedule.update_time)),
        etag: schedule.version.to_string(),
    }
}
