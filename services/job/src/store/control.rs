//! What owners do with their jobs: cancel, pause, resume, retry, priority; and the end of a job's time.
//!
//! A job may have 100 000 pages, and one transaction must not take long: what has to be done to pages is done when they are
//! met, or in pieces by [`Store::align`], which goes on where a crash ended it.

use domain::{JobId, Outcome, Priority, TenantId, Verdict};
use sea_orm::{DatabaseTransaction, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Picked, Store, history, lock, log, row, settle, sql};
use crate::{
    error::Error,
    event::Event,
    job::{Job, State},
};

/// A `due_time` that never comes: the page is put aside.
pub(super) const HELD: i64 = i64::MAX;
/// Pages that one transaction changes.
const PIECE: usize = 2000;
/// Jobs whose time is up that one look ends.
const EXPIRED: i64 = 16;

impl Store {
    /// Cancels a job with every page that has no verdict. Returns the job, and whether this call cancelled it.
    pub(crate) async fn cancel(
        &self,
        tenant: TenantId,
        id: JobId,
        now: OffsetDateTime,
    ) -> Result<(Job, bool), Error> {
        self.db
            .write(async |txn| {
                let (job, changed) = change(txn, tenant, id, |job| job.cancel(now)).await?;
                if changed {
                    settle::end_pages(txn, id, Verdict::Cancelled, "", now).await?;
                }
                Ok((job, changed))
            })
            .await
    }

    /// Pauses a job. Returns it, and whether this call paused it.
    pub(crate) async fn pause(
        &self,
        tenant: TenantId,
        id: JobId,
        now: OffsetDateTime,
    ) -> Result<(Job, bool), Error> {
        self.db.write(async |txn| change(txn, tenant, id, |job| job.pause(now)).await).await
    }

    /// Resumes a job. Returns it, and whether this call resumed it.
    pub(crate) async fn resume(
        &self,
        tenant: TenantId,
        id: JobId,
        now: OffsetDateTime,
    ) -> Result<(Job, bool), Error> {
        self.db
            .write(async |txn| {
                let (job, changed) = change(txn, tenant, id, |job| job.resume(now)).await?;
                if changed {
                    stale(txn, id).await?;
                }
                Ok((job, changed))
            })
            .await
    }

    /// Changes what of a job goes first.
    pub(crate) async fn prioritize(
        &self,
        tenant: TenantId,
        id: JobId,
        priority: Priority,
    ) -> Result<Job, Error> {
        let text = "UPDATE job SET priority = $1 WHERE id = $2";
        self.db
            .write(async |txn| {
                let mut job = own(txn, tenant, id).await?;
                if job.prioritize(priority)? {
                    sql::execute(txn, text, vec![row::rank(priority).into(), id.0.into()]).await?;
                    stale(txn, id).await?;
                }
                Ok(job)
            })
            .await
    }

    /// Tries the pages of a job again that have failed by now. Returns the job, and how many pages; none if it has ended.
    pub(crate) async fn retry(
        &self,
        tenant: TenantId,
        id: JobId,
        now: OffsetDateTime,
    ) -> Result<(Job, usize), Error> {
        let mut pages = 0;
        loop {
            let (job, piece) =
                self.db.write(async |txn| retry(txn, tenant, id, self.max_history, now).await).await?;
            pages += piece;
            if piece < PIECE {
                return Ok((job, pages));
            }
        }
    }

    /// The URLs of the pages of a job that have failed, in their order, at most `limit`.
    pub(crate) async fn failed_urls(&self, id: JobId, limit: usize) -> Result<Vec<String>, Error> {
        let text = format!(
            "SELECT url FROM page WHERE job_id = $1 AND kind = 'page' AND verdict IN ({}) ORDER BY idx LIMIT $2",
            sql::row(3, failures().len())
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [id.0.into(), limit.into()].into_iter().chain(failures()).collect();
        let rows = sql::query(self.db.read(), &text, values).await?;
        rows.iter().map(|row| Ok(row.try_get_by_index(0)?)).collect()
    }

    /// Lets some pages of a job that was changed follow it. Returns whether there may be more to do.
    pub(crate) async fn align(&self) -> Result<bool, Error> {
        let rows = sql::query(self.db.read(), "SELECT id FROM job WHERE stale LIMIT 1", vec![]).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let id: Uuid = row.try_get_by_index(0)?;
        self.db.write(async |txn| align(txn, id).await).await?;
        Ok(true)
    }

    /// Ends jobs whose time is up. Returns them.
    pub(crate) async fn expire(&self, now: OffsetDateTime) -> Result<Vec<Job>, Error> {
        let text =
            "SELECT id FROM job WHERE deadline IS NOT NULL AND end_time IS NULL AND deadline <= $1 LIMIT $2";
        let rows = sql::query(self.db.read(), text, vec![sql::micros(now).into(), EXPIRED.into()]).await?;
        let mut ended = Vec::new();
        for row in rows {
            let id: Uuid = row.try_get_by_index(0)?;
            let job = self.db.write(async |txn| expire(txn, id, now).await).await?;
            ended.extend(job);
        }
        Ok(ended)
    }

    /// When the time of the next job is up.
    pub(crate) async fn next_deadline(&self) -> Result<Option<OffsetDateTime>, Error> {
        let text = "SELECT deadline FROM job WHERE deadline IS NOT NULL AND end_time IS NULL ORDER BY deadline LIMIT 1";
        let rows = sql::query(self.db.read(), text, vec![]).await?;
        let next: Option<i64> = rows.first().map(|row| row.try_get_by_index(0)).transpose()?;
        Ok(next.map(sql::time))
    }
}

/// Locks a job of a tenant.
async fn own(txn: &DatabaseTransaction, tenant: TenantId, id: JobId) -> Result<Job, Error> {
    let job = lock(txn, &[id.0]).await?.pop().ok_or(Error::NotFound(id))?;
    if job.tenant == tenant { Ok(job) } else { Err(Error::NotFound(id)) }
}

/// Does to a job of the tenant's what its rules allow. Returns it, and whether anything changed.
async fn change(
    txn: &DatabaseTransaction,
    tenant: TenantId,
    id: JobId,
    act: impl FnOnce(&mut Job) -> Result<Option<Event>, Error>,
) -> Result<(Job, bool), Error> {
    let mut job = own(txn, tenant, id).await?;
    let Some(event) = act(&mut job)? else { return Ok((job, false)) };
    save(txn, &job, event).await?;
    Ok((job, true))
}

async fn save(txn: &DatabaseTransaction, job: &Job, event: Event) -> Result<(), Error> {
    settle::save(txn, &[job]).await?;
    log::append(txn, vec![event]).await
}

async fn stale(txn: &DatabaseTransaction, id: JobId) -> Result<(), Error> {
    sql::execute(txn, "UPDATE job SET stale = $1 WHERE id = $2", vec![true.into(), id.0.into()]).await?;
    Ok(())
}

/// Puts pages of paused jobs aside.
pub(super) async fn hold(
    txn: &DatabaseTransaction,
    pages: &[&Picked],
    now: OffsetDateTime,
) -> Result<(), Error> {
    for piece in sql::pieces(pages) {
        let text = format!(
            "UPDATE page SET due_time = $1, host_wait = host_wait + COALESCE($2 - host_since, 0), host_since = NULL \
             WHERE state = 'pending' AND id IN ({})",
            sql::row(3, piece.len())
        );
        let times = [HELD.into(), sql::micros(now).into()];
        let ids = piece.iter().map(|picked| picked.page.0.into());
        sql::execute(txn, &text, times.into_iter().chain(ids).collect()).await?;
    }
    Ok(())
}

async fn retry(
    txn: &DatabaseTransaction,
    tenant: TenantId,
    id: JobId,
    max_history: usize,
    now: OffsetDateTime,
) -> Result<(Job, usize), Error> {
    let mut job = own(txn, tenant, id).await?;
    if job.state.terminal() {
        return Ok((job, 0));
    }
    let text = format!(
        "SELECT id, verdict FROM page WHERE job_id = $1 AND end_time <= $2 AND verdict IN ({}) ORDER BY idx LIMIT $3",
        sql::row(4, failures().len())
    );
    let limit = i64::try_from(PIECE).unwrap_or(i64::MAX);
    let values = [id.0.into(), sql::micros(now).into(), limit.into()];
    let rows = sql::query(txn, &text, values.into_iter().chain(failures()).collect()).await?;
    let mut pages: Vec<Uuid> = Vec::with_capacity(rows.len());
    for row in &rows {
        let verdict: String = row.try_get_by_index(1)?;
        job.retry(row::read(&verdict)?, 1);
        pages.push(row.try_get_by_index(0)?);
    }
    let histories = history::with_last(txn, &pages, None, max_history, now).await?;
    let histories: Vec<(Uuid, Value)> = histories.into_iter().collect();
    for piece in sql::pieces(&histories) {
        let text = format!(
            "UPDATE page SET state = 'pending', verdict = NULL, detail = '', http_status = NULL, attempts = 0, \
             infra_faults = 0, crashes = 0, due_time = NULL, end_time = NULL, history = v.column2 \
             FROM (VALUES {}) AS v WHERE page.id = v.column1",
            sql::rows(1, piece.len(), 2)
        );
        let values = piece.iter().flat_map(|(id, history)| [(*id).into(), history.clone()]).collect();
        sql::execute(txn, &text, values).await?;
    }
    settle::save(txn, &[&job]).await?;
    Ok((job, pages.len()))
}

async fn align(txn: &DatabaseTransaction, id: Uuid) -> Result<(), Error> {
    let Some(job) = lock(txn, &[id]).await?.pop() else { return Ok(()) };
    let released = if job.state == State::Paused { HELD - 1 } else { HELD };
    let text = "UPDATE page SET priority = $1, due_time = CASE WHEN due_time = $2 THEN NULL ELSE due_time END WHERE id IN \
                (SELECT id FROM page WHERE job_id = $3 AND state = 'pending' AND (priority <> $1 OR due_time = $2) LIMIT $4)";
    let limit = i64::try_from(PIECE).unwrap_or(i64::MAX);
    let values = vec![row::rank(job.priority).into(), released.into(), id.into(), limit.into()];
    let changed = sql::execute(txn, text, values).await?.rows_affected();
    if usize::try_from(changed).is_ok_and(|changed| changed < PIECE) {
        sql::execute(txn, "UPDATE job SET stale = $1 WHERE id = $2", vec![false.into(), id.into()]).await?;
    }
    Ok(())
}

async fn expire(txn: &DatabaseTransaction, id: Uuid, now: OffsetDateTime) -> Result<Option<Job>, Error> {
    let Some(mut job) = lock(txn, &[id]).await?.pop() else { return Ok(None) };
    let Some(event) = job.expire(now) else { return Ok(None) };
    settle::end_pages(txn, job.id, Verdict::Budget, "the job's max_duration was over", now).await?;
    save(txn, &job, event).await?;
    Ok(Some(job))
}

/// The verdicts of failed pages.
fn failures() -> Vec<Value> {
    let failed = Verdict::ALL.iter().filter(|verdict| verdict.outcome() == Outcome::Failed);
    failed.map(|verdict| verdict.as_str().into()).collect()
}
