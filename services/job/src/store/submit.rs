//! Accepting a job: the job, its pages and its first event in one transaction, once per request id.

use std::{collections::HashMap, time::Duration};

use domain::{JobId, Lane, PageId, PageUrl, TenantId, Verdict, follow::Sitemaps, id::page_name};
use sea_orm::{DatabaseTransaction, EntityTrait, QueryFilter, Set, prelude::*};
use time::OffsetDateTime;
use tracing::debug;

use super::{Store, log, row, sql};
use crate::{
    change::Changes,
    discovery::{Discovered, Kind},
    error::Error,
    event::{Event, EventType},
    job::{Counts, Job, State, Verdicts},
    page,
    spec::{FIRST_URLS, Submission},
};

/// Two calls with one request id race at most once; more is a fault.
const RACES: usize = 3;

/// A submission that only needs to be written.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    job: Job,
    pages: Vec<row::page::ActiveModel>,
    created: Event,
    /// Its request id and the hash of what it asks for.
    request: Option<(String, [u8; 32])>,
    now: OffsetDateTime,
    memory: Duration,
}

/// The job of a submission, and whether it is new.
pub(crate) type Accepted = Result<(Job, bool), Error>;

impl Prepared {
    /// Makes the rows of a submission. A request id that was used within `memory` will return the first job.
    pub(crate) fn new(
        tenant: TenantId,
        submission: &Submission,
        traceparent: Option<String>,
        now: OffsetDateTime,
        memory: Duration,
    ) -> Self {
        let mut job = new_job(tenant, submission, traceparent, now);
        let pages = ledger(&mut job, submission, now);
        let created = job.record(EventType::Created, now);
        let request = submission.request_id.clone().map(|id| (id, submission.hash()));
        Self { job, pages, created, request, now, memory }
    }

    /// Pages of the job.
    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }
}

impl Store {
    /// Accepts one submission: [`Store::submit_all`] for tests and for large ones.
    pub(crate) async fn submit(&self, prepared: &Prepared) -> Accepted {
        for race in 1.. {
            let one = std::slice::from_ref(prepared);
            let result = self.db.write(async |txn| accept(txn, one).await).await;
            match result {
                Ok(mut accepted) => return accepted.pop().unwrap_or(Err(Error::NotFound(prepared.job.id))),
                // Another call with this request id committed first: its job is there now.
                Err(Error::Store(error)) if race < RACES && store::is_unique_violation(&error) => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("the loop ends with its last race")
    }

    /// Accepts submissions in one transaction; the answers are in their order. A request id that was used before returns the
    /// first job, or fails if it was used for another request. What fails in the database is tried on its own, so that no
    /// submission fails because of another.
    pub(crate) async fn submit_all(&self, group: &[Prepared]) -> Vec<Accepted> {
        if group.len() > 1 {
            match self.db.write(async |txn| accept(txn, group).await).await {
                Ok(accepted) => return accepted,
                Err(error) if error.unavailable() => {
                    // Each on its own would wait in vain as long.
                    return group.iter().map(|_| Err(Error::away())).collect();
                }
                Err(error) => debug!(%error, jobs = group.len(), "submissions are written one by one"),
            }
        }
        let mut accepted = Vec::with_capacity(group.len());
        for prepared in group {
            accepted.push(self.submit(prepared).await);
        }
        accepted
    }
}

/// Writes one submission without request id.
pub(super) async fn accept_one(txn: &DatabaseTransaction, prepared: &Prepared) -> Result<Job, Error> {
    let accepted = accept(txn, std::slice::from_ref(prepared)).await?.pop();
    accepted.unwrap_or(Err(Error::NotFound(prepared.job.id))).map(|(job, _)| job)
}

async fn accept(txn: &DatabaseTransaction, group: &[Prepared]) -> Result<Vec<Accepted>, Error> {
    let mut accepted = Vec::with_capacity(group.len());
    let mut new: Vec<&Prepared> = Vec::with_capacity(group.len());
    for prepared in group {
        match earlier(txn, prepared, &new).await {
            Ok(None) => {
                new.push(prepared);
                accepted.push(Ok((prepared.job.clone(), true)));
            }
            Ok(Some(first)) => accepted.push(Ok((first, false))),
            Err(error @ Error::RequestIdReused(_)) => accepted.push(Err(error)),
            Err(error) => return Err(error),
        }
    }
    let jobs: Vec<_> = new
        .iter()
        .map(|new| row::job::insert(&new.job, new.request.as_ref().map(|(id, hash)| (id.as_str(), *hash))))
        .collect();
    for piece in sql::pieces(&jobs) {
        row::job::Entity::insert_many(piece.iter().cloned()).exec_without_returning(txn).await?;
    }
    let pages: Vec<_> = new.iter().flat_map(|new| &new.pages).collect();
    for piece in sql::pieces(&pages) {
        let rows = piece.iter().map(|row| (*row).clone());
        row::page::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    save_labels(txn, &new).await?;
    log::append(txn, new.iter().map(|new| new.created.clone()).collect()).await?;
    Ok(accepted)
}

/// The job of an earlier call with the same request id, be it of this group.
async fn earlier(
    txn: &DatabaseTransaction,
    prepared: &Prepared,
    group: &[&Prepared],
) -> Result<Option<Job>, Error> {
    let Some((id, hash)) = &prepared.request else { return Ok(None) };
    let tenant = prepared.job.tenant;
    let same = |other: &&&Prepared| {
        other.job.tenant == tenant && other.request.as_ref().is_some_and(|(other, _)| other == id)
    };
    if let Some(first) = group.iter().find(same) {
        let asked_the_same = first.request.as_ref().is_some_and(|(_, other)| other == hash);
        return if asked_the_same {
            Ok(Some(first.job.clone()))
        } else {
            Err(Error::RequestIdReused(first.job.id))
        };
    }
    first_of(txn, tenant, id, *hash, prepared.now, prepared.memory).await
}

async fn save_labels(txn: &DatabaseTransaction, new: &[&Prepared]) -> Result<(), Error> {
    let labels: Vec<(&Job, &String, &String)> = new
        .iter()
        .flat_map(|new| new.job.labels.iter().map(|(name, value)| (&new.job, name, value)))
        .collect();
    for piece in sql::pieces(&labels) {
        let text = format!(
            "INSERT INTO label (job_id, tenant, name, value) VALUES {}",
            sql::rows(1, piece.len(), 4)
        );
        let row = |(job, name, value): &(&Job, &String, &String)| {
            [job.id.0.into(), job.tenant.0.into(), (*name).clone().into(), (*value).clone().into()]
        };
        sql::execute(txn, &text, piece.iter().flat_map(row).collect()).await?;
    }
    Ok(())
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
        deadline: submission.max_duration.map(|time| now + time),
        retry_of: submission.retry_of,
        schedule: submission.schedule,
        baseline: submission.baseline,
        changes: submission.track_changes.then(Changes::default),
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
        rule: Set("seed".to_owned()),
        seed: Set(None),
        kind: Set(Kind::Page.as_str().to_owned()),
        found_time: Set(Some(sql::micros(now))),
        first_dispatch_time: Set(None),
        new_links: Set(0),
        content_key: Set(None),
        change: Set(None),
        base: Set(None),
        history: Set(None),
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
