//! The frontier: which pages are next. Walks from tenant to tenant and from job to job through the index, however many pages
//! each has.

use std::collections::HashMap;

use domain::{JobId, Lane, Priority, TenantId};
use uuid::Uuid;

use super::{
    Picked, Store,
    dispatch::{FRONTIER, picked},
    row, sql,
};
use crate::{error::Error, fair::in_turns};

/// Jobs of a tenant that share one turn.
const JOBS: usize = 64;
/// Tenants whose last job is remembered; beyond that, all begin anew.
const REMEMBERED: usize = 10_000;

/// The job of each tenant that was served last, by lane and priority.
#[derive(Debug, Default)]
pub(crate) struct Turns(HashMap<(Lane, TenantId, Priority), JobId>);

impl Turns {
    fn served(&mut self, key: (Lane, TenantId, Priority), job: JobId) {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(key, job);
    }
}

impl Store {
    /// Pages of a lane that the queue holds, by tenant.
    pub(crate) async fn out_by_tenant(&self, lane: Lane) -> Result<HashMap<TenantId, usize>, Error> {
        let text = "SELECT tenant, COUNT(*) FROM page WHERE state = 'running' AND lane = $1 GROUP BY tenant";
        let rows = sql::query(self.db.read(), text, vec![lane.as_str().into()]).await?;
        rows.iter()
            .map(|row| {
                let count: i64 = row.try_get_by_index(1)?;
                Ok((TenantId(row.try_get_by_index(0)?), usize::try_from(count).unwrap_or(usize::MAX)))
            })
            .collect()
    }

    /// Tenants with pages in the frontier of a lane, in the order of their ids from the one after `after` on, at most
    /// `limit`. Walks from tenant to tenant through the index, however many pages each has.
    pub(crate) async fn waiting_tenants(
        &self,
        lane: Lane,
        after: Option<TenantId>,
        limit: u64,
    ) -> Result<Vec<TenantId>, Error> {
        let text = format!(
            "WITH RECURSIVE t(tenant) AS (
               SELECT (SELECT tenant FROM page WHERE {FRONTIER} AND lane = $1 AND tenant > $2 ORDER BY tenant LIMIT 1)
               UNION ALL
               SELECT (SELECT p.tenant FROM page p
                       WHERE p.state = 'pending' AND p.due_time IS NULL AND p.host_since IS NULL
                       AND p.lane = $1 AND p.tenant > t.tenant
                       ORDER BY p.tenant LIMIT 1)
               FROM t WHERE t.tenant IS NOT NULL)
             SELECT tenant FROM t WHERE tenant IS NOT NULL LIMIT $3"
        );
        let after = after.map_or(Uuid::nil(), |tenant| tenant.0);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![lane.as_str().into(), after.into(), limit.into()];
        let rows = sql::query(self.db.read(), &text, values).await?;
        rows.iter().map(|row| Ok(TenantId(row.try_get_by_index(0)?))).collect()
    }

    /// The next pages of a tenant in the frontier of a lane, at most `room`: by priority, and there its jobs in turn, from
    /// the one after the job served last; within a job in its order.
    pub(crate) async fn pick(
        &self,
        lane: Lane,
        tenant: TenantId,
        room: usize,
        turns: &mut Turns,
    ) -> Result<Vec<Picked>, Error> {
        let mut pages = Vec::new();
        for &priority in Priority::ALL {
            let room = room - pages.len();
            if room == 0 {
                break;
            }
            let key = (lane, tenant, priority);
            let found = self.pick_level(key, room, turns.0.get(&key).copied()).await?;
            if let Some(last) = found.last() {
                turns.served(key, last.job);
            }
            pages.extend(found);
        }
        Ok(pages)
    }

    async fn pick_level(
        &self,
        key: (Lane, TenantId, Priority),
        room: usize,
        served: Option<JobId>,
    ) -> Result<Vec<Picked>, Error> {
        let limit = room.min(JOBS);
        let mut first = self.jobs_in_turn(key, served, limit).await?;
        if first.len() < limit
            && let Some(served) = served
        {
            let begin = self.jobs_in_turn(key, None, limit - first.len()).await?;
            first.extend(begin.into_iter().take_while(|page| page.job <= served));
        }
        let share = room.div_ceil(first.len().max(1));
        if share <= 1 {
            return Ok(first);
        }
        let mut lists = Vec::with_capacity(first.len());
        for page in &first {
            lists.push(self.pages_of(key, page.job, share).await?);
        }
        Ok(in_turns(lists, room))
    }

    /// The first page of each job with pages in the frontier, in the order of the jobs' ids from the one after `after` on.
    async fn jobs_in_turn(
        &self,
        (lane, tenant, priority): (Lane, TenantId, Priority),
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Picked>, Error> {
        let next = |after: &str, order: &str, what: &str| {
            format!(
                "(SELECT q.{what} FROM page q WHERE q.state = 'pending' AND q.due_time IS NULL AND q.host_since IS NULL \
                 AND q.lane = $1 AND q.tenant = $2 AND q.priority = $3 AND q.job_id {after} ORDER BY {order} LIMIT 1)"
            )
        };
        // SQLite keeps the order of a CROSS JOIN. Of another one it might walk over all pages: it does not know the limit.
        let text = format!(
            "WITH RECURSIVE j(job) AS (SELECT {} UNION ALL SELECT {} FROM j WHERE j.job IS NOT NULL) \
             SELECT p.id, p.job_id, p.tenant, p.host FROM \
             (SELECT {} AS page FROM j WHERE j.job IS NOT NULL LIMIT $5) f \
             CROSS JOIN page p WHERE p.id = f.page ORDER BY p.job_id",
            next("> $4", "q.job_id", "job_id"),
            next("> j.job", "q.job_id", "job_id"),
            next("= j.job", "q.rank, q.idx", "id")
        );
        let after = after.map_or(Uuid::nil(), |job| job.0);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![
            lane.as_str().into(),
            tenant.0.into(),
            row::rank(priority).into(),
            after.into(),
            limit.into(),
        ];
        let rows = sql::query(self.db.read(), &text, values).await?;
        rows.iter().map(|row| Ok(Picked { parked: false, ..picked(row)? })).collect()
    }

    /// The first pages of a job.
    async fn pages_of(
        &self,
        (lane, tenant, priority): (Lane, TenantId, Priority),
        job: JobId,
        limit: usize,
    ) -> Result<Vec<Picked>, Error> {
        let text = format!(
            "SELECT id, job_id, tenant, host FROM page WHERE {FRONTIER} AND lane = $1 AND tenant = $2 AND priority = $3 \
             AND job_id = $4 ORDER BY rank, idx LIMIT $5"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![
            lane.as_str().into(),
            tenant.0.into(),
            row::rank(priority).into(),
            job.0.into(),
            limit.into(),
        ];
        let rows = sql::query(self.db.read(), &text, values).await?;
        rows.iter().map(|row| Ok(Picked { parked: false, ..picked(row)? })).collect()
    }
}
