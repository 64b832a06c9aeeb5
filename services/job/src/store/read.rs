//! What callers read: a tenant's jobs and their pages.

use std::{collections::HashMap, time::Duration};

use domain::{JobId, TenantId};
use sea_orm::{EntityTrait, QueryFilter, QueryOrder, QuerySelect, prelude::*};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, row, sql};
use crate::{
    change::Change,
    error::Error,
    job::{Job, State},
    page::Page,
    wire::{JobFilter, PageFilter},
};

/// Ids are made by another clock than times, a moment later.
const CLOCKS: Duration = Duration::from_secs(60);

impl Store {
    /// A job of a tenant.
    pub(crate) async fn job(&self, tenant: TenantId, id: JobId) -> Result<Job, Error> {
        let job = self.any_job(id).await?;
        if job.tenant == tenant { Ok(job) } else { Err(Error::NotFound(id)) }
    }

    /// A job of any tenant, for internal callers.
    pub(crate) async fn any_job(&self, id: JobId) -> Result<Job, Error> {
        let row = row::job::Entity::find_by_id(id.0).one(self.db.read()).await?;
        Job::try_from(row.ok_or(Error::NotFound(id))?)
    }

    /// A tenant's jobs, newest first, after the job `after`.
    pub(crate) async fn jobs(
        &self,
        tenant: TenantId,
        filter: JobFilter,
        after: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<Job>, Error> {
        let mut query = row::job::Entity::find().filter(row::job::Column::Tenant.eq(tenant.0));
        if let Some((name, value)) = &filter.label {
            let ids = self.labelled(tenant, (name, value), &filter, after, limit).await?;
            query = query.filter(row::job::Column::Id.is_in(ids));
        }
        if let Some(schedule) = filter.schedule {
            query = query.filter(row::job::Column::Schedule.eq(schedule.0));
        }
        if let Some(from) = filter.from {
            query = query.filter(row::job::Column::CreateTime.gte(sql::micros(from)));
            query = query.filter(row::job::Column::Id.gte(id_at(from - CLOCKS)));
        }
        if let Some(before) = filter.before {
            query = query.filter(row::job::Column::CreateTime.lt(sql::micros(before)));
            query = query.filter(row::job::Column::Id.lt(id_at(before + CLOCKS)));
        }
        if let Some(state) = filter.state {
            query = query.filter(row::job::Column::State.eq(state.as_str()));
        }
        if let Some(after) = after {
            query = query.filter(row::job::Column::Id.lt(after.0));
        }
        // Ids are in the order of creation.
        let rows = query.order_by_desc(row::job::Column::Id).limit(limit).all(self.db.read()).await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// The ids of the first jobs with a label that the rest of a filter lets through, newest first.
    async fn labelled(
        &self,
        tenant: TenantId,
        (name, value): (&str, &str),
        filter: &JobFilter,
        after: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<Uuid>, Error> {
        let text = "SELECT l.job_id FROM label l JOIN job j ON j.id = l.job_id \
                    WHERE l.tenant = $1 AND l.name = $2 AND l.value = $3 AND l.job_id < $4 \
                    AND j.create_time >= $5 AND j.create_time < $6 AND (j.state = $7 OR $7 = '') \
                    ORDER BY l.job_id DESC LIMIT $8";
        let values = vec![
            tenant.0.into(),
            name.into(),
            value.into(),
            after.map_or(Uuid::max(), |after| after.0).into(),
            filter.from.map_or(i64::MIN, sql::micros).into(),
            filter.before.map_or(i64::MAX, sql::micros).into(),
            filter.state.map_or("", State::as_str).into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = sql::query(self.db.read(), text, values).await?;
        rows.iter().map(|row| Ok(row.try_get_by_index(0)?)).collect()
    }

    /// The ledger of a job in the order of its URLs, after the position `after`; or the pages of its baseline that are gone.
    pub(crate) async fn pages(
        &self,
        job: &Job,
        PageFilter { verdict, state, change }: PageFilter,
        after: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Page>, Error> {
        if change == Some(Change::Removed) {
            return self.removed(job, after, limit).await;
        }
        let mut query = row::page::Entity::find().filter(row::page::Column::JobId.eq(job.id.0));
        if let Some(change) = change {
            query = query.filter(row::page::Column::Change.eq(change.as_str()));
        }
        if let Some(verdict) = verdict {
            query = query.filter(row::page::Column::Verdict.eq(verdict.as_str()));
        }
        if let Some(state) = state {
            query = query.filter(row::page::Column::State.eq(state.as_str()));
        }
        if let Some(after) = after {
            query = query.filter(row::page::Column::Idx.gt(after));
        }
        let rows = query.order_by_asc(row::page::Column::Idx).limit(limit).all(self.db.read()).await?;
        let mut pages = rows.into_iter().map(Page::try_from).collect::<Result<Vec<_>, _>>()?;
        self.tell_parents(&mut pages).await?;
        Ok(pages)
    }

    /// Fills in the URLs of the pages that these were found on.
    async fn tell_parents(&self, pages: &mut [Page]) -> Result<(), Error> {
        let ids: Vec<Uuid> = pages.iter().filter_map(|page| page.found_on.map(|id| id.0)).collect();
        let mut urls: HashMap<Uuid, String> = HashMap::new();
        for piece in sql::pieces(&sql::sorted(&ids)) {
            let text = format!("SELECT id, url FROM page WHERE id IN ({})", sql::row(1, piece.len()));
            let values = piece.iter().map(|id| (*id).into()).collect();
            for row in sql::query(self.db.read(), &text, values).await? {
                urls.insert(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            }
        }
        for page in pages {
            page.found_on_url = page.found_on.and_then(|id| urls.get(&id.0).cloned());
        }
        Ok(())
    }
}

/// The least id that was made at a time (UUID version 7).
fn id_at(time: OffsetDateTime) -> Uuid {
    let millis = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Uuid::from_u128(u128::from(millis) << 80)
}
