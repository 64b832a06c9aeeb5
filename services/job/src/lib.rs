//! The job service: owns jobs, pages (the ledger) and the event log; hands pages to the queue and books their outcomes.
//!
//! Promises: a job that was answered is on disk; every URL ends in exactly one verdict and is counted once at every read;
//! exactly one event of a job is terminal; killing this process, or wiping the queue, delays a job and loses nothing.

mod announcer;
mod attempt;
mod change;
mod discovery;
mod dispatcher;
mod error;
mod event;
mod fair;
mod frontier;
mod handler;
mod host;
mod hub;
mod import;
mod janitor;
mod job;
mod metrics;
mod pace;
mod page;
mod publisher;
mod reconciler;
mod schedule;
mod scheduler;
mod settler;
mod spec;
mod store;
mod submitter;
mod trace;
mod verify;
mod watch;
mod wire;

use std::{
    future::Future,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::Context;
use api::job::v1::{job_service_server::JobServiceServer, schedule_service_server::ScheduleServiceServer};
use domain::{AddressPolicy, Service};
use futures::{StreamExt, stream::FuturesUnordered};
use ipnet::IpNet;
use mesh::{Shutdown, Task, config::Problems};
use queue::Bus;
use serde::Deserialize;
use tokio::{
    sync::{Semaphore, watch as cell},
    time::timeout,
};
use tracing::warn;

pub use dispatcher::Dispatch;
pub use host::{Pace, Politeness};
pub use janitor::Janitor;
pub use page::Retry;
pub use reconciler::Reconcile;
pub use schedule::Schedules;
pub use settler::Settle;
pub use verify::{Report, verify};

use crate::{
    announcer::Announcer,
    dispatcher::Dispatcher,
    handler::{Handler, ScheduleHandler},
    host::Paces,
    hub::Hub,
    reconciler::Reconciler,
    scheduler::Scheduler,
    settler::Settler,
    store::Store,
    submitter::Submitter,
    wire::Rules,
};

/// Bytes of a list answer.
const MAX_ANSWER: usize = 2 << 20;
/// How often readiness asks the database.
const PROBE: Duration = Duration::from_secs(5);

/// The settings; config.default.toml explains each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The gRPC port.
    pub server: mesh::config::Server,
    /// Who we are.
    pub tls: mesh::config::Tls,
    /// Logs and traces.
    pub telemetry: mesh::config::Telemetry,
    /// Where the others are.
    pub peers: mesh::config::Peers,
    /// Where jobs are kept.
    pub database: ::store::Config,
    /// The bus.
    pub queue: queue::Config,
    /// What may be crawled.
    pub targets: Targets,
    /// What callers may ask for.
    pub limits: Limits,
    /// What schedules may ask for.
    pub schedules: Schedules,
    /// How long sessions are kept.
    pub sessions: Sessions,
    /// What crawls that follow links may take.
    pub deep_crawl: DeepCrawl,
    /// How pages are handed out.
    pub dispatch: Dispatch,
    /// How fast hosts are visited.
    pub politeness: Politeness,
    /// How pages are tried again.
    pub retry: Retry,
    /// How outcomes are booked.
    pub settle: Settle,
    /// How lost pages are found.
    pub reconcile: Reconcile,
    /// How old things may get.
    pub janitor: Janitor,
}

/// `[targets]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// Networks that may be crawled though they are not public.
    pub allow: Vec<IpNet>,
}

/// `[sessions]`: the time to live that a job may give its session, counted from the last use.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// Where the job says nothing.
    #[serde(with = "humantime_serde")]
    pub default_ttl: Duration,
    /// The least.
    #[serde(with = "humantime_serde")]
    pub min_ttl: Duration,
    /// The most.
    #[serde(with = "humantime_serde")]
    pub max_ttl: Duration,
}

/// `[limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// URLs of one job.
    pub max_urls: usize,
    /// Event streams open at a time.
    pub max_watches: usize,
    /// Submissions that wait to be written.
    pub submit_queue: usize,
    /// Submissions of one transaction.
    pub submit_group: usize,
    /// Bytes of a submission that comes as a stream.
    pub max_import: bytesize::ByteSize,
}

/// `[deep_crawl]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepCrawl {
    /// Pages of one job.
    pub max_pages: u32,
    /// Pages of one job that are listed with the verdict `budget`; further ones are only counted.
    pub budget_lines: i64,
    /// Sitemaps that one job reads, robots.txt files included.
    pub max_sources: i64,
}

impl mesh::Config for Config {
    const SERVICE: Service = Service::Job;
    const DEFAULTS: &'static str = include_str!("../config.default.toml");

    fn server(&self) -> &mesh::config::Server {
        &self.server
    }

    fn tls(&self) -> &mesh::config::Tls {
        &self.tls
    }

    fn telemetry(&self) -> &mesh::config::Telemetry {
        &self.telemetry
    }

    fn peers(&self) -> &mesh::config::Peers {
        &self.peers
    }

    fn validate(&self, problems: &mut Problems) {
        for problem in self.database.check() {
            problems.add("database", problem);
        }
        for problem in self.queue.check() {
            problems.add("queue", problem);
        }
        for (key, problem) in self.politeness.check() {
            problems.add(key, problem);
        }
        self.schedules.check(problems);
        let Sessions { default_ttl, min_ttl, max_ttl } = self.sessions;
        if min_ttl.is_zero() || min_ttl > default_ttl || default_ttl > max_ttl {
            problems.add("sessions", "needs 0s < min_ttl <= default_ttl <= max_ttl");
        }
        if !(0.0..=0.5).contains(&self.dispatch.reserved_share) {
            problems.add("dispatch.reserved_share", "must be from 0 to 0.5");
        }
        let mut range = |key: &str, value: usize, least: usize, most: usize| {
            if !(least..=most).contains(&value) {
                problems.add(key, format!("must be from {least} to {most}"));
            }
        };
        range("limits.max_urls", self.limits.max_urls, 1, 1_000_000);
        range("limits.max_watches", self.limits.max_watches, 1, 1_000_000);
        range("deep_crawl.max_pages", usize::try_from(self.deep_crawl.max_pages).unwrap_or(0), 1, 10_000_000);
        range(
            "deep_crawl.budget_lines",
            usize::try_from(self.deep_crawl.budget_lines).unwrap_or(usize::MAX),
            0,
            1_000_000,
        );
        range(
            "deep_crawl.max_sources",
            usize::try_from(self.deep_crawl.max_sources).unwrap_or(usize::MAX),
            0,
            50_000,
        );
        let max_import = usize::try_from(self.limits.max_import.as_u64()).unwrap_or(usize::MAX);
        range("limits.max_import", max_import, 1, 1 << 30);
        range("limits.submit_queue", self.limits.submit_queue, 1, 100_000);
        range("limits.submit_group", self.limits.submit_group, 1, 1000);
        range("dispatch.queue_depth", self.dispatch.queue_depth, 1, 10_000);
        range("dispatch.tenants_per_round", self.dispatch.tenants_per_round, 1, 1000);
        range("settle.batch", self.settle.batch, 1, 1000);
        range("janitor.batch", usize::try_from(self.janitor.batch).unwrap_or(usize::MAX), 1, 10_000);
        range("retry.max_infra_faults", usize::try_from(self.retry.max_infra_faults).unwrap_or(0), 1, 1000);
        range("retry.max_history", self.retry.max_history, 1, 100);
        range("retry.max_crashes", usize::try_from(self.retry.max_crashes).unwrap_or(0), 1, 100);
        let intervals = [
            ("dispatch.min_interval", self.dispatch.min_interval),
            ("settle.min_interval", self.settle.min_interval),
        ];
        for (key, interval) in intervals {
            if interval > Duration::from_secs(1) {
                problems.add(key, "must be at most 1s");
            }
        }
        if !(1..=90).contains(&self.reconcile.repeat_after.as_secs()) {
            problems.add("reconcile.repeat_after", "must be from 1s to 90s");
        }
        let periods =
            [("reconcile.interval", self.reconcile.interval), ("janitor.interval", self.janitor.interval)];
        for (key, period) in periods {
            if period.is_zero() {
                problems.add(key, "must be more than 0s");
            }
        }
    }
}

/// Runs the job service until `node.shutdown` begins and the last call has been answered.
pub async fn serve(config: Config, node: mesh::Node) -> anyhow::Result<()> {
    let paces = Paces::new(config.politeness.clone(), config.targets.allow.clone());
    let store =
        Store::open(&config.database, paces, config.retry.max_history).await.context("open the job store")?;
    let bus = Bus::connect(&config.queue, "job").await.context("connect to the queue")?;
    let shutdown = node.shutdown.clone();
    let hub = Hub::default();
    let (submitter, writer) =
        Submitter::new(store.clone(), config.limits.submit_queue, config.limits.submit_group);
    let handler = handler(&config, &store, submitter, &bus, &hub, &shutdown);
    let schedules = ScheduleHandler {
        store: store.clone(),
        hub: hub.clone(),
        announcer: handler.announcer.clone(),
        rules: Arc::clone(&handler.rules),
        limits: config.schedules.clone(),
        request_id_retention: config.janitor.request_id_retention,
        answer_budget: handler.answer_budget,
    };
    let scheduler = Scheduler {
        store: store.clone(),
        hub: hub.clone(),
        announcer: handler.announcer.clone(),
        rules: Arc::clone(&handler.rules),
        poll: config.schedules.poll,
    };
    let (probe, ready) = cell::channel(Ok(()));
    let mut tasks = start(&config, &store, &bus, &hub, &shutdown);
    tasks.push(mesh::spawn("submitter", writer));
    tasks.push(mesh::spawn("scheduler", scheduler.run(shutdown.clone())));
    tasks.push(mesh::spawn("readiness", watch_database(store.clone(), probe, shutdown.clone())));
    let limit = config.server.max_message_bytes();
    let service =
        JobServiceServer::new(handler).max_decoding_message_size(limit).max_encoding_message_size(limit);
    let schedules = ScheduleServiceServer::new(schedules)
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    // Jobs are accepted without the queue, and their pages wait.
    let server = mesh::Server::new(node, &config.server)
        .add(service)
        .add(schedules)
        .ready("database", ready)
        .shown("queue", bus.ready());
    let background = async {
        let ended = supervise(tasks, shutdown.clone()).await;
        if ended.is_err() {
            // A job service that accepts and does not dispatch would look healthy: better none, so that it is restarted.
            shutdown.begin();
        }
        ended
    };
    let (served, ended) = serve_beside(server.run(), background, config.server.grace).await;
    bus.flush().await;
    store.close().await;
    ended.and(served)
}

/// Runs `serving` to its end, and `background` for at most `grace` longer. That the loops have ended at a shutdown is no
/// reason to cut calls that are still being answered.
async fn serve_beside(
    serving: impl Future<Output = anyhow::Result<()>>,
    background: impl Future<Output = anyhow::Result<()>>,
    grace: Duration,
) -> (anyhow::Result<()>, anyhow::Result<()>) {
    tokio::pin!(serving, background);
    let mut ended = None;
    let served = loop {
        tokio::select! {
            served = &mut serving => break served,
            result = &mut background, if ended.is_none() => ended = Some(result),
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => timeout(grace, background).await.unwrap_or_else(|_| {
            warn!("background work did not end in time");
            Ok(())
        }),
    };
    (served, ended)
}

fn handler(
    config: &Config,
    store: &Store,
    submitter: Submitter,
    bus: &Bus,
    hub: &Hub,
    shutdown: &Shutdown,
) -> Handler {
    let policy = AddressPolicy::new(config.targets.allow.clone());
    Handler {
        store: store.clone(),
        submitter,
        bus: bus.clone(),
        hub: hub.clone(),
        announcer: Announcer { bus: bus.clone(), hub: hub.clone() },
        rules: Arc::new(Rules {
            max_urls: config.limits.max_urls,
            max_pages: config.deep_crawl.max_pages,
            sessions: config.sessions,
            policy,
        }),
        request_id_retention: config.janitor.request_id_retention,
        max_import: usize::try_from(config.limits.max_import.as_u64()).unwrap_or(usize::MAX),
        answer_budget: (config.server.max_message_bytes() / 2).min(MAX_ANSWER),
        watches: Arc::new(Semaphore::new(config.limits.max_watches)),
        shutdown: shutdown.clone(),
    }
}

fn start(config: &Config, store: &Store, bus: &Bus, hub: &Hub, shutdown: &Shutdown) -> Vec<Task<()>> {
    let caught_up = Arc::new(AtomicBool::new(false));
    let dispatcher = Dispatcher::new(store.clone(), bus.clone(), hub.clone(), config.dispatch.clone());
    let settler = Settler {
        store: store.clone(),
        bus: bus.clone(),
        hub: hub.clone(),
        retry: config.retry.clone(),
        config: config.settle.clone(),
        deep_crawl: config.deep_crawl,
        caught_up: Arc::clone(&caught_up),
    };
    let reconciler = Reconciler {
        store: store.clone(),
        bus: bus.clone(),
        hub: hub.clone(),
        config: config.reconcile.clone(),
        queue_depth: config.dispatch.queue_depth,
        caught_up,
    };
    vec![
        mesh::spawn("dispatcher", dispatcher.run(shutdown.clone())),
        mesh::spawn("settler", settler.run(shutdown.clone())),
        mesh::spawn("reconciler", reconciler.run(shutdown.clone())),
        mesh::spawn("janitor", janitor::run(store.clone(), config.janitor.clone(), shutdown.clone())),
    ]
}

/// Waits until all loops have ended. Fails at once if one ends before the shutdown.
fn supervise(tasks: Vec<Task<()>>, shutdown: Shutdown) -> impl Future<Output = anyhow::Result<()>> {
    let mut tasks: FuturesUnordered<Task<()>> = tasks.into_iter().collect();
    async move {
        while let Some(ended) = tasks.next().await {
            ended.context("a background loop failed")?;
            anyhow::ensure!(shutdown.has_begun(), "a background loop ended");
        }
        Ok(())
    }
}

/// Keeps the readiness check up to date.
async fn watch_database(store: Store, probe: cell::Sender<Result<(), String>>, shutdown: Shutdown) {
    loop {
        let state = if store.ready().await { Ok(()) } else { Err("the database does not answer".to_owned()) };
        // The old state is of no use.
        let _ = probe.send_replace(state);
        if timeout(PROBE, shutdown.begun()).await.is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Config, mesh::config::Invalid> {
        mesh::config::with(text.parse().expect("because it is TOML"))
    }

    #[test]
    fn the_defaults_parse() {
        let config = with("").unwrap();
        assert_eq!(
            (config.limits.max_urls, config.dispatch.queue_depth, config.settle.batch),
            (100_000, 256, 256)
        );
        let longest = Duration::from_secs(300);
        assert!(config.reconcile.dispatch_timeout > longest, "a page may take {longest:?}");
    }

    #[test]
    fn contradictions_are_named() {
        let invalid = with("[settle]\nbatch = 0\n[reconcile]\ninterval = \"0s\"\n[retry]\nmax_crashes = -1")
            .unwrap_err();
        let text = invalid.to_string();
        for key in ["settle.batch", "reconcile.interval", "retry.max_crashes"] {
            assert!(text.contains(key), "{text}");
        }
    }
}
