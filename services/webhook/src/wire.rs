//! Protobuf in and out.

use api::webhook::v1 as pb;
use domain::{JobId, id::DeliveryId, page_token};
use mesh::Violations;
use time::OffsetDateTime;
use tonic::Status;

use crate::delivery::{Attempt, Delivery, State};

fn violation(field: &str, reason: &'static str, description: &str) -> Status {
    let mut violations = Violations::new();
    violations.add(field, reason, description);
    violations.into_result().expect_err("because there is a violation")
}

pub(crate) fn job(name: &str) -> Result<JobId, Status> {
    JobId::from_name(name).map_err(|error| violation("parent", "INVALID_NAME", &error.to_string()))
}

pub(crate) fn cursor(list: &str, token: &str) -> Result<Option<DeliveryId>, Status> {
    let bad = || violation("page_token", "INVALID_PAGE_TOKEN", "is not a page token of this list");
    let cursor = page_token::decode(list, token).map_err(|_| bad())?;
    cursor.map(|id| id.parse()).transpose().map_err(|_| bad())
}

pub(crate) fn page_size(asked: i32, default: u64, most: u64) -> Result<u64, Status> {
    match u64::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(most)),
        Err(_) => Err(violation("page_size", "NEGATIVE_PAGE_SIZE", "is negative")),
    }
}

fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or_default(),
    }
}

pub(crate) fn delivery((delivery, attempts): (Delivery, Vec<Attempt>)) -> pb::Delivery {
    let state = match delivery.state {
        State::Pending => pb::delivery::State::Pending,
        State::Delivered => pb::delivery::State::Delivered,
        State::Failed => pb::delivery::State::Failed,
    };
    pb::Delivery {
        name: delivery.id.name(),
        job: delivery.job.name(),
        event_type: delivery.event_type,
        event_id: delivery.event_id,
        url: delivery.url,
        state: state.into(),
        create_time: Some(timestamp(delivery.create_time)),
        next_attempt_time: delivery.next_attempt_time.map(timestamp),
        attempts: attempts.into_iter().map(Into::into).collect(),
    }
}

impl From<Attempt> for pb::Attempt {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: i32::try_from(attempt.number).unwrap_or(i32::MAX),
            start_time: Some(timestamp(attempt.start_time)),
            duration_ms: i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
            http_status: attempt.http_status.map(i32::from),
            error: attempt.error,
            response: attempt.response,
        }
    }
}
