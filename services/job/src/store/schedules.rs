//! Schedules: kept for their tenants, and turned into jobs.
//!
//! Promises: the row of a schedule is held while its job is created, so that each due time has one job, however many processes
//! look; a crash between the two leaves neither.

use std::time::Duration;

use domain::{ScheduleId, TenantId};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    prelude::*,
};
use time::OffsetDateTime;

use super::{Prepared, Store, row, sql, submit};
use crate::{
    error::Error,
    job::{Job, State},
    schedule::{Schedule, Turn},
};

/// Due schedules that one look takes.
const DUE: i64 = 64;
/// A call that lost against another with its request id is made again so often.
const RACES: usize = 3;

/// A schedule to be created.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) schedule: Schedule,
    /// Its request id, and for how long that is remembered.
    pub(crate) request: Option<(String, Duration)>,
    /// Schedules that its tenant may have.
    pub(crate) most: u64,
}

/// A schedule that is asked for a job now.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) tenant: TenantId,
    pub(crate) schedule: ScheduleId,
    /// The request id of the call, and for how long that is remembered.
    pub(crate) request: Option<(String, Duration)>,
}

/// What became of a due time.
#[derive(Debug)]
pub(crate) enum Due {
    /// A job was created.
    Fired(Box<Job>),
    /// The last job has not ended.
    Skipped,
    /// The rules forbid its job, for this reason.
    Refused(String),
}

impl Store {
    /// Keeps a schedule. A request id that was used before returns the first one, or fails if that was another.
    pub(crate) async fn create_schedule(&self, new: &New, now: OffsetDateTime) -> Result<Schedule, Error> {
        self.db.write(async |txn| create(txn, new, now).await).await
    }

    /// A schedule of a tenant.
    pub(crate) async fn schedule(&self, tenant: TenantId, id: ScheduleId) -> Result<Schedule, Error> {
        let row = row::schedule::Entity::find_by_id(id.0).one(self.db.read()).await?;
        own(row, tenant, id)
    }

    /// A tenant's schedules, newest first, after the schedule `after`.
    pub(crate) async fn schedules(
        &self,
        tenant: TenantId,
        after: Option<ScheduleId>,
        limit: u64,
    ) -> Result<Vec<Schedule>, Error> {
        let mut query = row::schedule::Entity::find().filter(row::schedule::Column::Tenant.eq(tenant.0));
        if let Some(after) = after {
            query = query.filter(row::schedule::Column::Id.lt(after.0));
        }
        // Ids are in the order of creation.
        let rows = query.order_by_desc(row::schedule::Column::Id).limit(limit).all(self.db.read()).await?;
        rows.into_iter().map(Schedule::try_from).collect()
    }

    /// Changes a schedule, if it still is of this version.
    pub(crate) async fn change_schedule<F>(
        &self,
        (tenant, id): (TenantId, ScheduleId),
        version: i64,
        change: F,
    ) -> Result<Schedule, Error>
    where
        F: Fn(&mut Schedule) -> Result<(), Error>,
    {
        self.db
            .write(async |txn| {
                let row = row::schedule::Entity::find_by_id(id.0).lock_exclusive().one(txn).await?;
                let mut schedule = own(row, tenant, id)?;
                if schedule.version != version {
                    return Err(Error::ScheduleChanged(id));
                }
                change(&mut schedule)?;
                row::schedule::ActiveModel::from(&schedule).update(txn).await?;
                Ok(schedule)
            })
            .await
    }

    /// Deletes a schedule; its jobs stay.
    pub(crate) async fn delete_schedule(&self, tenant: TenantId, id: ScheduleId) -> Result<(), Error> {
        let text = "DELETE FROM schedule WHERE id = $1 AND tenant = $2";
        let values = || vec![id.0.into(), tenant.0.into()];
        let deleted = self
            .db
            .write(async |txn| Ok::<_, Error>(sql::execute(txn, text, values()).await?.rows_affected()))
            .await?;
        if deleted == 0 { Err(Error::NoSchedule(id)) } else { Ok(()) }
    }

    /// Schedules whose time has come, those first that wait longest.
    pub(crate) async fn due_schedules(&self, now: OffsetDateTime) -> Result<Vec<ScheduleId>, Error> {
        let text = "SELECT id FROM schedule WHERE next_time IS NOT NULL AND next_time <= $1 ORDER BY next_time LIMIT $2";
        let rows = sql::query(self.db.read(), text, vec![sql::micros(now).into(), DUE.into()]).await?;
        rows.iter().map(|row| Ok(ScheduleId(row.try_get_by_index(0)?))).collect()
    }

    /// When the next schedule is due.
    pub(crate) async fn next_schedule(&self) -> Result<Option<OffsetDateTime>, Error> {
        let text = "SELECT next_time FROM schedule WHERE next_time IS NOT NULL ORDER BY next_time LIMIT 1";
        let rows = sql::query(self.db.read(), text, vec![]).await?;
        let next: Option<i64> = rows.first().map(|row| row.try_get_by_index(0)).transpose()?;
        Ok(next.map(sql::time))
    }

    /// Does what the time of a schedule asks for, with the job that `prepare` makes of the schedule and of its last success. None: its time has not come, or another
    /// process was first.
    pub(crate) async fn run_schedule<F>(
        &self,
        id: ScheduleId,
        now: OffsetDateTime,
        prepare: F,
    ) -> Result<Option<Due>, Error>
    where
        F: Fn(&Schedule, Option<&Job>) -> Result<Prepared, String>,
    {
        self.db
            .write(async |txn| {
                let row = row::schedule::Entity::find_by_id(id.0).lock_exclusive().one(txn).await?;
                let Some(row) = row else { return Ok(None) };
                let mut schedule = Schedule::try_from(row)?;
                let Some(turn) = schedule.turn(now, busy(txn, &schedule).await?) else { return Ok(None) };
                let due = take(txn, &mut schedule, turn, &prepare).await?;
                schedule.advance(now);
                row::schedule::ActiveModel::from(&schedule).update(txn).await?;
                Ok(Some(due))
            })
            .await
    }
}

impl Store {
    /// Creates a job of a schedule beside its times, with what `prepare` makes of the schedule and of its last success; and says
    /// whether it is new. A request id that was used before returns the first one.
    pub(crate) async fn run_asked<F>(
        &self,
        asked: &Asked,
        now: OffsetDateTime,
        prepare: F,
    ) -> Result<(Job, bool), Error>
    where
        F: Fn(&Schedule, Option<&Job>) -> Result<Prepared, String>,
    {
        for race in 1.. {
            match self.db.write(async |txn| run_asked(txn, asked, now, &prepare).await).await {
                // Another call with this request id committed first: its job is there now.
                Err(Error::Store(error)) if race < RACES && store::is_unique_violation(&error) => {}
                done => return done,
            }
        }
        unreachable!("the loop ends with its last race")
    }
}

async fn run_asked(
    txn: &DatabaseTransaction,
    asked: &Asked,
    now: OffsetDateTime,
    prepare: impl Fn(&Schedule, Option<&Job>) -> Result<Prepared, String>,
) -> Result<(Job, bool), Error> {
    let id = asked.schedule;
    let row = row::schedule::Entity::find_by_id(id.0).lock_exclusive().one(txn).await?;
    let mut schedule = own(row, asked.tenant, id)?;
    if let Some((request_id, memory)) = &asked.request
        && let Some(first) = asked_before(txn, asked, request_id, now - *memory).await?
    {
        return Ok((first, false));
    }
    if schedule.asked(busy(txn, &schedule).await?) == Turn::Skip {
        return Err(Error::ScheduleBusy(id));
    }
    let last = last_success(txn, &schedule).await?;
    let prepared = prepare(&schedule, last.as_ref()).map_err(Error::ScheduleRefused)?;
    let job = submit::accept_one(txn, &prepared).await?;
    schedule.created(job.id);
    row::schedule::ActiveModel::from(&schedule).update(txn).await?;
    Ok((job, true))
}

/// The job of an earlier call with this request id. A job that a schedule created by itself has none.
async fn asked_before(
    txn: &DatabaseTransaction,
    asked: &Asked,
    request_id: &str,
    since: OffsetDateTime,
) -> Result<Option<Job>, Error> {
    let found = row::job::Entity::find()
        .filter(row::job::Column::Tenant.eq(asked.tenant.0))
        .filter(row::job::Column::RequestId.eq(request_id))
        .one(txn)
        .await?;
    let Some(row) = found.filter(|row| sql::time(row.create_time) > since) else { return Ok(None) };
    let job = Job::try_from(row)?;
    if job.schedule == Some(asked.schedule) { Ok(Some(job)) } else { Err(Error::RequestIdReused(job.id)) }
}

fn own(row: Option<row::schedule::Model>, tenant: TenantId, id: ScheduleId) -> Result<Schedule, Error> {
    let row = row.filter(|row| row.tenant == tenant.0).ok_or(Error::NoSchedule(id))?;
    Schedule::try_from(row)
}

async fn create(txn: &DatabaseTransaction, new: &New, now: OffsetDateTime) -> Result<Schedule, Error> {
    let schedule = &new.schedule;
    let tenant = schedule.tenant;
    if txn.get_database_backend() == DbBackend::Postgres {
        // Two at a time would count the same schedules, and find the same request id unused. SQLite has one writer.
        let key = tenant.0.as_u64_pair().1.cast_signed();
        sql::execute(txn, "SELECT pg_advisory_xact_lock($1)", vec![key.into()]).await?;
    }
    let hash = schedule.plan.hash();
    if let Some((request_id, memory)) = &new.request
        && let Some(first) = first_of(txn, tenant, request_id, hash, now - *memory).await?
    {
        return Ok(first);
    }
    let count = row::schedule::Entity::find().filter(row::schedule::Column::Tenant.eq(tenant.0)).count(txn);
    let count = count.await?;
    if count >= new.most {
        return Err(Error::TooManySchedules(count));
    }
    let request_id = new.request.as_ref().map(|(id, _)| id.clone());
    let row = row::schedule::ActiveModel {
        request_hash: Set(request_id.is_some().then(|| hash.to_vec())),
        request_id: Set(request_id),
        ..schedule.into()
    };
    row.insert(txn).await?;
    Ok(schedule.clone())
}

/// The schedule of an earlier call with this request id, unless that is older than `since`.
async fn first_of(
    txn: &DatabaseTransaction,
    tenant: TenantId,
    request_id: &str,
    hash: [u8; 32],
    since: OffsetDateTime,
) -> Result<Option<Schedule>, Error> {
    let found = row::schedule::Entity::find()
        .filter(row::schedule::Column::Tenant.eq(tenant.0))
        .filter(row::schedule::Column::RequestId.eq(request_id))
        .one(txn)
        .await?;
    let Some(row) = found else { return Ok(None) };
    if sql::time(row.create_time) <= since {
        let clear = "UPDATE schedule SET request_id = NULL, request_hash = NULL WHERE id = $1";
        sql::execute(txn, clear, vec![row.id.into()]).await?;
        return Ok(None);
    }
    if row.request_hash.as_deref() != Some(hash.as_slice()) {
        return Err(Error::ScheduleIdReused(ScheduleId(row.id)));
    }
    Schedule::try_from(row).map(Some)
}

/// The last job of a schedule that succeeded, where its jobs are compared.
async fn last_success(txn: &DatabaseTransaction, schedule: &Schedule) -> Result<Option<Job>, Error> {
    if !schedule.plan.track_changes {
        return Ok(None);
    }
    let row = row::job::Entity::find()
        .filter(row::job::Column::Schedule.eq(schedule.id.0))
        .filter(row::job::Column::State.eq(State::Succeeded.as_str()))
        .order_by_desc(row::job::Column::Id)
        .one(txn)
        .await?;
    row.map(Job::try_from).transpose()
}

/// Whether the last job of a schedule has not ended.
async fn busy(txn: &DatabaseTransaction, schedule: &Schedule) -> Result<bool, Error> {
    let Some(job) = schedule.last_job else { return Ok(false) };
    let rows = sql::query(txn, "SELECT state FROM job WHERE id = $1", vec![job.0.into()]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    let state: State = row::read(&row.try_get_by_index::<String>(0)?)?;
    Ok(!state.terminal())
}

async fn take(
    txn: &DatabaseTransaction,
    schedule: &mut Schedule,
    turn: Turn,
    prepare: impl Fn(&Schedule, Option<&Job>) -> Result<Prepared, String>,
) -> Result<Due, Error> {
    if turn == Turn::Skip {
        schedule.skipped += 1;
        return Ok(Due::Skipped);
    }
    let last = last_success(txn, schedule).await?;
    match prepare(schedule, last.as_ref()) {
        Ok(prepared) => {
            let job = submit::accept_one(txn, &prepared).await?;
            schedule.fire(job.id);
            Ok(Due::Fired(Box::new(job)))
        }
        Err(why) => {
            schedule.last_error = Some(why.clone());
            Ok(Due::Refused(why))
        }
    }
}
