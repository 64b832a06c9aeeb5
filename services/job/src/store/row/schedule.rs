//! The table `schedule`.
#![expect(unreachable_pub, reason = "the derive makes public items")]

use domain::{JobId, ScheduleId, TenantId};
use sea_orm::{NotSet, Set, entity::prelude::*};

use super::{json, read, read_json};
use crate::{
    error::Error,
    schedule::{Plan, Schedule, Timing},
    store::sql::{duration, micros, span, time},
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub tenant: Uuid,
    pub cron: Option<String>,
    pub time_zone: Option<String>,
    pub every: Option<i64>,
    #[sea_orm(column_type = "JsonBinary")]
    pub job: Json,
    #[sea_orm(column_type = "JsonBinary")]
    pub labels: Json,
    pub overlap: String,
    pub paused: bool,
    pub track_changes: bool,
    pub next_time: Option<i64>,
    pub last_time: Option<i64>,
    pub last_job: Option<Uuid>,
    pub last_error: Option<String>,
    pub fired: i64,
    pub skipped: i64,
    pub request_id: Option<String>,
    pub request_hash: Option<Vec<u8>>,
    pub create_time: i64,
    pub update_time: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Schedule {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self, Error> {
        let timing = match (row.cron, row.time_zone, row.every) {
            (Some(expression), Some(time_zone), None) => Timing::Cron { expression, time_zone },
            (None, None, Some(every)) => Timing::Every(duration(every)),
            _ => return Err(Error::Row(format!("the times of schedule {} are unknown", row.id))),
        };
        Ok(Self {
            id: ScheduleId(row.id),
            tenant: TenantId(row.tenant),
            plan: Plan {
                timing,
                job: read_json(row.job)?,
                labels: read_json(row.labels)?,
                overlap: read(&row.overlap)?,
                paused: row.paused,
                track_changes: row.track_changes,
            },
            next_time: row.next_time.map(time),
            last_time: row.last_time.map(time),
            last_job: row.last_job.map(JobId),
            last_error: row.last_error,
            fired: row.fired,
            skipped: row.skipped,
            create_time: time(row.create_time),
            update_time: time(row.update_time),
            version: row.version,
        })
    }
}

/// All of a schedule but its request id.
impl From<&Schedule> for ActiveModel {
    fn from(schedule: &Schedule) -> Self {
        let plan = &schedule.plan;
        let (cron, time_zone, every) = match &plan.timing {
            Timing::Cron { expression, time_zone } => {
                (Some(expression.clone()), Some(time_zone.clone()), None)
            }
            Timing::Every(interval) => (None, None, Some(span(*interval))),
        };
        Self {
            id: Set(schedule.id.0),
            tenant: Set(schedule.tenant.0),
            cron: Set(cron),
            time_zone: Set(time_zone),
            every: Set(every),
            job: Set(json(&plan.job)),
            labels: Set(json(&plan.labels)),
            overlap: Set(plan.overlap.as_str().to_owned()),
            paused: Set(plan.paused),
            track_changes: Set(plan.track_changes),
            next_time: Set(schedule.next_time.map(micros)),
            last_time: Set(schedule.last_time.map(micros)),
            last_job: Set(schedule.last_job.map(|job| job.0)),
            last_error: Set(schedule.last_error.clone()),
            fired: Set(schedule.fired),
            skipped: Set(schedule.skipped),
            request_id: NotSet,
            request_hash: NotSet,
            create_time: Set(micros(schedule.create_time)),
            update_time: Set(micros(schedule.update_time)),
            version: Set(schedule.version),
        }
    }
}
