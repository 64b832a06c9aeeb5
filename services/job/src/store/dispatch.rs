//! Handing pages to the queue, and taking back those that it lost.

use std::collections::{BTreeMap, HashMap};

use domain::{JobId, Lane, PageId, Priority, TenantId};
use sea_orm::{DatabaseTransaction, QueryResult};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, control, history, hosts, lock, log, row, settle, sql};
use crate::{
    discovery::Kind,
    error::Error,
    host::{Admission, Paces},
    job::{Job, State},
};

/// A page that may be dispatched, if its host is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) page: PageId,
    pub(crate) job: JobId,
    pub(crate) tenant: TenantId,
    pub(crate) host: String,
    /// Whether it waited for its host.
    pub(crate) parked: bool,
}

/// A page that was marked as running; what its task says.
#[derive(Debug, Clone)]
pub(crate) struct Dispatched {
    pub(crate) id: PageId,
    pub(crate) job: JobId,
    pub(crate) tenant: TenantId,
    pub(crate) dispatch_seq: i64,
    pub(crate) url: String,
    pub(crate) lane: Lane,
    pub(crate) lane_reason: String,
    pub(crate) priority: Priority,
    pub(crate) attempts: i32,
    pub(crate) crashes: i32,
    pub(crate) spec_version: i32,
    pub(crate) depth: i32,
    /// The URL of the seed that it descends from, if it is another.
    pub(crate) seed: Option<String>,
    pub(crate) kind: Kind,
    /// The trace of the job.
    pub(crate) traceparent: Option<String>,
    /// Whether its tenant has few pages out, so that it goes before those of others.
    pub(crate) first: bool,
}

impl Dispatched {
    /// The dispatch, as the ledger knows it.
    pub(crate) fn held(&self) -> Held {
        Held { page: self.id, job: self.job, dispatch_seq: self.dispatch_seq }
    }
}

/// A page that the queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) page: PageId,
    pub(crate) job: JobId,
    pub(crate) dispatch_seq: i64,
}

/// What one dispatch transaction did.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// The pages, in the order in which they were picked.
    pub(crate) pages: Vec<Dispatched>,
    /// Pages that wait for their host from now on.
    pub(crate) parked: usize,
    /// Jobs that started.
    pub(crate) started: Vec<JobId>,
    /// Whether the webhook service has something to read.
    pub(crate) notify: bool,
}

/// What pages of the frontier look like; the words of the partial index.
pub(super) const FRONTIER: &str = "state = 'pending' AND due_time IS NULL AND host_since IS NULL";

impl Store {
    /// Puts pages whose back-off is over into the frontier. Returns whether there were any.
    pub(crate) async fn promote(&self, now: OffsetDateTime) -> Result<bool, Error> {
        let due =
            "SELECT 1 FROM page WHERE state = 'pending' AND due_time IS NOT NULL AND due_time <= $1 LIMIT 1";
        let now = sql::micros(now);
        // Read first: on SQLite every write waits for the one writer.
        if sql::query(self.db.read(), due, vec![now.into()]).await?.is_empty() {
            return Ok(false);
        }
        let promote = "UPDATE page SET due_time = NULL WHERE state = 'pending' AND due_time IS NOT NULL AND due_time <= $1";
        self.db
            .write(async |txn| {
                sql::execute(txn, promote, vec![now.into()]).await?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(true)
    }

    /// When the next back-off ends, and None if no page waits for one.
    pub(crate) async fn next_due(&self) -> Result<Option<OffsetDateTime>, Error> {
        let text = "SELECT due_time FROM page WHERE state = 'pending' AND due_time IS NOT NULL AND due_time < $1 \
                    ORDER BY due_time LIMIT 1";
        let rows = sql::query(self.db.read(), text, vec![control::HELD.into()]).await?;
        let due: Option<i64> = rows.first().map(|row| row.try_get_by_index(0)).transpose()?;
        Ok(due.map(sql::time))
    }

    /// Marks picked pages as running, each with a new dispatch number. Pages that are no longer pending are left out, and
    /// so are those whose host is not due: they wait for it, outside the frontier.
    pub(crate) async fn dispatch(&self, picked: &[Picked], now: OffsetDateTime) -> Result<Turn, Error> {
        if picked.is_empty() {
            return Ok(Turn::default());
        }
        self.db.write(async |txn| dispatch(txn, picked, &self.paces, now).await).await
    }

    /// Pages of a lane that were dispatched before `before` and have no outcome, oldest first.
    pub(crate) async fn overdue(
        &self,
        lane: Lane,
        before: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Held>, Error> {
        let text = "SELECT id, job_id, dispatch_seq FROM page WHERE state = 'running' AND lane = $1 \
                    AND dispatch_time < $2 ORDER BY dispatch_time LIMIT $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![lane.as_str().into(), sql::micros(before).into(), limit.into()];
        let rows = sql::query(self.db.read(), text, values).await?;
        rows.iter()
            .map(|row| {
                Ok(Held {
                    page: PageId(row.try_get_by_index(0)?),
                    job: JobId(row.try_get_by_index(1)?),
                    dispatch_seq: row.try_get_by_index(2)?,
                })
            })
            .collect()
    }

    /// Pages of a lane that were dispatched from `after` to `before` and have no outcome, as they were dispatched.
    pub(crate) async fn out(
        &self,
        lane: Lane,
        after: OffsetDateTime,
        before: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Dispatched>, Error> {
        let text = "SELECT p.id, p.job_id, p.tenant, p.dispatch_seq, p.url, p.lane, p.lane_reason, p.priority, p.attempts, \
                    p.crashes, p.depth, p.seed, p.kind, j.spec_version, j.traceparent FROM page p JOIN job j ON j.id = p.job_id \
                    WHERE p.state = 'running' AND p.lane = $1 AND p.dispatch_time >= $2 AND p.dispatch_time <= $3 \
                    ORDER BY p.dispatch_time LIMIT $4";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (after, before) = (sql::micros(after), sql::micros(before));
        let values = vec![lane.as_str().into(), after.into(), before.into(), limit.into()];
        let rows = sql::query(self.db.read(), text, values).await?;
        rows.iter().map(|row| dispatched(row, row.try_get_by_index(13)?, row.try_get_by_index(14)?)).collect()
    }

    /// Puts dispatched pages back into the frontier, unless something happened to them in between. Returns how many.
    /// `lost`: why that was an attempt; None: no crawler can have seen them.
    pub(crate) async fn give_back(
        &self,
        held: &[Held],
        lost: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<u64, Error> {
        if held.is_empty() {
            return Ok(0);
        }
        self.db.write(async |txn| give_back(txn, held, lost, self.max_history, now).await).await
    }
}

async fn dispatch(
    txn: &DatabaseTransaction,
    picked: &[Picked],
    paces: &Paces,
    now: OffsetDateTime,
) -> Result<Turn, Error> {
    let ids: Vec<Uuid> = picked.iter().map(|picked| picked.job.0).collect();
    let mut jobs: BTreeMap<Uuid, Job> =
        lock(txn, &ids).await?.into_iter().map(|job| (job.id.0, job)).collect();
    let mut turn = Turn::default();
    let paused = |page: &Picked| jobs.get(&page.job.0).is_some_and(|job| job.state == State::Paused);
    let (held, picked): (Vec<&Picked>, Vec<&Picked>) = picked.iter().partition(|page| paused(page));
    control::hold(txn, &held, now).await?;
    let admitted = admit(txn, &picked, paces, now, &mut turn).await?;
    let mut marked = mark(txn, &admitted, &jobs, now).await?;
    let emptied: Vec<&str> =
        admitted.iter().filter(|page| page.parked).map(|page| page.host.as_str()).collect();
    hosts::unmark(txn, &emptied).await?;
    let mut events = Vec::new();
    for (id, job) in &mut jobs {
        let pages = marked.values().filter(|page| page.job.0 == *id).count();
        if let Some(event) =
            (pages > 0).then(|| job.dispatch(pages.try_into().unwrap_or(i64::MAX), now)).flatten()
        {
            turn.started.push(job.id);
            turn.notify |= event.has_webhook;
            events.push(event);
        }
    }
    settle::save(txn, &jobs.values().collect::<Vec<_>>()).await?;
    log::append(txn, events).await?;
    turn.pages = picked.iter().filter_map(|picked| marked.remove(&picked.page)).collect();
    Ok(turn)
}

/// Asks the host of each page. Returns the pages that may start; the others wait for their host from now on.
async fn admit<'a>(
    txn: &DatabaseTransaction,
    picked: &[&'a Picked],
    paces: &Paces,
    now: OffsetDateTime,
    turn: &mut Turn,
) -> Result<Vec<&'a Picked>, Error> {
    let before = hosts::lock(txn, picked.iter().map(|page| page.host.as_str()), now).await?;
    let mut hosts = before.clone();
    let mut running = hosts::running(txn).await?;
    let (mut admitted, mut parked) = (Vec::with_capacity(picked.len()), Vec::new());
    for &page in picked {
        let Some(host) = hosts.get_mut(&page.host) else { continue };
        let running = running.entry(page.host.clone()).or_default();
        match host.admit(*running, now, paces.of(&page.host)) {
            Admission::Now => {
                *running += 1;
                if page.parked {
                    host.served = Some(page.tenant);
                }
                admitted.push(page);
            }
            Admission::Later => {
                host.parked = true;
                parked.extend((!page.parked).then_some(page));
            }
        }
    }
    park(txn, &parked, now).await?;
    turn.parked = parked.len();
    let changed: Vec<_> = hosts.values().filter(|host| before.get(&host.key) != Some(*host)).collect();
    hosts::save(txn, &changed, now).await?;
    Ok(admitted)
}

async fn park(txn: &DatabaseTransaction, pages: &[&Picked], now: OffsetDateTime) -> Result<(), Error> {
    for piece in sql::pieces(pages) {
        let text = format!(
            "UPDATE page SET host_since = $1 WHERE {FRONTIER} AND id IN ({})",
            sql::row(2, piece.len())
        );
        let ids = piece.iter().map(|picked| picked.page.0.into());
        sql::execute(txn, &text, std::iter::once(sql::micros(now).into()).chain(ids).collect()).await?;
    }
    Ok(())
}

async fn mark(
    txn: &DatabaseTransaction,
    picked: &[&Picked],
    jobs: &BTreeMap<Uuid, Job>,
    now: OffsetDateTime,
) -> Result<HashMap<PageId, Dispatched>, Error> {
    let mut marked = HashMap::with_capacity(picked.len());
    for piece in sql::pieces(picked) {
        let text = format!(
            "UPDATE page SET state = 'running', dispatch_seq = dispatch_seq + 1, dispatch_time = $1, \
             first_dispatch_time = COALESCE(first_dispatch_time, $1), \
             host_wait = host_wait + COALESCE($1 - host_since, 0), host_since = NULL \
             WHERE state = 'pending' AND id IN ({}) RETURNING id, job_id, tenant, dispatch_seq, url, lane, \
             lane_reason, priority, attempts, crashes, depth, seed, kind",
            sql::row(2, piece.len())
        );
        let ids = piece.iter().map(|picked| picked.page.0.into());
        let values = std::iter::once(sql::micros(now).into()).chain(ids).collect();
        for row in sql::query(txn, &text, values).await? {
            let job: Uuid = row.try_get_by_index(1)?;
            let job =
                jobs.get(&job).ok_or_else(|| Error::Row(format!("the job {job} of a page is missing")))?;
            let page = dispatched(&row, job.spec_version, job.traceparent.clone())?;
            marked.insert(page.id, page);
        }
    }
    Ok(marked)
}

/// Reads a waiting page: its id, job, tenant and host.
pub(super) fn picked(row: &QueryResult) -> Result<Picked, Error> {
    Ok(Picked {
        page: PageId(row.try_get_by_index(0)?),
        job: JobId(row.try_get_by_index(1)?),
        tenant: TenantId(row.try_get_by_index(2)?),
        host: row.try_get_by_index(3)?,
        parked: true,
    })
}

/// Reads the first thirteen columns that a task needs.
fn dispatched(
    row: &QueryResult,
    spec_version: i32,
    traceparent: Option<String>,
) -> Result<Dispatched, Error> {
    let lane: String = row.try_get_by_index(5)?;
    Ok(Dispatched {
        id: PageId(row.try_get_by_index(0)?),
        job: JobId(row.try_get_by_index(1)?),
        tenant: TenantId(row.try_get_by_index(2)?),
        dispatch_seq: row.try_get_by_index(3)?,
        url: row.try_get_by_index(4)?,
        lane: row::read(&lane)?,
        lane_reason: row.try_get_by_index(6)?,
        priority: row::priority(row.try_get_by_index(7)?)?,
        attempts: row.try_get_by_index(8)?,
        crashes: row.try_get_by_index(9)?,
        depth: row.try_get_by_index(10)?,
        seed: row.try_get_by_index(11)?,
        kind: row::read(&row.try_get_by_index::<String>(12)?)?,
        spec_version,
        traceparent,
        first: false,
    })
}

async fn give_back(
    txn: &DatabaseTransaction,
    held: &[Held],
    lost: Option<&str>,
    max_history: usize,
    now: OffsetDateTime,
) -> Result<u64, Error> {
    let ids: Vec<Uuid> = held.iter().map(|held| held.job.0).collect();
    let mut jobs: BTreeMap<Uuid, Job> =
        lock(txn, &ids).await?.into_iter().map(|job| (job.id.0, job)).collect();
    let pages: Vec<Uuid> = held.iter().map(|held| held.page.0).collect();
    let histories = match lost {
        Some(_) => history::with_last(txn, &pages, lost, max_history, now).await?,
        None => HashMap::new(),
    };
    let mut given_back = 0;
    for piece in sql::pieces(held) {
        let text = format!(
            "UPDATE page SET state = 'pending', due_time = NULL, dispatch_time = NULL, \
             history = COALESCE(v.column3, page.history) \
             FROM (VALUES {}) AS v WHERE page.id = v.column1 AND page.dispatch_seq = v.column2 \
             AND page.state = 'running' RETURNING page.job_id",
            sql::rows(1, piece.len(), 3)
        );
        let unchanged = history::value(&[]);
        let history = |page: &Held| histories.get(&page.page.0).unwrap_or(&unchanged).clone();
        let values = piece
            .iter()
            .flat_map(|held| [held.page.0.into(), held.dispatch_seq.into(), history(held)])
            .collect();
        for row in sql::query(txn, &text, values).await? {
            let job: Uuid = row.try_get_by_index(0)?;
            if let Some(job) = jobs.get_mut(&job) {
                job.give_back(1);
                given_back += 1;
            }
        }
    }
    settle::save(txn, &jobs.values().collect::<Vec<_>>()).await?;
    Ok(given_back)
}
