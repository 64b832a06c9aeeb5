//! The dispatcher: keeps a few pages of each lane in the queue and the backlog in the database.
//!
//! Promises: a lane never has more than `queue_depth` pages out; free places go to the tenant with the fewest pages out, then
//! by priority, then to its jobs in turn, and the first pages of a tenant go before those of others in the queue, so that a
//! large job of one does not delay a small job of another; while the queue is away nothing is dispatched and nothing is lost.

use std::{collections::HashMap, time::Duration};

use domain::{Lane, TenantId};
use mesh::Shutdown;
use queue::Bus;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use crate::{
    error::Error,
    fair::Places,
    hub::Hub,
    metrics::{self, Rescue},
    pace,
    publisher::publish,
    store::{Dispatched, Due, Held, Picked, Store, Turns},
};

/// How often the frontier is looked at while pages wait.
const TICK: Duration = Duration::from_secs(1);
/// Pause after a failure of the queue or the store.
const PAUSE: Duration = Duration::from_millis(500);
/// Hosts with waiting pages that one turn looks at, at least.
const HOSTS: usize = 64;
/// A host whose page found no place is looked at again after this, behind others.
const DEFER: Duration = Duration::from_millis(250);
/// How long a publish without answer is repeated under its id; the queue remembers ids for 2 minutes.
const REPEAT: Duration = Duration::from_secs(100);

/// How often hosts are put in order.
const TIDY: Duration = Duration::from_secs(5);
/// How often back-offs and deadlines are looked at while one round follows the other.
const LOOK: Duration = Duration::from_millis(20);

/// `[dispatch]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Pages of a lane that are out at a time.
    pub queue_depth: usize,
    /// Tenants that share one round.
    pub tenants_per_round: usize,
    /// The share of `queue_depth` that one tenant alone may not fill.
    pub reserved_share: f64,
    /// From the start of one round to that of the next, at least.
    #[serde(with = "humantime_serde")]
    pub min_interval: Duration,
}

/// The loop and what it remembers.
pub(crate) struct Dispatcher {
    store: Store,
    bus: Bus,
    hub: Hub,
    config: Dispatch,
    /// The tenant served last, by lane.
    served: [Option<TenantId>; Lane::ALL.len()],
    /// The jobs served last.
    turns: Turns,
    /// Pages whose publish had no answer, with the time of the first try. At most `queue_depth` a lane.
    unsure: Vec<(Dispatched, Instant)>,
    /// When hosts were put in order last.
    tidied: Option<Instant>,
    /// When back-offs and deadlines were looked at last.
    looked: Option<Instant>,
}

impl Dispatcher {
    pub(crate) fn new(store: Store, bus: Bus, hub: Hub, config: Dispatch) -> Self {
        let served = [None; Lane::ALL.len()];
        Self {
            store,
            bus,
            hub,
            config,
            served,
            turns: Turns::default(),
            unsure: Vec::new(),
            tidied: None,
            looked: None,
        }
    }

    /// Dispatches until the shutdown begins. A page that was marked before is published still.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut ready = self.bus.ready();
        let mut next = Instant::now();
        while !shutdown.has_begun() {
            // Whoever wakes us meanwhile shares the round, and its transaction.
            tokio::select! {
                () = shutdown.begun() => return,
                () = sleep_until(next) => next = pace::next(next, self.config.min_interval),
            }
            if ready.borrow_and_update().is_err() {
                tokio::select! {
                    () = shutdown.begun() => return,
                    changed = ready.changed() => if changed.is_err() { return },
                }
                continue;
            }
            self.hub.set_hungry(true);
            let idle = match self.round().await {
                Ok(idle) => idle,
                Err(error) => {
                    // Each call that needs the store says so; this loop only waits for it.
                    debug!(%error, "dispatch failed");
                    Some(PAUSE)
                }
            };
            let tick = async {
                match idle {
                    Some(idle) => sleep(idle).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.begun() => return,
                () = self.hub.has_work() => {}
                () = tick => {}
                changed = ready.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Dispatches until the queue is full or the frontier empty. Returns when to look again without being woken.
    async fn round(&mut self) -> Result<Option<Duration>, Error> {
        if !self.repeat().await? {
            return Ok(Some(PAUSE));
        }
        // A job that was raised goes first from now on.
        while self.store.align().await? {}
        // Before what is looked at now and then, so that a page that has just come does not wait for it.
        let Some(waiting) = self.hand_out().await? else { return Ok(Some(PAUSE)) };
        self.hub.set_hungry(waiting);
        if !pace::again(&mut self.looked, LOOK) {
            return Ok(Some(LOOK));
        }
        if self.look().await? {
            return Ok(Some(Duration::ZERO));
        }
        self.next_time(waiting).await
    }

    /// Fills every lane. Returns whether pages wait for room; None: the queue did not take some.
    async fn hand_out(&mut self) -> Result<Option<bool>, Error> {
        let mut waiting = false;
        for &lane in Lane::ALL {
            loop {
                match self.turn(lane).await? {
                    Turn::Empty | Turn::Last => break,
                    Turn::Full => {
                        waiting = true;
                        break;
                    }
                    Turn::Some => {}
                    Turn::Failed => return Ok(None),
                }
            }
        }
        Ok(Some(waiting))
    }

    /// Lets go what had to wait, and ends what has had its time. Returns whether pages may have come of it.
    async fn look(&mut self) -> Result<bool, Error> {
        let mut more = self.store.promote(mesh::clock::now()).await?;
        self.end_in_time().await?;
        if pace::again(&mut self.tidied, TIDY) {
            more |= self.store.tidy_hosts(mesh::clock::now()).await?;
        }
        Ok(more)
    }

    /// When there is something to do though nobody says so.
    async fn next_time(&self, waiting: bool) -> Result<Option<Duration>, Error> {
        let now = mesh::clock::now();
        let times = [
            self.store.next_due().await?,
            self.store.next_host(now).await?,
            self.store.next_deadline().await?,
        ];
        let due = times.into_iter().flatten().min().map(|due| due - now);
        let due = due.map(|wait| Duration::try_from(wait).unwrap_or_default().clamp(PAUSE / 50, TICK));
        Ok(due.or(waiting.then_some(TICK)))
    }

    /// Ends jobs whose time is up; crawlers stop their pages.
    async fn end_in_time(&self) -> Result<(), Error> {
        for job in self.store.expire(mesh::clock::now()).await? {
            metrics::ended(job.state);
            info!(job = %job.id, state = %job.state, "the time of a job was up");
            self.bus.notify("cancel", bytes::Bytes::from(job.id.to_string())).await;
            self.hub.changed(job.id);
            if job.webhook.is_some() {
                self.bus.notify("event", bytes::Bytes::new()).await;
            }
        }
        Ok(())
    }

    /// One share for each of some tenants.
    async fn turn(&mut self, lane: Lane) -> Result<Turn, Error> {
        let mut out = self.store.out_by_tenant(lane).await?;
        let taken: usize = out.values().sum();
        if taken >= self.config.queue_depth {
            return Ok(Turn::Full);
        }
        let places = Places::new(self.config.queue_depth, self.config.reserved_share);
        let Pick { pages: picked, waiting, all } = self.pick(lane, places, taken, &out).await?;
        if picked.is_empty() {
            return Ok(if waiting { Turn::Full } else { Turn::Empty });
        }
        let turn = self.store.dispatch(&picked, mesh::clock::now()).await?;
        for job in &turn.started {
            info!(%job, "job started");
            self.hub.changed(*job);
        }
        if turn.notify {
            self.bus.notify("event", bytes::Bytes::new()).await;
        }
        metrics::dispatched(lane, turn.pages.len());
        let now = Instant::now();
        let mut pages = turn.pages;
        for page in &mut pages {
            let out = out.entry(page.tenant).or_default();
            page.first = *out < places.few();
            *out += 1;
        }
        let sent = self.send(pages.into_iter().map(|page| (page, now)).collect()).await?;
        Ok(match (sent, all) {
            (false, _) => Turn::Failed,
            (true, true) => Turn::Last,
            (true, false) => Turn::Some,
        })
    }

    /// The next pages of a lane: of each tenant with a share first those that waited for hosts.
    async fn pick(
        &mut self,
        lane: Lane,
        places: Places,
        taken: usize,
        out: &HashMap<TenantId, usize>,
    ) -> Result<Pick, Error> {
        let free = self.config.queue_depth - taken;
        let mut due = self.due(lane, free.max(HOSTS)).await?;
        let mut tenants = self.tenants(lane).await?;
        for page in &due {
            if !tenants.contains(&page.tenant) {
                tenants.push(page.tenant);
            }
        }
        let have: Vec<usize> =
            tenants.iter().map(|tenant| out.get(tenant).copied().unwrap_or_default()).collect();
        let mut picked = Vec::with_capacity(free);
        let mut all = tenants.len() < self.config.tenants_per_round;
        for (tenant, share) in tenants.iter().zip(places.shares(taken, &have)) {
            if share == 0 {
                all = false;
                continue;
            }
            let before = picked.len();
            picked.extend(due.extract_if(.., |page| page.tenant == *tenant).take(share));
            let room = share - (picked.len() - before);
            let found = self.store.pick(lane, *tenant, room, &mut self.turns).await?;
            all &= found.len() < room;
            picked.extend(found);
            self.served[lane as usize] = Some(*tenant);
        }
        if !due.is_empty() {
            let until = mesh::clock::now() + DEFER;
            self.store.defer(&due, until).await?;
        }
        Ok(Pick { pages: picked, waiting: !tenants.is_empty(), all })
    }

    /// Pages that waited for hosts whose time has come, one of each host. Those of hosts without delay go back to the
    /// frontier.
    async fn due(&self, lane: Lane, limit: usize) -> Result<Vec<Picked>, Error> {
        let now = mesh::clock::now();
        let due = self.store.due_hosts(lane, now, limit).await?;
        let mut pages = Vec::with_capacity(due.len());
        for Due { page, open } in due {
            if open {
                self.store.unpark(lane, &page.host, limit, now).await?;
            } else {
                pages.push(page);
            }
        }
        Ok(pages)
    }

    /// Tenants with pages in the frontier, from the one after the tenant served last.
    async fn tenants(&self, lane: Lane) -> Result<Vec<TenantId>, Error> {
        let limit = self.config.tenants_per_round;
        let wanted = u64::try_from(limit).unwrap_or(u64::MAX);
        let mut first = self.store.waiting_tenants(lane, None, wanted).await?;
        let Some(served) = self.served[lane as usize] else { return Ok(first) };
        if first.len() < limit {
            // These are all.
            let next = first.partition_point(|tenant| *tenant <= served);
            first.rotate_left(next);
            return Ok(first);
        }
        let mut tenants = self.store.waiting_tenants(lane, Some(served), wanted).await?;
        let room = limit.saturating_sub(tenants.len());
        tenants.extend(first.into_iter().take_while(|tenant| *tenant <= served).take(room));
        Ok(tenants)
    }

    /// Publishes pages. What the queue certainly did not take goes back to the frontier; what it may have taken is kept to
    /// be published again. Returns whether all is well.
    async fn send(&mut self, pages: Vec<(Dispatched, Instant)>) -> Result<bool, Error> {
        let (pages, since): (Vec<Dispatched>, Vec<Instant>) = pages.into_iter().unzip();
        let results = publish(&self.bus, &pages).await;
        let mut refused: Vec<Held> = Vec::new();
        let mut cause = None;
        for ((page, since), result) in pages.into_iter().zip(since).zip(results) {
            match result {
                Ok(()) => continue,
                Err(queue::Error::Unavailable(_)) if since.elapsed() < REPEAT => {
                    self.unsure.push((page, since))
                }
                Err(ref error) => {
                    refused.push(page.held());
                    cause = Some(error.to_string());
                }
            }
        }
        if let Some(error) = cause {
            warn!(error, pages = refused.len(), "the queue does not take work");
            // If this fails, too, the reconciler finds them.
            let given_back = self.store.give_back(&refused, None, mesh::clock::now()).await?;
            metrics::rescued(Rescue::Refused, given_back);
        }
        Ok(refused.is_empty() && self.unsure.is_empty())
    }

    /// Publishes again what had no answer. Returns whether nothing is left.
    async fn repeat(&mut self) -> Result<bool, Error> {
        let unsure = std::mem::take(&mut self.unsure);
        if unsure.is_empty() { Ok(true) } else { self.send(unsure).await }
    }
}

/// What was found for a turn.
struct Pick {
    pages: Vec<Picked>,
    /// Whether any page waits, be it among these or not.
    waiting: bool,
    /// Whether these are all that wait in the frontier.
    all: bool,
}

/// What one turn of a lane came to.
enum Turn {
    /// Nothing waits.
    Empty,
    /// The lane has as many pages out as it may.
    Full,
    /// Pages were dispatched; there may be more.
    Some,
    /// Pages were dispatched, and there are no more.
    Last,
    /// The queue did not take them.
    Failed,
}
