//! Recounting: whether the sums of jobs are what their pages say.

use std::collections::{BTreeMap, btree_map::Entry};

use domain::JobId;
use uuid::Uuid;

use super::{Store, row, sql};
use crate::{
    error::Error,
    job::{Counts, Verdicts},
    page::State,
};

/// A job whose sums are not those of its pages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mismatch {
    pub(crate) job: JobId,
    /// What the job says.
    pub(crate) kept: (Counts, Verdicts),
    /// What the pages say.
    pub(crate) counted: (Counts, Verdicts),
}

impl Store {
    /// Compares the sums of jobs with their pages, in one statement and thus at one point in time. `max_pages` leaves out
    /// running jobs with more URLs; ended ones are always counted.
    pub(crate) async fn recount(&self, jobs: &[JobId], max_pages: i64) -> Result<Vec<Mismatch>, Error> {
        let mut sums: BTreeMap<Uuid, Mismatch> = BTreeMap::new();
        for piece in sql::pieces(jobs) {
            let ids = sql::row(2, piece.len());
            let text = format!(
                "SELECT j.id, j.found, j.succeeded, j.failed, j.skipped, j.cancelled, j.pending, j.running, \
                 j.verdicts, p.state, p.verdict, p.n FROM job j LEFT JOIN (SELECT job_id, state, verdict, COUNT(*) AS n \
                 FROM page WHERE job_id IN ({ids}) GROUP BY job_id, state, verdict) p ON p.job_id = j.id \
                 WHERE j.id IN ({ids}) AND (j.found <= $1 OR j.end_time IS NOT NULL)"
            );
            let ids = piece.iter().map(|job| job.0.into());
            let values = std::iter::once(max_pages.into()).chain(ids).collect();
            for row in sql::query(self.db.read(), &text, values).await? {
                let id: Uuid = row.try_get_by_index(0)?;
                let sum = match sums.entry(id) {
                    Entry::Occupied(sum) => sum.into_mut(),
                    Entry::Vacant(place) => {
                        let kept = (kept(&row)?, row::read_json(row.try_get_by_index(8)?)?);
                        let counted = (Counts::default(), Verdicts::new());
                        place.insert(Mismatch { job: JobId(id), kept, counted })
                    }
                };
                let state: Option<String> = row.try_get_by_index(9)?;
                if let Some(state) = state {
                    let verdict: Option<String> = row.try_get_by_index(10)?;
                    add(&mut sum.counted, row::read(&state)?, verdict, row.try_get_by_index(11)?)?;
                }
            }
        }
        Ok(sums.into_values().filter(|sum| sum.kept != sum.counted).collect())
    }
}

fn kept(row: &sea_orm::QueryResult) -> Result<Counts, Error> {
    Ok(Counts {
        found: row.try_get_by_index(1)?,
        succeeded: row.try_get_by_index(2)?,
        failed: row.try_get_by_index(3)?,
        skipped: row.try_get_by_index(4)?,
        cancelled: row.try_get_by_index(5)?,
        pending: row.try_get_by_index(6)?,
        running: row.try_get_by_index(7)?,
    })
}

fn add(
    (counts, verdicts): &mut (Counts, Verdicts),
    state: State,
    verdict: Option<String>,
    pages: i64,
) -> Result<(), Error> {
    counts.found += pages;
    match (state, verdict) {
        (State::Pending, _) => counts.pending += pages,
        (State::Running, _) => counts.running += pages,
        (State::Done, Some(word)) => {
            counts.done(row::read(&word)?, pages);
            *verdicts.entry(word).or_default() += pages;
        }
        // Counted nowhere, so that the mismatch shows.
        (State::Done, None) => {}
    }
    Ok(())
}
