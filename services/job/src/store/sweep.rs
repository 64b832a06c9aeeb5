//! Deleting what is too old, in transactions of a bounded size.

use sea_orm::QueryResult;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, sql};
use crate::error::Error;

/// Before when things are too old.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// End of jobs.
    pub(crate) jobs: OffsetDateTime,
    /// Time of events of ended jobs.
    pub(crate) events: OffsetDateTime,
    /// Last change of hosts.
    pub(crate) hosts: OffsetDateTime,
    /// Creation of jobs whose request id is remembered.
    pub(crate) request_ids: OffsetDateTime,
}

impl Store {
    /// Deletes up to about `batch` rows of each kind. Returns how many rows went; 0: nothing is left to do.
    pub(crate) async fn sweep(&self, ages: Ages, batch: u64) -> Result<u64, Error> {
        let limit = i64::try_from(batch).unwrap_or(i64::MAX);
        let mut swept = self.sweep_job(ages.jobs, limit).await?;
        let ids = "UPDATE job SET request_id = NULL, request_hash = NULL WHERE id IN \
                   (SELECT id FROM job WHERE request_id IS NOT NULL AND create_time < $1 ORDER BY create_time LIMIT $2)";
        swept += self.sweep_with(ids, ages.request_ids, limit).await?;
        let events = "DELETE FROM event WHERE cursor IN (SELECT e.cursor FROM event e JOIN job j ON j.id = e.job_id \
                      WHERE e.time < $1 AND j.end_time IS NOT NULL ORDER BY e.time LIMIT $2)";
        swept += self.sweep_with(events, ages.events, limit).await?;
        swept += self.forget_hosts(ages.hosts, batch).await?;
        Ok(swept)
    }

    async fn sweep_with(&self, text: &str, before: OffsetDateTime, limit: i64) -> Result<u64, Error> {
        let values = || vec![sql::micros(before).into(), limit.into()];
        self.db
            .write(async |txn| Ok::<_, Error>(sql::execute(txn, text, values()).await?.rows_affected()))
            .await
    }

    /// Deletes one ended job: pages and events first, the job when none is left, so that no transaction is large and a
    /// crash in between leaves a job that the next sweep goes on with.
    async fn sweep_job(&self, before: OffsetDateTime, limit: i64) -> Result<u64, Error> {
        let oldest = "SELECT id FROM job WHERE end_time IS NOT NULL AND end_time < $1 AND NOT EXISTS (SELECT 1 FROM job u \
             WHERE u.baseline = job.id AND u.baseline IS NOT NULL AND u.end_time IS NULL) ORDER BY end_time LIMIT 1";
        let rows = sql::query(self.db.read(), oldest, vec![sql::micros(before).into()]).await?;
        let id: Option<Uuid> = rows.first().map(|row: &QueryResult| row.try_get_by_index(0)).transpose()?;
        let Some(id) = id else { return Ok(0) };
        let parts = [
            "DELETE FROM page_claim WHERE job_id = $1 AND claim IN (SELECT claim FROM page_claim WHERE job_id = $1 LIMIT $2)",
            "DELETE FROM page_print WHERE id IN (SELECT id FROM page_print WHERE job_id = $1 LIMIT $2)",
            "DELETE FROM page WHERE id IN (SELECT id FROM page WHERE job_id = $1 LIMIT $2)",
            "DELETE FROM label WHERE job_id = $1 AND name IN (SELECT name FROM label WHERE job_id = $1 LIMIT $2)",
            "DELETE FROM event WHERE cursor IN (SELECT cursor FROM event WHERE job_id = $1 LIMIT $2)",
        ];
        for part in parts {
            let values = || vec![id.into(), limit.into()];
            let deleted = self
                .db
                .write(async |txn| Ok::<_, Error>(sql::execute(txn, part, values()).await?.rows_affected()))
                .await?;
            if deleted > 0 {
                return Ok(deleted);
            }
        }
        let job = "DELETE FROM job WHERE id = $1";
        self.db
            .write(async |txn| Ok::<_, Error>(sql::execute(txn, job, vec![id.into()]).await?.rows_affected()))
            .await
    }
}
