//! The table `event`: the log of all jobs.
#![expect(unreachable_pub, reason = "the derive makes public items")]

use domain::{JobId, TenantId};
use sea_orm::{NotSet, Set, entity::prelude::*};

use super::{json, read, read_json};
use crate::{
    error::Error,
    event::Event,
    store::sql::{micros, time},
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub cursor: i64,
    pub job_id: Uuid,
    pub tenant: Uuid,
    pub sequence: i64,
    #[sea_orm(column_name = "type")]
    pub event_type: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub snapshot: Json,
    pub has_webhook: bool,
    pub time: i64,
    pub traceparent: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Event {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self, Error> {
        Ok(Self {
            job: JobId(row.job_id),
            tenant: TenantId(row.tenant),
            sequence: row.sequence,
            event_type: read(&row.event_type)?,
            time: time(row.time),
            has_webhook: row.has_webhook,
            traceparent: row.traceparent,
            snapshot: read_json(row.snapshot)?,
        })
    }
}

impl From<Event> for ActiveModel {
    fn from(event: Event) -> Self {
        Self {
            cursor: NotSet,
            job_id: Set(event.job.0),
            tenant: Set(event.tenant.0),
            sequence: Set(event.sequence),
            event_type: Set(event.event_type.as_str().to_owned()),
            snapshot: Set(json(&event.snapshot)),
            has_webhook: Set(event.has_webhook),
            time: Set(micros(event.time)),
            traceparent: Set(event.traceparent),
        }
    }
}
