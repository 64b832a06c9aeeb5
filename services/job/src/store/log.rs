//! The event log: appended to inside the transaction that makes an event true, read by cursor.

use std::collections::HashMap;

use domain::JobId;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::*, sea_query::Expr,
};
use uuid::Uuid;

use super::{Store, row, sql};
use crate::{error::Error, event::Event, job::Job};

/// Any number that no other program locks in this database.
const LOG_LOCK: i64 = 0x6a6f_622e_6c6f_6773;

/// A line of the log of all jobs.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its place in the log.
    pub(crate) cursor: i64,
    pub(crate) event: Event,
    /// The job as it is now.
    pub(crate) job: Job,
}

/// Appends events. Call it last in a transaction: on Postgres it holds a lock until the commit.
pub(super) async fn append(txn: &DatabaseTransaction, events: Vec<Event>) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    if txn.get_database_backend() == DbBackend::Postgres {
        // Cursors come from a sequence, which knows no transactions: without this lock a reader could see cursor 8, go on
        // from there, and never see 7, which was drawn first and committed last. SQLite has one writer.
        sql::execute(txn, "SELECT pg_advisory_xact_lock($1)", vec![LOG_LOCK.into()]).await?;
    }
    for piece in events.chunks(sql::LARGEST) {
        let rows = piece.iter().cloned().map(row::event::ActiveModel::from);
        row::event::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

impl Store {
    /// Events of one job after a sequence, oldest first.
    pub(crate) async fn events(&self, job: JobId, after: i64, limit: u64) -> Result<Vec<Event>, Error> {
        let rows = row::event::Entity::find()
            .filter(row::event::Column::JobId.eq(job.0))
            .filter(row::event::Column::Sequence.gt(after))
            .order_by_asc(row::event::Column::Sequence)
            .limit(limit)
            .all(self.db.read())
            .await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// Events of all jobs with a webhook after a cursor, oldest first.
    pub(crate) async fn webhook_events(&self, after: i64, limit: u64) -> Result<Vec<Entry>, Error> {
        let db = self.db.read();
        let rows = row::event::Entity::find()
            .filter(row::event::Column::Cursor.gt(after))
            // The words of the partial index, which SQLite would not recognise in a comparison.
            .filter(Expr::cust("has_webhook"))
            .order_by_asc(row::event::Column::Cursor)
            .limit(limit)
            .all(db)
            .await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.job_id).collect();
        let mut jobs: HashMap<Uuid, Job> = HashMap::new();
        for piece in sql::sorted(&ids).chunks(sql::LARGEST) {
            let found = row::job::Entity::find().filter(row::job::Column::Id.is_in(piece.iter().copied()));
            for row in found.all(db).await? {
                jobs.insert(row.id, Job::try_from(row)?);
            }
        }
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            // A job that was deleted in between takes its events with it.
            let Some(job) = jobs.get(&row.job_id).cloned() else { continue };
            entries.push(Entry { cursor: row.cursor, event: Event::try_from(row)?, job });
        }
        Ok(entries)
    }
}
