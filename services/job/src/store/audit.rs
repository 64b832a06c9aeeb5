//! Auditing: whether jobs, pages and events agree, job by job.

mod lines;

use domain::JobId;
use sea_orm::QueryResult;
use uuid::Uuid;

use super::{Store, row, sql};
use crate::{error::Error, event::EventType, job::State};

/// What an audit of some jobs found.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// The last of them; the next audit goes on after it. None: there are no more.
    pub(crate) last: Option<JobId>,
    pub(crate) jobs: u64,
    /// URLs of the jobs.
    pub(crate) pages: i64,
    /// What is wrong, a sentence each.
    pub(crate) problems: Vec<String>,
}

/// A job and what its event log says.
struct Log {
    job: JobId,
    state: State,
    ended: bool,
    sequence: i64,
    found: i64,
    /// URLs without a verdict.
    open: i64,
    events: i64,
    first: Option<i64>,
    last: Option<i64>,
    terminal: i64,
    terminal_sequence: Option<i64>,
}

impl Store {
    /// Audits the jobs after `after` in the order of their ids, at most `limit`. Each statement sees one point in time, so
    /// that a mesh at work can be audited.
    pub(crate) async fn audit(&self, after: Option<JobId>, limit: usize) -> Result<Audit, Error> {
        let text = "SELECT id FROM job WHERE id > $1 ORDER BY id LIMIT $2";
        let after = after.map_or(Uuid::nil(), |job| job.0);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sql::query(self.db.read(), text, vec![after.into(), limit.into()]).await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push(JobId(row.try_get_by_index(0)?));
        }
        let mut audit = Audit { last: ids.last().copied(), ..Audit::default() };
        for mismatch in self.recount(&ids, i64::MAX).await? {
            let (kept, counted) = (mismatch.kept, mismatch.counted);
            audit.problems.push(format!(
                "{}: the sums are {:?} {:?}, its pages {:?} {:?}",
                mismatch.job.name(),
                kept.0,
                kept.1,
                counted.0,
                counted.1
            ));
        }
        audit.problems.extend(self.crooked(&ids).await?);
        for log in self.logs(&ids).await? {
            audit.jobs += 1;
            audit.pages += log.found;
            audit.problems.extend(log.problem().map(|problem| format!("{}: {problem}", log.job.name())));
        }
        Ok(audit)
    }

    async fn logs(&self, jobs: &[JobId]) -> Result<Vec<Log>, Error> {
        let mut logs = Vec::with_capacity(jobs.len());
        let terminal = EventType::TERMINAL.map(|kind| format!("'{kind}'")).join(",");
        for piece in sql::pieces(jobs) {
            let text = format!(
                "SELECT j.id, j.state, j.end_time, j.event_sequence, j.found, COUNT(e.cursor), MIN(e.sequence), \
                 MAX(e.sequence), COUNT(CASE WHEN e.type IN ({terminal}) THEN 1 END), \
                 MAX(CASE WHEN e.type IN ({terminal}) THEN e.sequence END), j.pending + j.running \
                 FROM job j LEFT JOIN event e ON e.job_id = j.id WHERE j.id IN ({}) \
                 GROUP BY j.id, j.state, j.end_time, j.event_sequence, j.found, j.pending, j.running",
                sql::row(1, piece.len())
            );
            let rows =
                sql::query(self.db.read(), &text, piece.iter().map(|job| job.0.into()).collect()).await?;
            for row in &rows {
                logs.push(read(row)?);
            }
        }
        Ok(logs)
    }
}

impl Log {
    /// What is wrong with the log. Events of ended jobs go with time, the oldest first.
    fn problem(&self) -> Option<String> {
        if self.state.terminal() != self.ended {
            return Some(format!(
                "it is {}, and its end is {}",
                self.state,
                if self.ended { "known" } else { "not" }
            ));
        }
        if self.ended != (self.open == 0) {
            return Some(format!("it is {}, and {} of its pages are open", self.state, self.open));
        }
        if self.events == 0 && self.ended {
            return None;
        }
        let (first, last) = (self.first.unwrap_or_default(), self.last.unwrap_or_default());
        if last != self.sequence || self.events != last - first + 1 || (first != 1 && !self.ended) {
            return Some(format!("{} events from {first} to {last} of {}", self.events, self.sequence));
        }
        if self.terminal != i64::from(self.ended) {
            return Some(format!("it is {} and has {} terminal events", self.state, self.terminal));
        }
        (self.ended && self.terminal_sequence != Some(last))
            .then(|| "its terminal event is not the last".to_owned())
    }
}

fn read(row: &QueryResult) -> Result<Log, Error> {
    let state: String = row.try_get_by_index(1)?;
    Ok(Log {
        job: JobId(row.try_get_by_index(0)?),
        state: row::read(&state)?,
        ended: row.try_get_by_index::<Option<i64>>(2)?.is_some(),
        sequence: row.try_get_by_index(3)?,
        found: row.try_get_by_index(4)?,
        events: row.try_get_by_index(5)?,
        first: row.try_get_by_index(6)?,
        last: row.try_get_by_index(7)?,
        terminal: row.try_get_by_index(8)?,
        terminal_sequence: row.try_get_by_index(9)?,
        open: row.try_get_by_index(10)?,
    })
}
