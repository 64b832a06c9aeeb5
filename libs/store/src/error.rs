//! What went wrong in the database, told apart by what a caller does about it.

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlErr, sqlx};

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used.
    #[error("the database settings cannot be used: {0}")]
    Config(String),
    /// The folder of the database file cannot be made.
    #[error("make the folder of the database")]
    Folder(#[source] std::io::Error),
    /// The database did not answer or refused.
    #[error("open the database")]
    Open(#[source] DbErr),
    /// The tables could not be brought up to date.
    #[error("migrate the database")]
    Migrate(#[source] DbErr),
}

/// Whether the database is away, overloaded or locked: the same call may succeed later.
#[must_use]
pub fn is_unavailable(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(e))
        | DbErr::Exec(RuntimeErr::SqlxError(e))
        | DbErr::Query(RuntimeErr::SqlxError(e)) => driver_is_unavailable(e),
        // The ORM's own word for a connection that is gone.
        DbErr::Conn(RuntimeErr::Internal(_)) => true,
        _ => false,
    }
}

/// What is said of a database that could not be asked, as by somebody else who waited for it in vain.
#[must_use]
pub fn unavailable() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}

/// Whether a row was refused because one with the same unique key is there.
#[must_use]
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether Postgres took back the transaction only because of another one (40001, 40P01): it may be run again.
pub(crate) fn is_conflict(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let runtime = match error.downcast_ref::<DbErr>() {
            Some(DbErr::Exec(e) | DbErr::Query(e) | DbErr::Conn(e)) => Some(e),
            _ => error.downcast_ref::<RuntimeErr>(),
        };
        if let Some(RuntimeErr::SqlxError(e)) = runtime {
            return postgres_code(e).is_some_and(|code| code == "40001" || code == "40P01");
        }
        cause = error.source();
    }
    false
}

fn driver_is_unavailable(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => true,
        E::Database(_) => postgres_code(error)
            .as_deref()
            .map_or_else(|| sqlite_code(error).is_some_and(sqlite_is_unavailable), postgres_is_unavailable),
        _ => false,
    }
}

fn postgres_is_unavailable(code: &str) -> bool {
    // 08 connection, 53 out of resources, 57P shut down; a statement cancelled by its timeout, a lock not had in time,
    // an idle transaction ended, a standby that does not write, conflicts that went on after the retries.
    ["08", "53", "57P"].iter().any(|class| code.starts_with(class))
        || ["57014", "55P03", "25P03", "25006", "40001", "40P01"].contains(&code)
}

fn sqlite_is_unavailable(code: u32) -> bool {
    // The low byte is the primary code: BUSY, LOCKED, IOERR, FULL, CANTOPEN (sqlite.org/rescode.html).
    matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)
}

fn postgres_code(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(e) = error else { return None };
    e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().map(|e| e.code().to_owned())
}

fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(e) = error else { return None };
    e.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    e.code()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (code, unavailable) in [
            ("08006", true),
            ("53300", true),
            ("57P01", true),
            ("57014", true),
            ("23505", false),
            ("42P01", false),
        ] {
            assert_eq!(postgres_is_unavailable(code), unavailable, "{code}");
        }
        for (code, unavailable) in
            [(5, true), (517, true), (261, true), (10, true), (2067, false), (1, false)]
        {
            assert_eq!(sqlite_is_unavailable(code), unavailable, "{code}");
        }
    }

    #[test]
    fn what_is_not_the_databases_fault_is_not_unavailable() {
        assert!(!is_unavailable(&DbErr::RecordNotFound("x".into())));
        assert!(!is_unavailable(&DbErr::Custom("x".into())));
        assert!(!is_conflict(&DbErr::Custom("x".into())));
        assert!(is_unavailable(&unavailable()));
    }
}
