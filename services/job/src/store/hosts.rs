//! Hosts: their rates, held in the transactions that hand pages out and book outcomes, and the pages that wait for them.
//!
//! Promises: whoever hands out a page of a host holds the row of the host, so one rate holds for all job services. Rows are
//! locked in the order of their keys, after those of jobs and before pages.

use std::collections::{BTreeMap, HashMap};

use domain::{Lane, TenantId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Picked, Store, dispatch::picked, row, sql};
use crate::{error::Error, host::Host};

/// Columns of [`read`] and [`values`], in their order.
const COLUMNS: &str = "key, next_time, known, latency, crawl_delay, back_off, hold_time, throttle_time, throttles, parked, busy, served, visits";
/// Of [`values`].
const WIDTH: usize = 14;
/// What waiting pages look like; the words of the partial index.
pub(super) const PARKED: &str = "state = 'pending' AND host_since IS NOT NULL";
/// Pages or hosts that one look at a host touches.
const LOOK: i64 = 256;
/// Waiting pages that are counted for a caller.
const COUNT: i64 = 10_000;

/// A host whose time has come, with the page that waits longest by its tenant's order.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) page: Picked,
    /// Whether it has no delay, so that all its pages may go back to the frontier.
    pub(crate) open: bool,
}

/// Hosts of a transaction, by key.
pub(super) type Hosts = BTreeMap<String, Host>;

impl Store {
    /// One waiting page of each of the hosts whose time has come, the longest overdue first; tenants take turns at each host.
    pub(crate) async fn due_hosts(
        &self,
        lane: Lane,
        now: OffsetDateTime,
        limit: usize,
    ) -> Result<Vec<Due>, Error> {
        let page = |more: &str| {
            format!(
                "(SELECT p.id FROM page p WHERE p.state = 'pending' AND p.host_since IS NOT NULL AND p.lane = $1 \
                 AND p.host = h.key {more} ORDER BY p.tenant, p.priority, p.job_id, p.rank, p.idx LIMIT 1)"
            )
        };
        let text = format!(
            "SELECT p.id, p.job_id, p.tenant, p.host, d.calm FROM (SELECT COALESCE({}, {}) AS page, h.next_time, \
             h.crawl_delay IS NULL AND h.back_off = 0 AS calm FROM host h \
             WHERE h.parked AND NOT h.busy AND h.next_time <= $2 AND EXISTS {} ORDER BY h.next_time LIMIT $3) d \
             JOIN page p ON p.id = d.page ORDER BY d.next_time",
            page("AND p.tenant > h.served"),
            page(""),
            page("")
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![lane.as_str().into(), sql::micros(now).into(), limit.into()];
        let rows = sql::query(self.db.read(), &text, values).await?;
        rows.iter()
            .map(|row| {
                let page = picked(row)?;
                let pace = self.paces.of(&page.host);
                let calm: bool = row.try_get_by_index(4)?;
                Ok(Due { open: calm && pace.min_delay.is_zero() && pace.latency_factor == 0.0, page })
            })
            .collect()
    }

    /// Puts waiting pages of a host back into the frontier, as many as it may have out and at most `limit`.
    pub(crate) async fn unpark(
        &self,
        lane: Lane,
        key: &str,
        limit: usize,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let limit = limit.min(self.paces.of(key).max_concurrency as usize);
        let text = format!(
            "UPDATE page SET host_wait = host_wait + $1 - host_since, host_since = NULL WHERE {PARKED} AND id IN \
             (SELECT id FROM page WHERE {PARKED} AND lane = $2 AND host = $3 ORDER BY tenant, priority, job_id, rank, idx LIMIT $4)"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = || vec![sql::micros(now).into(), lane.as_str().into(), key.into(), limit.into()];
        self.db
            .write(async |txn| {
                find(txn, &[key]).await?;
                sql::execute(txn, &text, values()).await?;
                unmark(txn, &[key]).await
            })
            .await
    }

    /// Lets hosts wait a little longer whose page found no place, so that others come before them.
    pub(crate) async fn defer(&self, pages: &[Picked], until: OffsetDateTime) -> Result<(), Error> {
        let mut keys: Vec<&str> = pages.iter().map(|page| page.host.as_str()).collect();
        keys.sort_unstable();
        self.db
            .write(async |txn| {
                for piece in sql::pieces(&keys) {
                    let text = format!(
                        "UPDATE host SET next_time = $1 WHERE next_time < $1 AND key IN ({})",
                        sql::row(2, piece.len())
                    );
                    let keys = piece.iter().map(|key| (*key).into());
                    let values = std::iter::once(sql::micros(until).into()).chain(keys).collect();
                    sql::execute(txn, &text, values).await?;
                }
                Ok(())
            })
            .await
    }

    /// When the next host with waiting pages is due, of those that are not yet.
    pub(crate) async fn next_host(&self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, Error> {
        let text = "SELECT next_time FROM host WHERE parked AND NOT busy AND next_time > $1 ORDER BY next_time LIMIT 1";
        let rows = sql::query(self.db.read(), text, vec![sql::micros(now).into()]).await?;
        let next: Option<i64> = rows.first().map(|row| row.try_get_by_index(0)).transpose()?;
        Ok(next.map(sql::time))
    }

    /// A host, if it was ever visited.
    pub(crate) async fn host(&self, key: &str) -> Result<Option<Host>, Error> {
        let text = format!("SELECT {COLUMNS} FROM host WHERE key = $1");
        sql::query(self.db.read(), &text, vec![key.into()]).await?.first().map(read).transpose()
    }

    /// Pages of a tenant that wait for a host, counted up to 10 000.
    pub(crate) async fn waiting_for(&self, tenant: TenantId, key: &str) -> Result<i64, Error> {
        let text = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM page WHERE {PARKED} AND lane = $1 AND host = $2 AND tenant = $3 LIMIT $4) p"
        );
        let mut sum = 0;
        for lane in Lane::ALL {
            let values = vec![lane.as_str().into(), key.into(), tenant.0.into(), COUNT.into()];
            let rows = sql::query(self.db.read(), &text, values).await?;
            sum += rows.first().map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or_default();
        }
        Ok(sum.min(COUNT))
    }

    /// Puts what no transaction had reason to look at in order: hosts without waiting pages that say they have some, and
    /// hosts that are called busy though their pages came back without an outcome. Returns whether pages may be due now.
    pub(crate) async fn tidy_hosts(&self, now: OffsetDateTime) -> Result<bool, Error> {
        let empty = format!(
            "SELECT key FROM host h WHERE h.parked AND NOT h.busy AND h.next_time <= $1 \
             AND NOT EXISTS (SELECT 1 FROM page p WHERE {}) LIMIT $2",
            parked_of("h.key")
        );
        let values = vec![sql::micros(now).into(), LOOK.into()];
        let empty = keys(&sql::query(self.db.read(), &empty, values).await?)?;
        let busy = "SELECT key FROM host WHERE busy LIMIT $1";
        let busy = keys(&sql::query(self.db.read(), busy, vec![LOOK.into()]).await?)?;
        if !empty.is_empty() {
            let empty: Vec<&str> = empty.iter().map(String::as_str).collect();
            self.db.write(async |txn| unmark(txn, &empty).await).await?;
        }
        if busy.is_empty() {
            return Ok(false);
        }
        // Whoever hands out pages counts again.
        let freed = "UPDATE host SET busy = $1 WHERE busy";
        self.db
            .write(async |txn| {
                sql::execute(txn, freed, vec![false.into()]).await?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(true)
    }

    /// Deletes hosts that nobody asked about since `before`, at most `limit`. Returns how many.
    pub(crate) async fn forget_hosts(&self, before: OffsetDateTime, limit: u64) -> Result<u64, Error> {
        let text = "DELETE FROM host WHERE key IN (SELECT key FROM host WHERE update_time < $1 AND NOT parked \
                    ORDER BY update_time LIMIT $2)";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = || vec![sql::micros(before).into(), limit.into()];
        self.db
            .write(async |txn| Ok::<_, Error>(sql::execute(txn, text, values()).await?.rows_affected()))
            .await
    }
}

/// Locks hosts; those that are new get a row.
pub(super) async fn lock(
    txn: &DatabaseTransaction,
    keys: impl Iterator<Item = &str>,
    now: OffsetDateTime,
) -> Result<Hosts, Error> {
    let mut keys: Vec<&str> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    let mut hosts = find(txn, &keys).await?;
    let new: Vec<Host> = keys
        .iter()
        .filter(|key| !hosts.contains_key(**key))
        .map(|key| Host::new((*key).to_owned(), now))
        .collect();
    if new.is_empty() {
        return Ok(hosts);
    }
    for piece in sql::pieces(&new) {
        let text = format!(
            "INSERT INTO host ({COLUMNS}, update_time) VALUES {} ON CONFLICT (key) DO NOTHING",
            sql::rows(1, piece.len(), WIDTH)
        );
        sql::execute(txn, &text, piece.iter().flat_map(|host| values(host, now)).collect()).await?;
    }
    let new: Vec<&str> = new.iter().map(|host| host.key.as_str()).collect();
    hosts.append(&mut find(txn, &new).await?);
    Ok(hosts)
}

async fn find(txn: &DatabaseTransaction, keys: &[&str]) -> Result<Hosts, Error> {
    let lock = if txn.get_database_backend() == DbBackend::Postgres { " FOR UPDATE" } else { "" };
    let mut hosts = Hosts::new();
    for piece in sql::pieces(keys) {
        let text = format!(
            "SELECT {COLUMNS} FROM host WHERE key IN ({}) ORDER BY key{lock}",
            sql::row(1, piece.len())
        );
        for row in sql::query(txn, &text, piece.iter().map(|key| (*key).into()).collect()).await? {
            let host = read(&row)?;
            hosts.insert(host.key.clone(), host);
        }
    }
    Ok(hosts)
}

/// Pages that are out, by host. There are no more than a few times the depth of the queue.
pub(super) async fn running(txn: &DatabaseTransaction) -> Result<HashMap<String, u32>, Error> {
    let lanes: Vec<Value> = Lane::ALL.iter().map(|lane| lane.as_str().into()).collect();
    let text = format!(
        "SELECT host, COUNT(*) FROM page WHERE state = 'running' AND lane IN ({}) GROUP BY host",
        sql::row(1, lanes.len())
    );
    let rows = sql::query(txn, &text, lanes).await?;
    rows.iter()
        .map(|row| {
            let count: i64 = row.try_get_by_index(1)?;
            Ok((row.try_get_by_index(0)?, u32::try_from(count).unwrap_or(u32::MAX)))
        })
        .collect()
}

/// Saves hosts that are locked by this transaction.
pub(super) async fn save(
    txn: &DatabaseTransaction,
    hosts: &[&Host],
    now: OffsetDateTime,
) -> Result<(), Error> {
    for piece in sql::pieces(hosts) {
        let text = format!(
            "UPDATE host SET next_time = v.column2, known = v.column3, latency = v.column4, crawl_delay = v.column5, \
             back_off = v.column6, hold_time = v.column7, throttle_time = v.column8, throttles = v.column9, \
             parked = v.column10, busy = v.column11, served = v.column12, visits = v.column13, update_time = v.column14 \
             FROM (VALUES {}) AS v WHERE host.key = v.column1",
            sql::rows(1, piece.len(), WIDTH)
        );
        sql::execute(txn, &text, piece.iter().flat_map(|host| values(host, now)).collect()).await?;
    }
    Ok(())
}

/// Says of hosts that have no waiting page any more that they have none. Locks them first: whoever parks a page holds the
/// row, so that none can come in between.
pub(super) async fn unmark(txn: &DatabaseTransaction, keys: &[&str]) -> Result<(), Error> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    find(txn, &keys).await?;
    for piece in sql::pieces(&keys) {
        let text = format!(
            "UPDATE host SET parked = $1 WHERE key IN ({}) AND NOT EXISTS (SELECT 1 FROM page p WHERE {})",
            sql::row(2, piece.len()),
            parked_of("host.key")
        );
        let values = std::iter::once(false.into()).chain(piece.iter().map(|key| (*key).into())).collect();
        sql::execute(txn, &text, values).await?;
    }
    Ok(())
}

/// The condition of a page `p` that waits for a host, in any lane.
fn parked_of(key: &str) -> String {
    let lanes = Lane::ALL.iter().map(|lane| format!("'{lane}'")).collect::<Vec<_>>().join(",");
    format!("p.state = 'pending' AND p.host_since IS NOT NULL AND p.lane IN ({lanes}) AND p.host = {key}")
}

fn keys(rows: &[QueryResult]) -> Result<Vec<String>, Error> {
    rows.iter().map(|row| Ok(row.try_get_by_index(0)?)).collect()
}

fn read(row: &QueryResult) -> Result<Host, Error> {
    let time = |index| Ok::<_, Error>(row.try_get_by_index::<Option<i64>>(index)?.map(sql::time));
    let duration = |index| Ok::<_, Error>(row.try_get_by_index::<Option<i64>>(index)?.map(sql::duration));
    Ok(Host {
        key: row.try_get_by_index(0)?,
        next_time: sql::time(row.try_get_by_index(1)?),
        known: row.try_get_by_index(2)?,
        latency: duration(3)?,
        crawl_delay: duration(4)?,
        back_off: sql::duration(row.try_get_by_index(5)?),
        hold_time: time(6)?,
        throttle_time: time(7)?,
        throttles: row.try_get_by_index(8)?,
        parked: row.try_get_by_index(9)?,
        busy: row.try_get_by_index(10)?,
        served: row.try_get_by_index::<Option<Uuid>>(11)?.map(TenantId),
        visits: visits(row.try_get_by_index(12)?)?,
    })
}

fn visits(kept: Option<serde_json::Value>) -> Result<Vec<OffsetDateTime>, Error> {
    let times: Vec<i64> = kept.map(row::read_json).transpose()?.unwrap_or_default();
    Ok(times.into_iter().map(sql::time).collect())
}

fn micros_of(times: &[OffsetDateTime]) -> serde_json::Value {
    times.iter().copied().map(sql::micros).collect()
}

fn values(host: &Host, now: OffsetDateTime) -> [Value; WIDTH] {
    [
        host.key.clone().into(),
        sql::micros(host.next_time).into(),
        host.known.into(),
        host.latency.map(sql::span).into(),
        host.crawl_delay.map(sql::span).into(),
        sql::span(host.back_off).into(),
        host.hold_time.map(sql::micros).into(),
        host.throttle_time.map(sql::micros).into(),
        host.throttles.into(),
        host.parked.into(),
        host.busy.into(),
        host.served.map(|tenant| tenant.0).into(),
        (!host.visits.is_empty()).then(|| micros_of(&host.visits)).into(),
        sql::micros(now).into(),
    ]
}
