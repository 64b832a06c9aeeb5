//! Protobuf to domain and back: the edge of the service.
//!
//! Promises: nothing from the network is trusted. Every violation of a request is found, with the path of its field.

mod browser;
mod deep_crawl;
mod discovery;
mod fetch;
mod host;
mod list;
mod queue;
mod reply;
mod schedule;
mod session;
mod submission;
mod target;
mod test_urls;
#[cfg(test)]
mod tests;

use std::time::Duration;

use domain::{JobId, ScheduleId, id::IdError};
use mesh::Violations;
use time::OffsetDateTime;
use tonic::Status;

pub(crate) use host::{host, host_key, report_visit, reservation, reserve_visit};
pub(crate) use list::{JobFilter, PageFilter, list_jobs, list_pages, list_schedules, page_size};
pub(crate) use queue::{encode_task, read_outcome};
pub(crate) use reply::{Headers, config, entry, event, fit, job, page};
pub(crate) use schedule::{Draft, changed, draft, schedule, scheduled};
pub(crate) use submission::{Rules, check_baseline, priority, request_id, submission};
pub(crate) use test_urls::test_urls;

/// The longest wait of one call.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Reads `jobs/{uuid}`.
pub(crate) fn job_id(field: &str, name: &str) -> Result<JobId, Status> {
    JobId::from_name(name).map_err(|error| invalid_name(field, &error))
}

/// Reads `schedules/{uuid}`.
pub(crate) fn schedule_id(field: &str, name: &str) -> Result<ScheduleId, Status> {
    ScheduleId::from_name(name).map_err(|error| invalid_name(field, &error))
}

fn invalid_name(field: &str, error: &IdError) -> Status {
    violation(field, "INVALID_NAME", error.to_string())
}

/// A refusal of one field.
pub(crate) fn violation(field: &str, reason: &'static str, description: impl Into<String>) -> Status {
    let mut violations = Violations::new();
    violations.add(field, reason, description);
    match violations.into_result() {
        Err(status) => status,
        Ok(()) => Status::invalid_argument(field),
    }
}

/// Reads a position in a log.
pub(crate) fn after(field: &str, after: i64) -> Result<i64, Status> {
    if after < 0 { Err(violation(field, "OUT_OF_RANGE", "must not be negative")) } else { Ok(after) }
}

/// Reads a point in time. None: there is no such.
fn read_timestamp(timestamp: prost_types::Timestamp) -> Option<OffsetDateTime> {
    let nanos = u64::try_from(timestamp.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()? + Duration::from_nanos(nanos))
}

/// Reads how long a caller waits for a job to finish, 0 to 60 s.
pub(crate) fn wait(duration: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let mut violations = Violations::new();
    let wait = read_wait(duration, &mut violations);
    violations.into_result()?;
    Ok(wait)
}

fn read_wait(duration: Option<prost_types::Duration>, violations: &mut Violations) -> Duration {
    read_duration("wait", duration, Duration::ZERO, (Duration::ZERO, MAX_WAIT), violations)
}

/// Reads a duration within `range`.
fn read_duration(
    field: &str,
    duration: Option<prost_types::Duration>,
    default: Duration,
    range: (Duration, Duration),
    violations: &mut Violations,
) -> Duration {
    let Some(duration) = duration else { return default };
    match Duration::try_from(duration) {
        Ok(duration) if duration >= range.0 && duration <= range.1 => duration,
        _ => {
            let description = format!("must be from {:?} to {:?}", range.0, range.1);
            violations.add(field, "OUT_OF_RANGE", description);
            default
        }
    }
}
