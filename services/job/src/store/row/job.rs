//! The table `job`.
#![expect(unreachable_pub, reason = "the derive makes public items")]

use domain::{JobId, ScheduleId, TenantId};
use sea_orm::{Set, entity::prelude::*};

use super::{json, priority, rank, read, read_json};
use crate::{
    error::Error,
    job::{Counts, Job},
    store::sql::{micros, time},
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "job")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub tenant: Uuid,
    pub state: String,
    pub priority: i16,
    #[sea_orm(column_type = "JsonBinary")]
    pub spec: Json,
    pub spec_version: i32,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub webhook: Option<Json>,
    #[sea_orm(column_type = "JsonBinary")]
    pub labels: Json,
    #[sea_orm(column_type = "JsonBinary")]
    pub first_urls: Json,
    pub found: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub skipped: i64,
    pub cancelled: i64,
    pub pending: i64,
    pub running: i64,
    #[sea_orm(column_type = "JsonBinary")]
    pub verdicts: Json,
    pub event_sequence: i64,
    pub traceparent: Option<String>,
    pub request_id: Option<String>,
    pub request_hash: Option<Vec<u8>>,
    pub create_time: i64,
    pub start_time: Option<i64>,
    pub end_time: Option<i64>,
    pub progress_time: Option<i64>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub discovery: Option<Json>,
    pub deadline: Option<i64>,
    pub retry_of: Option<Uuid>,
    pub schedule: Option<Uuid>,
    pub baseline: Option<Uuid>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub changes: Option<Json>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Job {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self, Error> {
        Ok(Self {
            id: JobId(row.id),
            tenant: TenantId(row.tenant),
            state: read(&row.state)?,
            priority: priority(row.priority)?,
            spec: read_json(row.spec)?,
            spec_version: row.spec_version,
            webhook: row.webhook.map(read_json).transpose()?,
            labels: read_json(row.labels)?,
            first_urls: read_json(row.first_urls)?,
            counts: Counts {
                found: row.found,
                succeeded: row.succeeded,
                failed: row.failed,
                skipped: row.skipped,
                cancelled: row.cancelled,
                pending: row.pending,
                running: row.running,
            },
            verdicts: read_json(row.verdicts)?,
            discovered: row.discovery.map(read_json).transpose()?.unwrap_or_default(),
            event_sequence: row.event_sequence,
            traceparent: row.traceparent,
            create_time: time(row.create_time),
            start_time: row.start_time.map(time),
            end_time: row.end_time.map(time),
            progress_time: row.progress_time.map(time),
            deadline: row.deadline.map(time),
            retry_of: row.retry_of.map(JobId),
            schedule: row.schedule.map(ScheduleId),
            baseline: row.baseline.map(JobId),
            changes: row.changes.map(read_json).transpose()?,
        })
    }
}

/// A new row.
pub(in crate::store) fn insert(job: &Job, request: Option<(&str, [u8; 32])>) -> ActiveModel {
    ActiveModel {
        id: Set(job.id.0),
        tenant: Set(job.tenant.0),
        state: Set(job.state.as_str().to_owned()),
        priority: Set(rank(job.priority)),
        spec: Set(json(&job.spec)),
        spec_version: Set(job.spec_version),
        webhook: Set(job.webhook.as_ref().map(json)),
        labels: Set(json(&job.labels)),
        first_urls: Set(json(&job.first_urls)),
        found: Set(job.counts.found),
        succeeded: Set(job.counts.succeeded),
        failed: Set(job.counts.failed),
        skipped: Set(job.counts.skipped),
        cancelled: Set(job.counts.cancelled),
        pending: Set(job.counts.pending),
        running: Set(job.counts.running),
        verdicts: Set(json(&job.verdicts)),
        event_sequence: Set(job.event_sequence),
        traceparent: Set(job.traceparent.clone()),
        request_id: Set(request.map(|(id, _)| id.to_owned())),
        request_hash: Set(request.map(|(_, hash)| hash.to_vec())),
        create_time: Set(micros(job.create_time)),
        start_time: Set(job.start_time.map(micros)),
        end_time: Set(job.end_time.map(micros)),
        progress_time: Set(job.progress_time.map(micros)),
        discovery: Set(job.spec.follow.is_some().then(|| json(&job.discovered))),
        deadline: Set(job.deadline.map(micros)),
        retry_of: Set(job.retry_of.map(|job| job.0)),
        schedule: Set(job.schedule.map(|schedule| schedule.0)),
        baseline: Set(job.baseline.map(|job| job.0)),
        changes: Set(job.changes.as_ref().map(json)),
    }
}
