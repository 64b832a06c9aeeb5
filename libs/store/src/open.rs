//! Opening: pools with every timeout set, and migrations that many processes may start at once.

use std::{path::Path, time::Duration};

use rand::RngExt;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use sea_orm_migration::MigratorTrait;
use tokio::time::{Instant, sleep};

use crate::{Config, Error, is_unavailable};

/// A connection used within this time is not probed before it is used again.
const FRESH: Duration = Duration::from_secs(1);
/// Prepared statements that a connection keeps: a service has some eighty, those over many rows in four sizes.
const STATEMENTS: usize = 256;
/// Any number that no other program locks in our databases.
const MIGRATION_LOCK: i64 = 0x6372_6177_6c6d_6573;

/// Takes the write lock at once, so that a transaction that reads first cannot fail at its first write.
pub(crate) const IMMEDIATE: TransactionOptions = TransactionOptions {
    isolation_level: None,
    access_mode: None,
    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
};

/// Opens the writer with its tables up to date; tries again while the database is away, for at most `connect_timeout`.
pub(crate) async fn writer<M: MigratorTrait>(config: &Config) -> Result<DatabaseConnection, Error> {
    let options = match config.sqlite_file() {
        Some(file) => {
            let folder = file.parent().unwrap_or(Path::new(""));
            std::fs::create_dir_all(folder).map_err(Error::Folder)?;
            sqlite(config, true)
        }
        None => postgres(config),
    };
    let deadline = Instant::now() + config.connect_timeout;
    loop {
        match connect::<M>(&options).await {
            Err(Error::Open(e) | Error::Migrate(e)) if is_unavailable(&e) && Instant::now() < deadline => {
                tracing::debug!(error = %e, "the database is not there yet");
                sleep(jitter(50, 250)).await;
            }
            result => return result,
        }
    }
}

async fn connect<M: MigratorTrait>(options: &ConnectOptions) -> Result<DatabaseConnection, Error> {
    let db = Database::connect(options.clone()).await.map_err(Error::Open)?;
    migrate::<M>(&db).await.map_err(Error::Migrate)?;
    Ok(db)
}

/// Opens the readers of a SQLite file that is there.
pub(crate) async fn reader(config: &Config) -> Result<DatabaseConnection, Error> {
    Database::connect(sqlite(config, false)).await.map_err(Error::Open)
}

fn common(config: &Config) -> ConnectOptions {
    let mut options = ConnectOptions::new(&config.url);
    options
        .connect_timeout(config.connect_timeout)
        .acquire_timeout(config.acquire_timeout)
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}

fn sqlite(config: &Config, writer: bool) -> ConnectOptions {
    let mut options = common(config);
    let busy_timeout = config.busy_timeout;
    options
        // One writer: SQLite has no more, and waiting in the pool is fair where waiting for its lock is not.
        .max_connections(if writer { 1 } else { config.max_connections })
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(move |options| {
            let options = options
                .create_if_missing(writer)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal)
                .foreign_keys(true)
                .busy_timeout(busy_timeout)
                .statement_cache_capacity(STATEMENTS)
                .pragma("temp_store", "MEMORY");
            // A write through a reader would wait for the lock at the wrong place: refuse it.
            if writer { options } else { options.pragma("query_only", "ON") }
        });
    options
}

fn postgres(config: &Config) -> ConnectOptions {
    let mut options = common(config);
    let lock = (config.statement_timeout / 2).as_millis().to_string();
    let idle = config.statement_timeout.as_millis().to_string();
    options
        .max_connections(config.max_connections)
        .statement_timeout(config.statement_timeout)
        .test_before_acquire_if_idle_for(FRESH)
        .map_sqlx_postgres_opts(move |options| {
            options.statement_cache_capacity(STATEMENTS).options([
                ("lock_timeout", lock.as_str()),
                ("idle_in_transaction_session_timeout", idle.as_str()),
                ("timezone", "UTC"),
            ])
        });
    options
}

/// Brings the tables up to date, in one transaction that other processes wait for.
async fn migrate<M: MigratorTrait>(writer: &DatabaseConnection) -> Result<(), DbErr> {
    let txn = writer.begin_with_options(IMMEDIATE).await?;
    let backend = txn.get_database_backend();
    if backend == sea_orm::DbBackend::Postgres {
        // Building an index may take longer than any statement of a service, and so may waiting for one that does.
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        for sql in ["SET LOCAL statement_timeout = 0", "SET LOCAL lock_timeout = 0", &lock] {
            txn.execute_raw(Statement::from_string(backend, sql)).await?;
        }
    }
    M::up(&txn, None).await?;
    txn.commit().await
}

/// A random time, so that those who failed together do not come back together.
pub(crate) fn jitter(from_ms: u64, to_ms: u64) -> Duration {
    Duration::from_millis(rand::rng().random_range(from_ms..=to_ms))
}
