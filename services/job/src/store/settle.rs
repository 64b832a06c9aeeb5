//! Settling: a batch of outcomes in one transaction, with no statement per page.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    time::Duration,
};

use domain::{JobId, Lane, PageId, Verdict};
use sea_orm::{DatabaseTransaction, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, changes, discover, history, hosts, lock, log, row, sql};
use crate::{
    DeepCrawl,
    attempt::{self, Attempt},
    change::Change,
    discovery::Kind,
    error::Error,
    host::Paces,
    job::Job,
    page::{Next, Outcome, Record, Retry, State},
};

/// A job that a batch changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) job: JobId,
    /// The terminal state, if it has just ended.
    pub(crate) ended: Option<crate::job::State>,
}

/// What one batch did.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// For each outcome in its order: the lane of the page, and its verdict if it has one now. None: it was stale.
    pub(crate) verdicts: Vec<Option<(Lane, Option<Verdict>)>>,
    pub(crate) changed: Vec<Changed>,
    /// Whether the webhook service has something to read.
    pub(crate) notify: bool,
    /// Whether pages of these jobs, or for these hosts, wait to be dispatched.
    pub(crate) more: bool,
}

/// What outcomes are settled by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettleRules<'a> {
    pub(crate) retry: &'a Retry,
    pub(crate) progress_interval: Duration,
    pub(crate) deep_crawl: DeepCrawl,
}

/// A page on its way to its next state.
pub(super) struct Move<'a> {
    pub(super) outcome: &'a Outcome,
    /// The lane of the attempt.
    lane: Lane,
    record: Record,
    pub(super) next: Next,
    host: String,
    /// Replaces the detail of the outcome.
    pub(super) detail: Option<String>,
    pub(super) origin: Origin,
    /// Whether its links are followed though it is no success.
    pub(super) lead_on: bool,
    /// Pages that were found on it and are new to the job.
    pub(super) new_links: i64,
    /// Its key in the ledger.
    pub(super) url_key: Option<Vec<u8>>,
    /// The attempts that did not end it.
    history: Vec<Attempt>,
    /// How it differs from the baseline, and from which page there.
    pub(super) change: Option<(Change, Option<PageId>)>,
}

impl Move<'_> {
    /// The URL that stands for the seed of the pages that are found on this one.
    pub(super) fn seed(&self) -> String {
        let told = self.outcome.discovery.as_ref().and_then(|discovery| discovery.seed.clone());
        told.or_else(|| self.origin.seed.clone()).unwrap_or_else(|| self.origin.url.clone())
    }
}

/// Where a page comes from.
pub(super) struct Origin {
    pub(super) kind: Kind,
    pub(super) depth: i32,
    url: String,
    seed: Option<String>,
}

struct Open {
    job: Uuid,
    url_key: Option<Vec<u8>>,
    host: String,
    dispatch_seq: i64,
    record: Record,
    origin: Origin,
    history: Vec<Attempt>,
    dispatch_time: OffsetDateTime,
}

impl Store {
    /// Settles outcomes; each comes with a number in 0..1 that spreads retries. An outcome of another dispatch than the
    /// page's current one, or of a page that is not running, changes nothing.
    pub(crate) async fn settle(
        &self,
        outcomes: &[(Outcome, f64)],
        rules: &SettleRules<'_>,
        now: OffsetDateTime,
    ) -> Result<Settled, Error> {
        self.db.write(async |txn| settle(txn, outcomes, rules, &self.paces, now).await).await
    }
}

async fn settle(
    txn: &DatabaseTransaction,
    outcomes: &[(Outcome, f64)],
    rules: &SettleRules<'_>,
    paces: &Paces,
    now: OffsetDateTime,
) -> Result<Settled, Error> {
    let ids: Vec<Uuid> = outcomes.iter().map(|(outcome, _)| outcome.job.0).collect();
    let mut jobs: BTreeMap<Uuid, (Job, bool)> =
        lock(txn, &ids).await?.into_iter().map(|job| (job.id.0, (job, false))).collect();
    let mut open = running(txn, outcomes).await?;
    let mut moves = Vec::with_capacity(outcomes.len());
    // For each outcome the number of its move. None: it is stale.
    let mut numbers = Vec::with_capacity(outcomes.len());
    for (outcome, chance) in outcomes {
        let page = open.entry(outcome.page.0);
        let (Some((job, touched)), Entry::Occupied(page)) = (jobs.get_mut(&outcome.job.0), page) else {
            numbers.push(None);
            continue;
        };
        if page.get().job != outcome.job.0 || page.get().dispatch_seq != outcome.dispatch_seq {
            numbers.push(None);
            continue;
        }
        // Taken out: a second outcome of the same dispatch in this batch is stale.
        let Open { host, mut record, origin, url_key, mut history, dispatch_time, .. } = page.remove();
        let attempt = Attempt::new(outcome, &record, dispatch_time, now);
        let lane = record.lane;
        let next = rules.retry.settle(&mut record, outcome, &job.spec, *chance);
        if let Next::Again(_) = next {
            attempt::keep(&mut history, attempt, rules.retry.max_history);
        }
        *touched = true;
        numbers.push(Some(moves.len()));
        moves.push(Move {
            outcome,
            lane,
            record,
            next,
            host,
            detail: None,
            origin,
            lead_on: false,
            new_links: 0,
            url_key,
            history,
            change: None,
        });
    }
    let parked = learn(txn, &moves, paces, now).await?;
    book(txn, &mut jobs, &mut moves, rules, now).await?;
    let of = |number: usize| (moves[number].lane, moves[number].next.verdict());
    let verdicts = numbers.into_iter().map(|number| number.map(of)).collect();
    let more = parked || jobs.values().any(|(job, touched)| *touched && job.counts.pending > 0);
    let mut settled = Settled { verdicts, more, ..Settled::default() };
    let changed = jobs.into_values().filter_map(|(job, touched)| touched.then_some(job)).collect();
    advance(txn, changed, rules.progress_interval, now, &mut settled).await?;
    Ok(settled)
}

/// Counts and saves what becomes of pages, and takes in what they led to.
async fn book(
    txn: &DatabaseTransaction,
    jobs: &mut BTreeMap<Uuid, (Job, bool)>,
    moves: &mut [Move<'_>],
    rules: &SettleRules<'_>,
    now: OffsetDateTime,
) -> Result<(), Error> {
    discover::duplicates(txn, moves).await?;
    changes::compare(txn, jobs, moves).await?;
    for page in moves.iter() {
        let Some((job, _)) = jobs.get_mut(&page.outcome.job.0) else { continue };
        match page.next {
            Next::Settled(verdict) => {
                job.settle(verdict);
                let read = verdict == Verdict::Ok && page.origin.kind != Kind::Page;
                job.discovered.read += i64::from(read);
            }
            Next::Again(_) => job.give_back(1),
        }
    }
    for (job, touched) in jobs.values_mut() {
        if *touched && job.spec.follow.is_some() {
            discover::add(txn, job, moves, rules.deep_crawl, now).await?;
        }
    }
    save_pages(txn, moves, now).await
}

/// Ends or advances the jobs that a batch touched, and saves them.
async fn advance(
    txn: &DatabaseTransaction,
    mut jobs: Vec<Job>,
    progress_interval: Duration,
    now: OffsetDateTime,
    settled: &mut Settled,
) -> Result<(), Error> {
    let mut events = Vec::new();
    for job in &mut jobs {
        if job.ends() {
            changes::conclude(txn, job).await?;
        }
        let event = job.advance(now, progress_interval);
        settled.notify |= event.as_ref().is_some_and(|event| event.has_webhook);
        events.extend(event);
        settled.changed.push(Changed { job: job.id, ended: job.state.terminal().then_some(job.state) });
    }
    save(txn, &jobs.iter().collect::<Vec<_>>()).await?;
    log::append(txn, events).await
}

/// The pages of outcomes that are running, by id.
async fn running(
    txn: &DatabaseTransaction,
    outcomes: &[(Outcome, f64)],
) -> Result<HashMap<Uuid, Open>, Error> {
    let ids: Vec<Uuid> = outcomes.iter().map(|(outcome, _)| outcome.page.0).collect();
    let mut pages = HashMap::with_capacity(ids.len());
    for piece in sql::pieces(&sql::sorted(&ids)) {
        let text = format!(
            "SELECT id, job_id, dispatch_seq, lane, lane_reason, attempts, infra_faults, crashes, kind, depth, \
             url, seed, host, url_key, history, dispatch_time FROM page \
             WHERE state = 'running' AND id IN ({})",
            sql::row(1, piece.len())
        );
        for row in sql::query(txn, &text, piece.iter().map(|id| (*id).into()).collect()).await? {
            let lane: String = row.try_get_by_index(3)?;
            let record = Record {
                lane: row::read(&lane)?,
                lane_reason: row.try_get_by_index(4)?,
                attempts: row.try_get_by_index(5)?,
                infra_faults: row.try_get_by_index(6)?,
                crashes: row.try_get_by_index(7)?,
            };
            let (job, dispatch_seq) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
            let origin = Origin {
                kind: row::read(&row.try_get_by_index::<String>(8)?)?,
                depth: row.try_get_by_index(9)?,
                url: row.try_get_by_index(10)?,
                seed: row.try_get_by_index(11)?,
            };
            let (host, url_key) = (row.try_get_by_index(12)?, row.try_get_by_index(13)?);
            let history: Option<serde_json::Value> = row.try_get_by_index(14)?;
            let history = history.map(row::read_json).transpose()?.unwrap_or_default();
            let dispatch_time = sql::time(row.try_get_by_index(15)?);
            let open = Open { job, url_key, host, dispatch_seq, record, origin, history, dispatch_time };
            pages.insert(row.try_get_by_index(0)?, open);
        }
    }
    Ok(pages)
}

/// Tells the hosts what their pages have shown. Returns whether pages wait for any of them.
async fn learn(
    txn: &DatabaseTransaction,
    moves: &[Move<'_>],
    paces: &Paces,
    now: OffsetDateTime,
) -> Result<bool, Error> {
    let mut hosts = hosts::lock(txn, moves.iter().map(|page| page.host.as_str()), now).await?;
    let mut changed = BTreeSet::new();
    for page in moves {
        if let Some(host) = hosts.get_mut(&page.host)
            && host.learn(&page.outcome.answer, now, paces.of(&page.host))
        {
            changed.insert(page.host.as_str());
        }
    }
    let changed: Vec<_> = changed.into_iter().filter_map(|key| hosts.get(key)).collect();
    hosts::save(txn, &changed, now).await?;
    Ok(hosts.values().any(|host| host.parked))
}

async fn save_pages(txn: &DatabaseTransaction, moves: &[Move<'_>], now: OffsetDateTime) -> Result<(), Error> {
    for piece in sql::pieces(moves) {
        let text = format!(
            "UPDATE page SET state = v.column3, verdict = v.column4, detail = v.column5, http_status = v.column6, \
             lane = v.column7, lane_reason = v.column8, attempts = v.column9, infra_faults = v.column10, \
             crashes = v.column11, due_time = v.column12, end_time = v.column13, \
             stored = (page.stored OR v.column14), new_links = v.column15, content_key = v.column16, \
             change = v.column17, base = v.column18, history = v.column19 \
             FROM (VALUES {}) AS v WHERE page.id = v.column1 AND page.dispatch_seq = v.column2 \
             AND page.state = 'running'",
            sql::rows(1, piece.len(), 19)
        );
        let values = piece.iter().flat_map(|page| page_values(page, now)).collect();
        let saved = sql::execute(txn, &text, values).await?.rows_affected();
        expect_rows(piece.len(), saved)?;
    }
    Ok(())
}

fn page_values(page: &Move<'_>, now: OffsetDateTime) -> [Value; 19] {
    let Move { outcome, record, next, .. } = page;
    let (state, verdict, due, end) = match next {
        Next::Settled(verdict) => (State::Done, Some(verdict.as_str()), None, Some(sql::micros(now))),
        Next::Again(Duration::ZERO) => (State::Pending, None, None, None),
        Next::Again(delay) => (State::Pending, None, Some(sql::micros(now + *delay)), None),
    };
    [
        outcome.page.0.into(),
        outcome.dispatch_seq.into(),
        state.as_str().into(),
        verdict.map(str::to_owned).into(),
        page.detail.as_ref().unwrap_or(&outcome.detail).clone().into(),
        outcome.http_status.into(),
        record.lane.as_str().into(),
        record.lane_reason.clone().into(),
        record.attempts.into(),
        record.infra_faults.into(),
        record.crashes.into(),
        due.into(),
        end.into(),
        outcome.stored.into(),
        page.new_links.into(),
        outcome.content_key.map(|key| key.to_vec()).into(),
        page.change.map(|(change, _)| change.as_str().to_owned()).into(),
        page.change.and_then(|(_, base)| base).map(|base| base.0).into(),
        history::value(&page.history),
    ]
}

/// Saves what changes of jobs. They are locked by this transaction.
pub(super) async fn save(txn: &DatabaseTransaction, jobs: &[&Job]) -> Result<(), Error> {
    if let Some(job) = jobs.iter().find(|job| !job.counts.add_up()) {
        return Err(Error::Row(format!("the ledger of job {} would not add up: {:?}", job.id, job.counts)));
    }
    for piece in sql::pieces(jobs) {
        let text = format!(
            "UPDATE job SET state = v.column2, found = v.column3, succeeded = v.column4, failed = v.column5, \
             skipped = v.column6, cancelled = v.column7, pending = v.column8, running = v.column9, \
             verdicts = v.column10, event_sequence = v.column11, start_time = v.column12, end_time = v.column13, \
             progress_time = v.column14, discovery = v.column15, changes = v.column16 FROM (VALUES {}) AS v WHERE job.id = v.column1",
            sql::rows(1, piece.len(), 16)
        );
        let values = piece.iter().flat_map(|job| job_values(job)).collect();
        let saved = sql::execute(txn, &text, values).await?.rows_affected();
        expect_rows(piece.len(), saved)?;
    }
    Ok(())
}

fn job_values(job: &Job) -> [Value; 16] {
    [
        job.id.0.into(),
        job.state.as_str().into(),
        job.counts.found.into(),
        job.counts.succeeded.into(),
        job.counts.failed.into(),
        job.counts.skipped.into(),
        job.counts.cancelled.into(),
        job.counts.pending.into(),
        job.counts.running.into(),
        row::json(&job.verdicts).into(),
        job.event_sequence.into(),
        job.start_time.map(sql::micros).into(),
        job.end_time.map(sql::micros).into(),
        job.progress_time.map(sql::micros).into(),
        job.spec.follow.is_some().then(|| row::json(&job.discovered)).into(),
        job.changes.as_ref().map(row::json).into(),
    ]
}

/// Gives every page of a job that has no verdict this one. An empty `detail` leaves theirs.
pub(super) async fn end_pages(
    txn: &DatabaseTransaction,
    job: JobId,
    verdict: Verdict,
    detail: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let text = "UPDATE page SET state = 'done', verdict = $1, detail = CASE WHEN $2 = '' THEN detail ELSE $2 END, \
                due_time = NULL, host_since = NULL, end_time = $3 WHERE job_id = $4 AND state <> 'done'";
    let values = vec![verdict.as_str().into(), detail.into(), sql::micros(now).into(), job.0.into()];
    sql::execute(txn, text, values).await?;
    Ok(())
}

/// A change of other rows than it was decided on must not be committed: the sums would be wrong.
pub(super) fn expect_rows(expected: usize, saved: u64) -> Result<(), Error> {
    if u64::try_from(expected).is_ok_and(|expected| expected == saved) {
        return Ok(());
    }
    Err(Error::Row(format!("{saved} rows changed instead of {expected}")))
}
