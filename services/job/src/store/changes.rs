//! How the pages of a job differ from those of its baseline, told in the transaction that settles them.
//!
//! Promises: a page is compared with the page of the same URL, once, by its main text; what is gone is counted when the job ends, and
//! a page that the job may only have failed to find is not counted as gone.

use std::collections::{BTreeMap, HashMap};

use domain::{JobId, PageId, Verdict};
use sea_orm::{DatabaseTransaction, EntityTrait, Statement, Value};
use uuid::Uuid;

use super::{Store, row, settle::Move, sql};
use crate::{
    change::{Change, Changes},
    discovery::Kind,
    error::Error,
    job::Job,
    page::{Next, Page},
};

/// Pages of a baseline, by their keys in its ledger: their ids, and the keys of their texts.
type Known = HashMap<Vec<u8>, (PageId, Vec<u8>)>;

/// A page that says that it is gone.
const GONE: &str = "(n.verdict = 'soft_404' OR (n.verdict = 'http_error' AND n.http_status IN (404, 410)))";

/// Tells of settled pages with content how they differ, and counts that in their jobs.
pub(super) async fn compare(
    txn: &DatabaseTransaction,
    jobs: &mut BTreeMap<Uuid, (Job, bool)>,
    moves: &mut [Move<'_>],
) -> Result<(), Error> {
    for (job, touched) in jobs.values_mut() {
        let (Some(mut changes), true) = (job.changes, *touched) else { continue };
        let comparable = |page: &&mut Move<'_>| page.outcome.job == job.id && has_content(page);
        let mut pages: Vec<&mut Move<'_>> = moves.iter_mut().filter(comparable).collect();
        let keys: Vec<&[u8]> = pages.iter().filter_map(|page| page.url_key.as_deref()).collect();
        let known = match job.baseline {
            Some(baseline) => known(txn, baseline, &keys).await?,
            None => Known::new(),
        };
        for page in &mut pages {
            let before = page.url_key.as_ref().and_then(|key| known.get(key));
            let (change, base) = match before {
                None => (Change::New, None),
                Some((base, text)) if page.outcome.content_key.is_some_and(|key| key == text.as_slice()) => {
                    (Change::Same, Some(*base))
                }
                Some((base, _)) => (Change::Changed, Some(*base)),
            };
            changes.add(change);
            page.change = Some((change, base));
        }
        job.changes = Some(changes);
    }
    Ok(())
}

fn has_content(page: &Move<'_>) -> bool {
    page.origin.kind == Kind::Page
        && page.outcome.content_key.is_some()
        && matches!(page.next, Next::Settled(Verdict::Ok | Verdict::NotModified))
}

/// The pages of a baseline with these keys that have content.
async fn known(txn: &DatabaseTransaction, baseline: JobId, keys: &[&[u8]]) -> Result<Known, Error> {
    let mut known = Known::new();
    for piece in sql::pieces(keys) {
        let text = format!(
            "SELECT url_key, id, content_key FROM page WHERE job_id = $1 AND content_key IS NOT NULL AND url_key IN ({})",
            sql::row(2, piece.len())
        );
        let keys = piece.iter().map(|key| key.to_vec().into());
        let values = std::iter::once(baseline.0.into()).chain(keys).collect();
        for row in sql::query(txn, &text, values).await? {
            let page = (PageId(row.try_get_by_index(1)?), row.try_get_by_index(2)?);
            known.insert(row.try_get_by_index(0)?, page);
        }
    }
    Ok(known)
}

/// Counts the pages of the baseline that are gone, for a job that ends now.
pub(super) async fn conclude(txn: &DatabaseTransaction, job: &mut Job) -> Result<(), Error> {
    let (Some(changes), Some(baseline)) = (job.changes, job.baseline) else { return Ok(()) };
    let complete = complete(txn, job).await?;
    let text = format!("SELECT COUNT(*) {}", removed_from());
    let rows = sql::query(txn, &text, vec![job.id.0.into(), baseline.0.into(), complete.into()]).await?;
    let removed = rows.first().map(|row| row.try_get_by_index(0)).transpose()?;
    job.changes = Some(Changes { removed, complete, ..changes });
    Ok(())
}

/// Whether what a job did not find is not there: it left out nothing that it knew of, and no page that might have led on failed in a
/// way that may pass. A job that follows no links looks at what it was given.
async fn complete(txn: &DatabaseTransaction, job: &Job) -> Result<bool, Error> {
    if job.spec.follow.is_none() {
        return Ok(true);
    }
    let passing = [
        Verdict::Budget,
        Verdict::Blocked,
        Verdict::Connect,
        Verdict::Dns,
        Verdict::Infra,
        Verdict::Interaction,
        Verdict::Poison,
        Verdict::Timeout,
        Verdict::Tls,
    ];
    let failed = passing.iter().any(|verdict| job.verdicts.contains_key(verdict.as_str()));
    let left_out = job.discovered.dropped > 0
        || ["budget", "max_sources"].iter().any(|rule| job.discovered.refused.contains_key(*rule));
    if failed || left_out {
        return Ok(false);
    }
    if !job.verdicts.contains_key(Verdict::HttpError.as_str()) {
        return Ok(true);
    }
    let text =
        "SELECT 1 FROM page WHERE job_id = $1 AND verdict = 'http_error' AND http_status >= 500 LIMIT 1";
    Ok(sql::query(txn, text, vec![job.id.0.into()]).await?.is_empty())
}

/// Pages of the baseline `$2` that are gone in the job `$1`: they say so, or, if `$3`, were not found.
fn removed_from() -> String {
    format!(
        "FROM page b LEFT JOIN page n ON n.job_id = $1 AND n.url_key = b.url_key WHERE b.job_id = $2 \
         AND b.content_key IS NOT NULL AND b.kind = 'page' AND b.url_key IS NOT NULL AND ((n.id IS NULL AND $3) OR {GONE})"
    )
}

impl Store {
    /// Pages of the baseline of a job that are gone, in their order there, after the position `after`.
    pub(super) async fn removed(
        &self,
        job: &Job,
        after: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Page>, Error> {
        let counted = job.changes.filter(|changes| changes.removed.is_some());
        let (Some(changes), Some(baseline)) = (counted, job.baseline) else { return Ok(Vec::new()) };
        let text = format!("SELECT b.* {} AND b.idx > $4 ORDER BY b.idx LIMIT $5", removed_from());
        let values: [Value; 5] = [
            job.id.0.into(),
            baseline.0.into(),
            changes.complete.into(),
            after.unwrap_or(-1).into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let statement = Statement::from_sql_and_values(self.db.backend(), text, values);
        let rows = row::page::Entity::find().from_raw_sql(statement).all(self.db.read()).await?;
        let removed = |page: Page| Page { change: Some(Change::Removed), base: Some(page.id), ..page };
        rows.into_iter().map(|row| Page::try_from(row).map(removed)).collect()
    }
}
