//! Auditing the lines of the ledger: whether each page says what it must in its state, and whether any row belongs to nobody.

use domain::JobId;
use sea_orm::QueryResult;

use super::super::{Store, sql};
use crate::error::Error;

/// What a line `p` of a job `j` must not be, with the words that say so.
const CROOKED: [(&str, &str); 5] = [
    (
        "p.state = 'done' AND (p.verdict IS NULL OR p.end_time IS NULL)",
        "are done without a verdict or its time",
    ),
    (
        "p.state <> 'done' AND (p.verdict IS NOT NULL OR p.end_time IS NOT NULL)",
        "are open and have a verdict",
    ),
    (
        "p.state = 'running' AND (p.dispatch_seq = 0 OR p.dispatch_time IS NULL)",
        "are running and were never handed out",
    ),
    ("p.state <> 'done' AND j.end_time IS NOT NULL", "are open though the job has ended"),
    ("p.tenant <> j.tenant", "are another tenant's"),
];

/// Tables whose rows are a job's.
const OF_JOBS: [&str; 5] = ["page", "event", "label", "page_claim", "page_print"];

/// Pages that wait for a host that does not know of them: nobody would ever look at them.
const FORGOTTEN: &str = "SELECT COUNT(*) FROM page p LEFT JOIN host h ON h.key = p.host \
                         WHERE p.state = 'pending' AND p.host_since IS NOT NULL AND (h.key IS NULL OR NOT h.parked)";

impl Store {
    /// What is wrong with lines of these jobs, a sentence for each job and kind.
    pub(super) async fn crooked(&self, jobs: &[JobId]) -> Result<Vec<String>, Error> {
        let counts = CROOKED.map(|(crooked, _)| format!("COUNT(CASE WHEN {crooked} THEN 1 END)")).join(", ");
        let mut problems = Vec::new();
        for piece in sql::pieces(jobs) {
            let text = format!(
                "SELECT p.job_id, {counts} FROM page p JOIN job j ON j.id = p.job_id WHERE p.job_id IN ({}) GROUP BY p.job_id",
                sql::row(1, piece.len())
            );
            let ids = piece.iter().map(|job| job.0.into()).collect();
            for row in sql::query(self.db.read(), &text, ids).await? {
                let job = JobId(row.try_get_by_index(0)?);
                for (index, (_, words)) in CROOKED.iter().enumerate() {
                    let lines: i64 = row.try_get_by_index(index + 1)?;
                    problems.extend((lines > 0).then(|| format!("{}: {lines} pages {words}", job.name())));
                }
            }
        }
        Ok(problems)
    }

    /// What is wrong beyond single jobs: rows of jobs that are not there, pages that nobody looks at, a damaged file.
    pub(crate) async fn leftovers(&self) -> Result<Vec<String>, Error> {
        let mut problems = Vec::new();
        for table in OF_JOBS {
            let text = format!(
                "SELECT COUNT(*) FROM {table} r WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.id = r.job_id)"
            );
            let rows = self.count(&text).await?;
            problems.extend((rows > 0).then(|| format!("{rows} rows of {table} belong to no job")));
        }
        let pages = self.count(FORGOTTEN).await?;
        problems.extend((pages > 0).then(|| format!("{pages} pages wait for a host that forgot them")));
        if self.db.is_sqlite() {
            for row in sql::query(self.db.read(), "PRAGMA integrity_check(10)", vec![]).await? {
                let told: String = row.try_get_by_index(0)?;
                problems.extend((told != "ok").then(|| format!("the file is damaged: {told}")));
            }
        }
        Ok(problems)
    }

    async fn count(&self, text: &str) -> Result<i64, Error> {
        let rows = sql::query(self.db.read(), text, vec![]).await?;
        let count = |row: &QueryResult| row.try_get_by_index(0);
        Ok(rows.first().map(count).transpose()?.unwrap_or_default())
    }
}
