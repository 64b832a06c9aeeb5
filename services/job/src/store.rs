//! The database of jobs, pages and events: the only place that knows SQL.
//!
//! Promises: every change of the ledger is one transaction that holds the lock of its jobs before it touches their pages,
//! so that sums, pages and events never disagree; what a caller reads is limited to its tenant.

mod audit;
mod changes;
mod control;
mod discover;
mod dispatch;
mod frontier;
mod history;
mod hosts;
mod log;
mod migration;
mod read;
mod recount;
mod row;
mod schedules;
mod settle;
mod sql;
mod submit;
mod sweep;
mod visits;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use sea_orm::{DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, prelude::*};
use store::Db;
use uuid::Uuid;

use crate::{error::Error, host::Paces, job::Job};

pub(crate) use dispatch::{Dispatched, Held, Picked};
pub(crate) use frontier::Turns;
pub(crate) use hosts::Due;
pub(crate) use log::Entry;
pub(crate) use schedules::{Asked as AskedSchedule, Due as DueSchedule, New as NewSchedule};
pub(crate) use settle::{SettleRules, Settled};
pub(crate) use submit::{Accepted, Prepared};
pub(crate) use sweep::Ages;

/// The database. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Db,
    /// How fast hosts are visited.
    paces: Arc<Paces>,
    /// Attempts that a page's row keeps.
    max_history: usize,
}

impl Store {
    /// Opens the database and brings its tables up to date.
    pub(crate) async fn open(
        config: &store::Config,
        paces: Paces,
        max_history: usize,
    ) -> Result<Self, store::Error> {
        Ok(Self { db: Db::open::<migration::Migrator>(config).await?, paces: Arc::new(paces), max_history })
    }

    /// How fast hosts are visited.
    pub(crate) fn paces(&self) -> &Paces {
        &self.paces
    }

    /// Whether the database answers.
    pub(crate) async fn ready(&self) -> bool {
        self.db.ready().await
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        self.db.close().await;
    }
}

/// Locks jobs and returns those that exist, in the order of their ids. Every transaction takes its locks in this order and
/// before it touches pages, so that none waits for another in a circle.
async fn lock(txn: &DatabaseTransaction, ids: &[Uuid]) -> Result<Vec<Job>, Error> {
    let mut jobs = Vec::with_capacity(ids.len());
    for piece in sql::sorted(ids).chunks(sql::LARGEST) {
        let rows = row::job::Entity::find()
            .filter(row::job::Column::Id.is_in(piece.iter().copied()))
            .order_by_asc(row::job::Column::Id)
            .lock_exclusive()
            .all(txn)
            .await?;
        for row in rows {
            jobs.push(Job::try_from(row)?);
        }
    }
    Ok(jobs)
}
