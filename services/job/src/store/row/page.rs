//! The table `page`: the ledger, the frontier and the outbox in one.
#![expect(unreachable_pub, reason = "the derive makes public items")]

use domain::{JobId, PageId};
use sea_orm::entity::prelude::*;

use super::{read, read_json};
use crate::{
    error::Error,
    page::Page,
    store::{
        control::HELD,
        sql::{duration, time},
    },
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "page")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub job_id: Uuid,
    pub tenant: Uuid,
    pub idx: i64,
    pub url: String,
    /// NULL for duplicates, so that the first page with a URL is the only one with its key.
    pub url_key: Option<Vec<u8>>,
    pub host: String,
    pub lane: String,
    pub lane_reason: String,
    pub priority: i16,
    pub state: String,
    pub verdict: Option<String>,
    pub detail: String,
    pub http_status: Option<i32>,
    pub attempts: i32,
    pub infra_faults: i32,
    pub crashes: i32,
    pub dispatch_seq: i64,
    pub dispatch_time: Option<i64>,
    pub due_time: Option<i64>,
    pub end_time: Option<i64>,
    pub stored: bool,
    /// Not NULL: a pending page that waits for its host since then.
    pub host_since: Option<i64>,
    pub host_wait: i64,
    pub depth: i32,
    /// Its place in the order of its job: lower is earlier.
    pub rank: i64,
    pub score: Option<f64>,
    pub found_on: Option<Uuid>,
    pub rule: String,
    /// The URL of the seed that it descends from; NULL: its own.
    pub seed: Option<String>,
    pub kind: String,
    pub found_time: Option<i64>,
    pub first_dispatch_time: Option<i64>,
    pub new_links: i64,
    /// Key of its main text.
    pub content_key: Option<Vec<u8>>,
    pub change: Option<String>,
    /// The page of the baseline that it was compared with.
    pub base: Option<Uuid>,
    /// The attempts that did not end it; NULL: none.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub history: Option<Json>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Page {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self, Error> {
        Ok(Self {
            id: PageId(row.id),
            job: JobId(row.job_id),
            idx: row.idx,
            url: row.url,
            state: read(&row.state)?,
            verdict: row.verdict.as_deref().map(read).transpose()?,
            detail: row.detail,
            http_status: row.http_status,
            lane: read(&row.lane)?,
            lane_reason: row.lane_reason,
            attempts: row.attempts,
            infra_faults: row.infra_faults,
            crashes: row.crashes,
            history: row.history.map(read_json).transpose()?.unwrap_or_default(),
            dispatch_time: row.dispatch_time.map(time),
            due_time: row.due_time.filter(|due| *due != HELD).map(time),
            end_time: row.end_time.map(time),
            host_wait: duration(row.host_wait),
            host_since: row.host_since.map(time),
            kind: read(&row.kind)?,
            depth: row.depth,
            found_on: row.found_on.map(PageId),
            found_on_url: None,
            rule: row.rule,
            score: row.score,
            found_time: row.found_time.map(time),
            first_dispatch_time: row.first_dispatch_time.map(time),
            new_links: row.new_links,
            change: row.change.as_deref().map(read).transpose()?,
            base: row.base.map(PageId),
        })
    }
}
