//! The handle: reads from one pool, writes through one door.
//!
//! Promises: `write` commits everything its closure did or nothing; on SQLite writers queue for the one writing connection;
//! on Postgres a transaction that lost against another one is run again, at most three times in all.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::time::{sleep, timeout};

use crate::{Config, Error, error, open};

/// How often a transaction is run when others take its place.
const ATTEMPTS: u32 = 3;

/// An open database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Db(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    read: DatabaseConnection,
    write: DatabaseConnection,
    acquire_timeout: Duration,
}

impl Db {
    /// Connects, makes a SQLite file and its folder if need be, and brings the tables up to date.
    ///
    /// Waits up to `connect_timeout` for a database that is away.
    pub async fn open<M: MigratorTrait>(config: &Config) -> Result<Self, Error> {
        let problems = config.check();
        if !problems.is_empty() {
            return Err(Error::Config(problems.join("; ")));
        }
        let write = open::writer::<M>(config).await?;
        let read = if config.sqlite_file().is_some() { open::reader(config).await? } else { write.clone() };
        Ok(Self(Arc::new(Inner { read, write, acquire_timeout: config.acquire_timeout })))
    }

    /// Opens like [`Db::open`] and shows every statement, with its values, to `seen`: for tests that ask for plans.
    pub async fn open_watched<M: MigratorTrait>(
        config: &Config,
        seen: impl Fn(&Statement) + Clone + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let mut inner =
            Arc::into_inner(Self::open::<M>(config).await?.0).ok_or(Error::Config(String::new()))?;
        for connection in [&mut inner.read, &mut inner.write] {
            let seen = seen.clone();
            connection.set_metric_callback(move |info| seen(info.statement));
        }
        Ok(Self(Arc::new(inner)))
    }

    /// The connections to read with. On SQLite they refuse to write.
    #[must_use]
    pub fn read(&self) -> &DatabaseConnection {
        &self.0.read
    }

    /// Runs `work` in one transaction: commits if it succeeds, else rolls back and returns its error.
    ///
    /// On Postgres `work` is run again, from the start and at most three times, when another transaction came in between:
    /// it must do nothing but write to `txn`. Do not wait in it for anything but the database. What the closure takes must
    /// be `Clone`; references are.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&DatabaseTransaction) -> Result<T, E> + Clone,
        E: From<DbErr> + std::error::Error + 'static,
    {
        let mut attempt = 1;
        loop {
            match self.attempt(work.clone()).await {
                Err(error) if attempt < ATTEMPTS && error::is_conflict(&error) => {
                    tracing::debug!(attempt, "a transaction is run again");
                    sleep(open::jitter(5, 20 * u64::from(attempt))).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn attempt<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&DatabaseTransaction) -> Result<T, E> + Clone,
        E: From<DbErr>,
    {
        let txn = self.0.write.begin_with_options(open::IMMEDIATE).await?;
        match work(&txn).await {
            Ok(value) => {
                txn.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // The first error is the one that matters; a transaction that cannot be rolled back ends with its connection.
                if let Err(rollback) = txn.rollback().await {
                    tracing::debug!(error = %rollback, "a rollback failed");
                }
                Err(error)
            }
        }
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.0.write.get_database_backend()
    }

    /// Whether this is SQLite, which has one writer and no row locks.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        self.backend() == DbBackend::Sqlite
    }

    /// Whether the database answers, within `acquire_timeout`.
    pub async fn ready(&self) -> bool {
        let probe = self.0.read.query_one_raw(Statement::from_string(self.backend(), "SELECT 1"));
        matches!(timeout(self.0.acquire_timeout, probe).await, Ok(Ok(Some(_))))
    }

    /// Closes all connections; waits for those in use. Later calls fail.
    pub async fn close(&self) {
        for pool in [&self.0.read, &self.0.write] {
            if let Err(error) = pool.close_by_ref().await {
                tracing::debug!(%error, "a database pool did not close");
            }
        }
    }
}
