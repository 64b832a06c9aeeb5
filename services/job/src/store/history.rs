//! The attempts at pages, on their way into the rows.

use std::collections::HashMap;

use sea_orm::{DatabaseTransaction, EntityTrait, QueryFilter, Value, prelude::*};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{row, sql};
use crate::{
    attempt::{self, Attempt, End},
    error::Error,
    page::Page,
};

/// The histories of pages with the last attempt of each among them, which loses its place in the row. An attempt that still
/// runs ends now without an outcome, for the reason `lost`; None: it was none.
pub(super) async fn with_last(
    txn: &DatabaseTransaction,
    ids: &[Uuid],
    lost: Option<&str>,
    max: usize,
    now: OffsetDateTime,
) -> Result<HashMap<Uuid, Value>, Error> {
    let mut histories = HashMap::with_capacity(ids.len());
    for piece in sql::pieces(ids) {
        let query = row::page::Entity::find().filter(row::page::Column::Id.is_in(piece.iter().copied()));
        for row in query.all(txn).await? {
            let mut page = Page::try_from(row)?;
            let last = page.last_attempt().and_then(|last| ended(last, lost, now));
            if let Some(last) = last {
                attempt::keep(&mut page.history, last, max);
            }
            histories.insert(page.id.0, value(&page.history));
        }
    }
    Ok(histories)
}

fn ended(attempt: Attempt, lost: Option<&str>, now: OffsetDateTime) -> Option<Attempt> {
    if attempt.end.is_some() {
        return Some(attempt);
    }
    lost.map(|why| Attempt { end: Some(End::Lost), end_time: Some(now), detail: why.to_owned(), ..attempt })
}

/// The value of the column.
pub(super) fn value(history: &[Attempt]) -> Value {
    (!history.is_empty()).then(|| row::json(&history)).into()
}
