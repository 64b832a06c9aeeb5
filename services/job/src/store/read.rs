//! What callers read: a tenant's jobs and their pages.

use std::collections::HashMap;

use domain::{JobId, TenantId, Verdict};
use sea_orm::{EntityTrait, QueryFilter, QueryOrder, QuerySelect, prelude::*};

use super::{Store, row, sql};
use crate::{
    error::Error,
    job::{Job, State},
    page::{self, Page},
};

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
        state: Option<State>,
        after: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<Job>, Error> {
        let mut query = row::job::Entity::find().filter(row::job::Column::Tenant.eq(tenant.0));
        if let Some(state) = state {
            query = query.filter(row::job::Column::State.eq(state.as_str()));
        }
        if let Some(after) = after {
            query = query.filter(row::job::Column::Id.lt(after.0));
        }
        // Ids are in the order of creation.
        let rows = query.order_by_desc(row::job::Column::Id).limit(limit).all(self.db.read()).await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// The ledger of a job in the order of its URLs, after the position `after`.
    pub(crate) async fn pages(
        &self,
        job: JobId,
        (verdict, state): (Option<Verdict>, Option<page::State>),
        after: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Page>, Error> {
        let mut query = row::page::Entity::find().filter(row::page::Column::JobId.eq(job.0));
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
