//! Pages that were found on pages: which of them are the same, and which are taken into the ledger, in the transaction that settles
//! the pages they were found on.
//!
//! Promises: a URL is one page of its job; the budget holds exactly, because the job is locked; a page that is known under an equal
//! address or text is a duplicate of the first that was.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{JobId, Lane, PageId, Verdict, id::page_name};
use sea_orm::{DatabaseTransaction, EntityTrait, Set};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{row, settle::Move, sql, submit::pending};
use crate::{
    DeepCrawl,
    discovery::{Discovery, Found, Key, Kind},
    error::Error,
    frontier::{self, Place},
    job::Job,
    page::{self, Next},
};

/// Bits in which two SimHashes of nearly the same text differ at most.
const NEAR: u32 = 3;
/// Pages with a common band that are compared.
const MAX_CANDIDATES: usize = 1000;

/// A new page, and the page that it was found on.
struct New<'a> {
    found: &'a Found,
    parent: usize,
    depth: i32,
    rank: i64,
}

/// Gives pages that are the same as an earlier one of their job the verdict `duplicate`.
pub(super) async fn duplicates(txn: &DatabaseTransaction, moves: &mut [Move<'_>]) -> Result<(), Error> {
    let mut owners = claimed(txn, moves).await?;
    let (mut claims, mut prints) = (Vec::new(), Vec::new());
    for page in moves.iter_mut() {
        let (outcome, Some(discovery)) = (page.outcome, judged(page)) else { continue };
        let (job, id) = (outcome.job, outcome.page);
        let owner_of = |key: &Key| owners.get(&(job, *key)).copied().filter(|owner| *owner != id);
        let by_url = discovery.identities.iter().find_map(owner_of);
        let by_text = discovery.text_key.as_ref().and_then(owner_of);
        let near = match (by_url.or(by_text), discovery.simhash) {
            (None, Some(simhash)) => near(txn, &prints, job, simhash).await?,
            _ => None,
        };
        if let Some(original) = by_url.or(by_text).or(near) {
            let nearly = if near.is_some() { "nearly a " } else { "" };
            page.next = Next::Settled(Verdict::Duplicate);
            page.detail = Some(format!("{nearly}duplicate of {}", page_name(job, original)));
            // Another address of the same text may be one of endlessly many; another address of the same page is not.
            page.lead_on = by_url.is_some() && by_text.is_none();
            continue;
        }
        for key in discovery.identities.iter().chain(&discovery.text_key) {
            if owners.insert((job, *key), id).is_none() {
                claims.push((job, *key, id));
            }
        }
        prints.extend(discovery.simhash.map(|simhash| (job, simhash, id)));
    }
    save_claims(txn, &claims).await?;
    save_prints(txn, &prints).await
}

/// What a page is known under, if it is a success.
fn judged<'a>(page: &Move<'a>) -> Option<&'a Discovery> {
    let success = matches!(page.next, Next::Settled(Verdict::Ok)) && page.origin.kind == Kind::Page;
    page.outcome.discovery.as_deref().filter(|_| success)
}

/// Who has the keys of these pages.
async fn claimed(
    txn: &DatabaseTransaction,
    moves: &[Move<'_>],
) -> Result<HashMap<(JobId, Key), PageId>, Error> {
    let mut keys: BTreeMap<Uuid, Vec<Key>> = BTreeMap::new();
    for page in moves {
        if let Some(discovery) = judged(page) {
            let known = keys.entry(page.outcome.job.0).or_default();
            known.extend(discovery.identities.iter().chain(&discovery.text_key));
        }
    }
    let mut owners = HashMap::new();
    for (job, keys) in keys {
        for piece in sql::pieces(&keys) {
            let text = format!(
                "SELECT claim, page_id FROM page_claim WHERE job_id = $1 AND claim IN ({})",
                sql::row(2, piece.len())
            );
            for row in sql::query(txn, &text, with_job(job, piece)).await? {
                let claim: Vec<u8> = row.try_get_by_index(0)?;
                if let Ok(key) = Key::try_from(claim.as_slice()) {
                    owners.insert((JobId(job), key), PageId(row.try_get_by_index(1)?));
                }
            }
        }
    }
    Ok(owners)
}

fn with_job(job: Uuid, keys: &[Key]) -> Vec<sea_orm::Value> {
    std::iter::once(job.into()).chain(keys.iter().map(|key| key.to_vec().into())).collect()
}

/// A page of the job with nearly the same text.
async fn near(
    txn: &DatabaseTransaction,
    batch: &[(JobId, u64, PageId)],
    job: JobId,
    simhash: u64,
) -> Result<Option<PageId>, Error> {
    let close = |other: u64| (other ^ simhash).count_ones() <= NEAR;
    if let Some((_, _, page)) = batch.iter().find(|(of, other, _)| *of == job && close(*other)) {
        return Ok(Some(*page));
    }
    let text = format!(
        "SELECT simhash, page_id FROM page_print WHERE job_id = $1 AND ((band = 0 AND bits = $2) OR (band = 1 AND bits = $3) \
         OR (band = 2 AND bits = $4) OR (band = 3 AND bits = $5)) LIMIT {MAX_CANDIDATES}"
    );
    let values = std::iter::once(job.0.into()).chain(bands(simhash).map(Into::into)).collect();
    for row in sql::query(txn, &text, values).await? {
        let other: i64 = row.try_get_by_index(0)?;
        if close(other.cast_unsigned()) {
            return Ok(Some(PageId(row.try_get_by_index(1)?)));
        }
    }
    Ok(None)
}

fn bands(simhash: u64) -> [i32; 4] {
    [0, 16, 32, 48].map(|shift| i32::from((simhash >> shift) as u16))
}

async fn save_claims(txn: &DatabaseTransaction, claims: &[(JobId, Key, PageId)]) -> Result<(), Error> {
    for piece in sql::pieces(claims) {
        let rows = sql::rows(1, piece.len(), 3);
        let text =
            format!("INSERT INTO page_claim (job_id, claim, page_id) VALUES {rows} ON CONFLICT DO NOTHING");
        let values =
            piece.iter().flat_map(|(job, key, page)| [job.0.into(), key.to_vec().into(), page.0.into()]);
        sql::execute(txn, &text, values.collect()).await?;
    }
    Ok(())
}

async fn save_prints(txn: &DatabaseTransaction, prints: &[(JobId, u64, PageId)]) -> Result<(), Error> {
    let rows: Vec<_> = prints
        .iter()
        .flat_map(|(job, simhash, page)| {
            (0_i16..).zip(bands(*simhash)).map(move |(band, bits)| (*job, band, bits, *simhash, *page))
        })
        .collect();
    for piece in sql::pieces(&rows) {
        let places = sql::rows(1, piece.len(), 5);
        let text = format!("INSERT INTO page_print (job_id, band, bits, simhash, page_id) VALUES {places}");
        let values = piece.iter().flat_map(|(job, band, bits, simhash, page)| {
            [job.0.into(), (*band).into(), (*bits).into(), simhash.cast_signed().into(), page.0.into()]
        });
        sql::execute(txn, &text, values.collect()).await?;
    }
    Ok(())
}

/// Takes what the settled pages of a job led to into its ledger.
pub(super) async fn add(
    txn: &DatabaseTransaction,
    job: &mut Job,
    moves: &mut [Move<'_>],
    limits: DeepCrawl,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let mut new = candidates(job, moves);
    if new.is_empty() {
        return Ok(());
    }
    let known = known(txn, job, &new).await?;
    let before = new.len();
    new.retain(|page| !known.contains(&page.found.key));
    job.discovered.refuse("known", count(before - new.len()));

    let (sources, pages): (Vec<New<'_>>, Vec<New<'_>>) =
        new.into_iter().partition(|new| new.found.kind != Kind::Page);
    let room = usize::try_from(limits.max_sources - job.discovered.sources).unwrap_or(0);
    let (taken, over) = sources.split_at(room.min(sources.len()));
    job.discovered.refuse("max_sources", count(over.len()));
    insert(txn, job, moves, &taken.iter().map(|new| (new, false)).collect::<Vec<_>>(), now).await?;
    job.discovered.sources += count(taken.len());

    let first = job.counts.found;
    let places: Vec<Place> = pages.iter().zip(first..).map(|(new, idx)| (new.rank, idx)).collect();
    let room = usize::try_from(job.room()).unwrap_or(0);
    let lines = usize::try_from(limits.budget_lines - job.over_budget()).unwrap_or(0);
    let waiting = worst(txn, job, places.len().saturating_sub(room).min(lines)).await?;
    let worst: Vec<Place> = waiting.iter().map(|(_, place)| *place).collect();
    let plan = frontier::plan(&places, room, &worst, lines);
    let displaced: Vec<Uuid> = plan.displaced.iter().map(|number| waiting[*number].0).collect();
    displace(txn, job, &displaced, now).await?;
    job.discovered.refuse("budget", count(plan.counted));
    let mut rows: Vec<(usize, bool)> = plan.taken.into_iter().map(|number| (number, false)).collect();
    rows.extend(plan.refused.into_iter().map(|number| (number, true)));
    rows.sort_unstable();
    let rows: Vec<_> = rows.into_iter().map(|(number, over)| (&pages[number], over)).collect();
    insert(txn, job, moves, &rows, now).await
}

fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

/// The links of the pages of a job, each once, in the order in which they were found. Counts what the rules refused.
fn candidates<'a>(job: &mut Job, moves: &[Move<'a>]) -> Vec<New<'a>> {
    let (mut new, mut seen) = (Vec::new(), HashSet::new());
    let Some(follow) = job.spec.follow.clone() else { return new };
    for (parent, page) in moves.iter().enumerate() {
        let leads = matches!(page.next, Next::Settled(Verdict::Ok)) || page.lead_on;
        let discovery = page.outcome.discovery.as_deref().filter(|_| leads && page.outcome.job == job.id);
        let Some(discovery) = discovery else { continue };
        for (rule, links) in &discovery.refused {
            job.discovered.refuse(rule, *links);
        }
        job.discovered.dropped += discovery.dropped;
        for found in &discovery.links {
            // What a sitemap names is a click away from nothing: it is a first step.
            let depth = match (page.origin.kind, found.kind) {
                (Kind::RobotsFile | Kind::Sitemap, Kind::Page) => 1,
                _ => page.origin.depth + 1,
            };
            if !seen.insert(found.key) {
                job.discovered.refuse("known", 1);
                continue;
            }
            let rank = match found.kind {
                Kind::Page => follow.rank(u32::try_from(depth).unwrap_or(0), found.score),
                // Before all pages: they say which pages there are.
                Kind::RobotsFile | Kind::Sitemap => i64::from(i32::MIN),
            };
            new.push(New { found, parent, depth, rank });
        }
    }
    new
}

/// Keys that are pages of the job already.
async fn known(txn: &DatabaseTransaction, job: &Job, new: &[New<'_>]) -> Result<HashSet<Key>, Error> {
    let keys: Vec<Key> = new.iter().map(|new| new.found.key).collect();
    let mut known = HashSet::new();
    for piece in sql::pieces(&keys) {
        let text = format!(
            "SELECT url_key FROM page WHERE job_id = $1 AND url_key IN ({})",
            sql::row(2, piece.len())
        );
        for row in sql::query(txn, &text, with_job(job.id.0, piece)).await? {
            let key: Vec<u8> = row.try_get_by_index(0)?;
            known.extend(Key::try_from(key.as_slice()));
        }
    }
    Ok(known)
}

/// Found pages that wait and were never handed out, the worst first.
async fn worst(txn: &DatabaseTransaction, job: &Job, limit: usize) -> Result<Vec<(Uuid, Place)>, Error> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let text = "SELECT id, rank, idx FROM page WHERE job_id = $1 AND state = 'pending' AND dispatch_seq = 0 \
                AND depth > 0 AND kind = 'page' ORDER BY rank DESC, idx DESC LIMIT $2";
    let rows = sql::query(txn, text, vec![job.id.0.into(), count(limit).into()]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, (row.try_get_by_index(1)?, row.try_get_by_index(2)?))))
        .collect()
}

async fn displace(
    txn: &DatabaseTransaction,
    job: &mut Job,
    pages: &[Uuid],
    now: OffsetDateTime,
) -> Result<(), Error> {
    for piece in sql::pieces(pages) {
        let text = format!(
            "UPDATE page SET state = 'done', verdict = 'budget', detail = 'a better page took its place', due_time = NULL, \
             host_since = NULL, end_time = $1 WHERE state = 'pending' AND dispatch_seq = 0 AND id IN ({})",
            sql::row(2, piece.len())
        );
        let ids = piece.iter().map(|id| (*id).into());
        let values = std::iter::once(sql::micros(now).into()).chain(ids).collect();
        let displaced = sql::execute(txn, &text, values).await?.rows_affected();
        super::settle::expect_rows(piece.len(), displaced)?;
    }
    job.displace(count(pages.len()));
    Ok(())
}

/// Writes new lines of the ledger; those that are over the budget have their verdict.
async fn insert(
    txn: &DatabaseTransaction,
    job: &mut Job,
    moves: &mut [Move<'_>],
    new: &[(&New<'_>, bool)],
    now: OffsetDateTime,
) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(new.len());
    for (new, over) in new {
        let (found, parent) = (new.found, &mut moves[new.parent]);
        parent.new_links += 1;
        let mut row = pending(job, PageId::new(), job.counts.found, found.url.as_str(), &found.url, now);
        row.url_key = Set(Some(found.key.to_vec()));
        row.depth = Set(new.depth);
        row.rank = Set(new.rank);
        row.score = Set(found.score);
        row.found_on = Set(Some(parent.outcome.page.0));
        row.rule = Set(found.rule.clone());
        row.kind = Set(found.kind.as_str().to_owned());
        row.seed = Set(Some(parent.seed()));
        if found.kind != Kind::Page {
            row.lane = Set(Lane::Http.as_str().to_owned());
            row.lane_reason = Set("a file".to_owned());
        }
        if *over {
            row.state = Set(page::State::Done.as_str().to_owned());
            row.verdict = Set(Some(Verdict::Budget.as_str().to_owned()));
            row.detail = Set("max_pages is reached".to_owned());
            row.end_time = Set(Some(sql::micros(now)));
        }
        job.add_found(i64::from(!*over), i64::from(*over));
        rows.push(row);
    }
    for piece in sql::pieces(&rows) {
        row::page::Entity::insert_many(piece.iter().cloned()).exec_without_returning(txn).await?;
    }
    Ok(())
}
