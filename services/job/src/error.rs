//! What can go wrong in the job service, and what callers are told of it: the only table from errors to statuses.

use domain::{JobId, ScheduleId};
use sea_orm::DbErr;
use tonic::{Code, Status};

use crate::job::State;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No such job, or another tenant's.
    #[error("job {0} does not exist")]
    NotFound(JobId),
    /// No such schedule, or another tenant's.
    #[error("schedule {0} does not exist")]
    NoSchedule(ScheduleId),
    /// The schedule is not the one that the change was made for.
    #[error("schedule {0} was changed in between")]
    ScheduleChanged(ScheduleId),
    /// The last job of a schedule that may have one at a time has not ended.
    #[error("the last job of schedule {0} has not ended")]
    ScheduleBusy(ScheduleId),
    /// The rules forbid the job of a schedule by now, for this reason.
    #[error("the job of the schedule is not allowed any more: {0}")]
    ScheduleRefused(String),
    /// More schedules than `schedules.max_per_tenant`.
    #[error("the tenant has {0} schedules, and may have no more")]
    TooManySchedules(u64),
    /// The request id was used for another schedule.
    #[error("the request id was used for another request, see {}", .0.name())]
    ScheduleIdReused(ScheduleId),
    /// The job has ended and cannot be cancelled any more.
    #[error("job {0} has already {1}")]
    Finished(JobId, State),
    /// No page of the job has failed.
    #[error("job {0} has no failed page")]
    NothingToRetry(JobId),
    /// The request id was used for another request.
    #[error("the request id was used for another request, see {}", .0.name())]
    RequestIdReused(JobId),
    /// The address policy forbids a URL of the request.
    #[error("{0} is a target that is not allowed")]
    TargetNotAllowed(String),
    /// More event streams than `limits.max_watches`.
    #[error("too many event streams are open")]
    TooManyWatches,
    /// The database failed.
    #[error("reach the job store")]
    Store(#[from] DbErr),
    /// A row of the database cannot be read; a newer version may have written it.
    #[error("read the job store: {0}")]
    Row(String),
}

impl Error {
    /// The database is away.
    pub(crate) fn away() -> Self {
        Self::Store(store::unavailable())
    }

    /// Whether the database is away, so that trying again later helps.
    pub(crate) fn unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if store::is_unavailable(error))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match &error {
            Error::NotFound(_) => mesh::refuse(Code::NotFound, "JOB_NOT_FOUND", &error),
            Error::NoSchedule(_) => mesh::refuse(Code::NotFound, "SCHEDULE_NOT_FOUND", &error),
            Error::ScheduleChanged(_) => mesh::refuse(Code::Aborted, "SCHEDULE_CHANGED", &error),
            Error::ScheduleBusy(_) => mesh::refuse(Code::FailedPrecondition, "SCHEDULE_BUSY", &error),
            Error::ScheduleRefused(_) => mesh::refuse(Code::FailedPrecondition, "SCHEDULE_REFUSED", &error),
            Error::TooManySchedules(_) => mesh::refuse(Code::ResourceExhausted, "TOO_MANY_SCHEDULES", &error),
            Error::Finished(..) => mesh::refuse(Code::FailedPrecondition, "JOB_FINISHED", &error),
            Error::NothingToRetry(_) => mesh::refuse(Code::FailedPrecondition, "NOTHING_TO_RETRY", &error),
            Error::RequestIdReused(_) | Error::ScheduleIdReused(_) => {
                mesh::refuse(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", &error)
            }
            Error::TargetNotAllowed(field) => mesh::refuse_with(
                Code::PermissionDenied,
                "TARGET_NOT_ALLOWED",
                error.to_string(),
                &[("field", field)],
            ),
            Error::TooManyWatches => mesh::refuse(Code::ResourceExhausted, "TOO_MANY_WATCHES", &error),
            Error::Store(cause) if store::is_unavailable(cause) => {
                mesh::fail(Code::Unavailable, "JOB_STORE_UNREACHABLE", &error)
            }
            Error::Store(_) | Error::Row(_) => mesh::fail(Code::Internal, "JOB_STORE_FAILED", &error),
        }
    }
}
