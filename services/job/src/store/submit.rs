//! Accepting a job: the job, its pages and its first event in one transaction, once per request id.

use std::{collections::HashMap, time::Duration};

use domain::{JobId, Lane, PageId, PageUrl, TenantId, Verdict, follow::Sitemaps, id::page_name};
use sea_orm::{DatabaseTransaction, EntityTrait, QueryFilter, Set, prelude::*};
use time::OffsetDateTime;

use super::{Store, log, row, sql};
use crate::{
    discovery::{Discovered, Kind},
    error::Error,
    event::EventType,
    job::{Counts, Job, State, Verdicts},
    page,
    spec::{FIRST_URLS, Submission},
};

/// Rows of one insert; with 34 columns it stays below SQLite's 32 766 values.
pub(super) const INSERT: usize = 500;
/// Two calls with one request id race at most once; more is a fault.
const RACES: usize = 3;

impl Store {
    /// Accepts a submission. Returns the job, and whether it is new: a request id that was used within `memory` returns the
    /// first job, or fails if it was used for another request.
    pub(crate) async fn submit(
        &self,
        tenant: TenantId,
        submission: &Submission,
        traceparent: Option<String>,
        now: OffsetDateTime,
        memory: Duration,
    ) -> Result<(Job, bool), Error> {
        let mut job = new_job(tenant, submission, traceparent, now);
        let pages = ledger(&mut job, submission, now);
        let created = job.record(EventType::Created, now);
        let request = submission.request_id.as_deref().map(|id| (id, submission.hash()));
        for race in 1.. {
            let result = self
                .db
                .write(async |txn| {
                    if let Some((id, hash)) = request
                        && let Some(first) = first_of(txn, tenant, id, hash, now, memory).await?
                    {
                        return Ok((first, false));
                    }
                    row::job::Entity::insert(row::job::insert(&job, request))
                        .exec_without_returning(txn)
                        .await?;
                    for rows in pages.chunks(INSERT) {
                        row::page::Entity::insert_many(rows.iter().cloned())
                            .exec_without_returning(txn)
                            .await?;
                    }
                    log::append(txn, vec![created.clone()]).await?;
                    Ok((job.clone(), true))
                })
                .await;
            match result {
                // Another call with this request id committed first: its job is there now.
                Err(Error::Store(error)) if race < RACES && store::is_unique_violation(&error) => {}
                result => return result,
            }
        }
        unreachable!("the loop ends with its last race")
    }
}

fn new_job(
    tenant: TenantId,
    submission: &Submission,
    traceparent: Option<String>,
    now: OffsetDateTime,
) -> Job {
    Job {
        id: JobId::new(),
        tenant,
        state: State::Queued,
        priority: submission.priority,
        spec: submission.spec.clone(),
        spec_version: 1,
        webhook: submission.webhook.clone(),
        labels: submission.labels.clone(),
        first_urls: submission.urls.iter().take(FIRST_URLS).map(|(url, _)| url.clone()).collect(),
        counts: Counts::default(),
        verdicts: Verdicts::new(),
        discovered: Discovered::default(),
        event_sequence: 0,
        traceparent,
        create_time: now,
        start_time: None,
        end_time: None,
        progress_time: None,
    }
}

/// The rows of the pages, counted in the job. A URL that comes twice is fetched once.
fn ledger(job: &mut Job, submission: &Submission, now: OffsetDateTime) -> Vec<row::page::ActiveModel> {
    let mut first = HashMap::with_capacity(submission.urls.len());
    let mut rows = Vec::with_capacity(submission.urls.len());
    for (idx, (text, url)) in (0..).zip(&submission.urls) {
        let (id, key) = (PageId::new(), job.spec.key(url));
        let mut row = pending(job, id, idx, text, url, now);
        let original = *first.entry(key).or_insert(id);
        if original == id {
            row.url_key = Set(Some(key.to_vec()));
            job.add_pages(1, 0);
        } else {
            row.state = Set(page::State::Done.as_str().to_owned());
            row.verdict = Set(Some(Verdict::Duplicate.as_str().to_owned()));
            row.detail = Set(format!("duplicate of {}", page_name(job.id, original)));
            row.end_time = Set(Some(sql::micros(now)));
            job.add_pages(0, 1);
        }
        rows.push(row);
    }
    if job.spec.follow.as_ref().is_some_and(|follow| follow.sitemaps != Sitemaps::Skip) {
        sources(job, submission, &mut first, &mut rows, now);
    }
    rows
}

/// The robots.txt files of the seeds' hosts, each once: they name the sitemaps.
fn sources(
    job: &mut Job,
    submission: &Submission,
    first: &mut HashMap<[u8; 16], PageId>,
    rows: &mut Vec<row::page::ActiveModel>,
    now: OffsetDateTime,
) {
    for (_, seed) in &submission.urls {
        let Ok(Ok(url)) = seed.as_url().join("/robots.txt").map(PageUrl::try_from) else { continue };
        let (id, key) = (PageId::new(), job.spec.key(&url));
        if first.contains_key(&key) {
            continue;
        }
        first.insert(key, id);
        let mut row = pending(job, id, job.counts.found, url.as_str(), &url, now);
        row.url_key = Set(Some(key.to_vec()));
        row.kind = Set(Kind::RobotsFile.as_str().to_owned());
        row.seed = Set(Some(seed.as_str().to_owned()));
        row.rule = Set("sitemaps".to_owned());
        row.lane = Set(Lane::Http.as_str().to_owned());
        row.lane_reason = Set("a file".to_owned());
        job.add_pages(1, 0);
        job.discovered.sources += 1;
        rows.push(row);
    }
}

/// The row of a seed.
pub(super) fn pending(
    job: &Job,
    id: PageId,
    idx: i64,
    text: &str,
    url: &PageUrl,
    now: OffsetDateTime,
) -> row::page::ActiveModel {
    let (lane, lane_reason) = job.spec.first_lane();
    let follow = job.spec.follow.as_ref();
    row::page::ActiveModel {
        id: Set(id.0),
        job_id: Set(job.id.0),
        tenant: Set(job.tenant.0),
        idx: Set(idx),
        url: Set(text.to_owned()),
        url_key: Set(None),
        host: Set(url.host_key()),
        lane: Set(lane.as_str().to_owned()),
        lane_reason: Set(lane_reason.to_owned()),
        priority: Set(row::rank(job.priority)),
        state: Set(page::State::Pending.as_str().to_owned()),
        verdict: Set(None),
        detail: Set(String::new()),
        http_status: Set(None),
        attempts: Set(0),
        infra_faults: Set(0),
        crashes: Set(0),
        dispatch_seq: Set(0),
        dispatch_time: Set(None),
        due_time: Set(None),
        end_time: Set(None),
        stored: Set(false),
        host_since: Set(None),
        host_wait: Set(0),
        depth: Set(0),
        rank: Set(follow.map_or(0, |follow| follow.rank(0, None))),
        score: Set(None),
        found_on: Set(None),
        rule: Set(if follow.is_some() { "seed".to_owned() } else { String::new() }),
        seed: Set(None),
        kind: Set(Kind::Page.as_str().to_owned()),
        found_time: Set(Some(sql::micros(now))),
        first_dispatch_time: Set(None),
        new_links: Set(0),
    }
}

/// The job of an earlier call with this request id.
async fn first_of(
    txn: &DatabaseTransaction,
    tenant: TenantId,
    id: &str,
    hash: [u8; 32],
    now: OffsetDateTime,
    memory: Duration,
) -> Result<Option<Job>, Error> {
    let found = row::job::Entity::find()
        .filter(row::job::Column::Tenant.eq(tenant.0))
        .filter(row::job::Column::RequestId.eq(id))
        .one(txn)
        .await?;
    let Some(row) = found else { return Ok(None) };
    if sql::time(row.create_time) + memory <= now {
        // Forgotten, only not yet cleared by the sweep.
        let clear = "UPDATE job SET request_id = NULL, request_hash = NULL WHERE id = $1";
        sql::execute(txn, clear, vec![row.id.into()]).await?;
        return Ok(None);
    }
    if row.request_hash.as_deref() != Some(hash.as_slice()) {
        return Err(Error::RequestIdReused(JobId(row.id)));
    }
    Job::try_from(row).map(Some)
}
