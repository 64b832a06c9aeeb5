//! Statements over many rows at a time.
//!
//! Promises: few different texts, so that each is prepared once for each connection; placeholders are `$1`, which both
//! databases read.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, Value};
use time::OffsetDateTime;
use uuid::Uuid;

/// Rows of one statement at most. SQLite takes 32 766 values, Postgres 65 535.
pub(super) const LARGEST: usize = 128;
const SIZES: [usize; 4] = [LARGEST, 32, 8, 1];

/// Cuts rows into pieces of a few fixed sizes.
pub(super) fn pieces<T>(mut rows: &[T]) -> Vec<&[T]> {
    let mut pieces = Vec::new();
    for size in SIZES {
        while rows.len() >= size {
            let (piece, rest) = rows.split_at(size);
            pieces.push(piece);
            rows = rest;
        }
    }
    pieces
}

/// The ids in order, each once.
pub(super) fn sorted(ids: &[Uuid]) -> Vec<Uuid> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// `($1,$2),($3,$4)` for two rows of two columns, counted from `first`.
pub(super) fn rows(first: usize, rows: usize, columns: usize) -> String {
    let row = |number| format!("({})", row(first + number * columns, columns));
    (0..rows).map(row).collect::<Vec<_>>().join(",")
}

/// `$1,$2` for two columns, counted from `first`.
pub(super) fn row(first: usize, columns: usize) -> String {
    (first..first + columns).map(|n| format!("${n}")).collect::<Vec<_>>().join(",")
}

/// Runs a statement and returns its rows.
pub(super) async fn query(
    db: &impl ConnectionTrait,
    text: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    db.query_all_raw(statement(db.get_database_backend(), text, values)).await
}

/// Runs a statement that returns no rows.
pub(super) async fn execute(
    db: &impl ConnectionTrait,
    text: &str,
    values: Vec<Value>,
) -> Result<ExecResult, DbErr> {
    db.execute_raw(statement(db.get_database_backend(), text, values)).await
}

fn statement(backend: DbBackend, text: &str, values: Vec<Value>) -> Statement {
    let many = backend == DbBackend::Sqlite && values.len() > LARGEST + 1;
    let plain = many.then(|| without_numbers(text, values.len())).flatten();
    Statement::from_sql_and_values(backend, plain.unwrap_or_else(|| text.to_owned()), values)
}

/// A text whose placeholders come once each and in order, with `?` for each. To SQLite `$1` is a name, and whoever binds has
/// to walk over all names for each of them: two thousand take milliseconds.
fn without_numbers(text: &str, count: usize) -> Option<String> {
    let mut pieces = text.split('$');
    let mut plain = String::with_capacity(text.len());
    plain.push_str(pieces.next()?);
    let mut last = 0;
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at(end);
        last += 1;
        if number.parse() != Ok(last) {
            return None;
        }
        plain.push('?');
        plain.push_str(rest);
    }
    (last == count).then_some(plain)
}

/// A time as the tables keep it, see the migration.
pub(super) fn micros(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

/// A time of a table.
pub(super) fn time(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time span as the tables keep it: microseconds.
pub(super) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A time span of a table.
pub(super) fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_row_in_order() {
        for count in [0, 1, 7, 8, 33, 300] {
            let all: Vec<usize> = (0..count).collect();
            let pieces = pieces(&all);
            assert_eq!(pieces.concat(), all);
            assert!(pieces.iter().all(|piece| SIZES.contains(&piece.len())));
        }
    }

    #[test]
    fn placeholders_count_on() {
        assert_eq!(rows(2, 2, 2), "($2,$3),($4,$5)");
    }

    #[test]
    fn numbers_go_where_they_say_nothing() {
        let plain = |text| without_numbers(text, 3);
        assert_eq!(plain("a $1,$2 b $3").as_deref(), Some("a ?,? b ?"));
        for other in ["$1 $2", "$2 $1 $3", "$1 $1 $2", "$1 $2 $3 $4", "$1 $2 '$'", ""] {
            assert_eq!(plain(other), None, "{other}");
        }
    }

    #[test]
    fn times_survive() {
        let now = mesh::clock::now();
        assert_eq!(time(micros(now)), now);
    }
}
