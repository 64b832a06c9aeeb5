//! Starts a crawler with a queue and neighbours, and plays the dispatcher and the settler.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::crawler::v1::{PageOutcome, PageTask};
use api::job::v1::{CrawlConfig, JobSpec, job_service_server::JobServiceServer};
use api::result::v1::result_service_server::ResultServiceServer;
use bytes::Bytes;
use crawler::Config;
use domain::{JobId, Lane, PageId, Priority, Service, TenantId, id};
use mesh::{Ca, Node, Shutdown};
use parking_lot::Mutex;
use prost::Message;
use queue::server::{NatsServer, find_server};
use queue::{Bus, Outcomes, Work};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::ledger::{Ledger, Stored};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A crawler and all that it needs.
pub(crate) struct Bed {
    pub(crate) nats: NatsServer,
    pub(crate) bus: Bus,
    pub(crate) ledger: Ledger,
    pub(crate) ca: Ca,
    pub(crate) crawler: Option<Running>,
    config: Config,
    outcomes: tokio::sync::Mutex<Outcomes>,
    seen: Mutex<Vec<PageOutcome>>,
    _servers: Vec<mesh::Task<anyhow::Result<()>>>,
    dir: TempDir,
}

/// A running crawler.
pub(crate) struct Running {
    pub(crate) address: String,
    shutdown: Shutdown,
    task: mesh::Task<anyhow::Result<()>>,
}

/// A page of a job, as the dispatcher would publish it.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) job: JobId,
    pub(crate) task: PageTask,
}

impl Bed {
    /// Starts everything. `overlay` changes the crawler's settings.
    pub(crate) async fn start(overlay: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binary: PathBuf =
            find_server(Some("/usr/bin:/usr/local/bin".into())).expect("because nats-server is installed");
        let nats = NatsServer::start(&binary, dir.path(), 0).await.unwrap();
        let ca = Ca::generate().unwrap();
        let ledger = Ledger::default();
        let (job, job_server) = neighbour(&ca, Service::Job, &ledger).await;
        let (result, result_server) = neighbour(&ca, Service::Result, &ledger).await;
        let settings = format!(
            "server.listen = \"127.0.0.1:0\"\nserver.grace = \"500ms\"\npeers.job = \"{job}\"\npeers.result = \"{result}\"\n\
             queue.url = \"{}\"\nqueue.ack_wait = \"3s\"\nqueue.progress_interval = \"1s\"\nqueue.pull_wait = \"1s\"\n\
             egress.allow_targets = [\"127.0.0.1/32\"]\nbrowser.work_dir = \"{}\"\n{overlay}",
            nats.url(),
            dir.path().join("browser").display(),
        );
        let config = mesh::config::with::<Config>(settings.parse().unwrap()).unwrap();
        let bus = Bus::connect(&config.queue, "test").await.unwrap();
        bus.ready().wait_for(Result::is_ok).await.unwrap();
        let outcomes = tokio::sync::Mutex::new(bus.outcomes("test"));
        let mut bed = Self {
            nats,
            bus,
            ledger,
            ca,
            crawler: None,
            config,
            outcomes,
            seen: Mutex::default(),
            _servers: vec![job_server, result_server],
            dir,
        };
        bed.start_crawler().await;
        bed
    }

    /// Starts the crawler, which must not be running.
    pub(crate) async fn start_crawler(&mut self) {
        let identity = self.ca.issue(Service::Crawler).unwrap();
        let shutdown = Shutdown::new();
        let peers = self.config.peers.clone();
        let node = Node::bind(Service::Crawler, &self.config.server, identity, peers, shutdown.clone())
            .await
            .unwrap();
        let address = node.addr().to_string();
        let task = mesh::spawn("crawler", crawler::serve(self.config.clone(), node));
        self.crawler = Some(Running { address, shutdown, task });
    }

    /// Stops it as SIGTERM would, and returns how long that took.
    pub(crate) async fn stop_crawler(&mut self) -> Duration {
        let running = self.crawler.take().expect("because it runs");
        let begun = Instant::now();
        running.shutdown.begin();
        timeout(PATIENCE, running.task).await.expect("because it stops").unwrap().unwrap();
        begun.elapsed()
    }

    /// Where browsers keep their profiles.
    pub(crate) fn browsers(&self) -> PathBuf {
        self.dir.path().join("browser")
    }

    /// A page of a new job with these settings.
    pub(crate) fn page(&self, url: &str, config: CrawlConfig) -> Page {
        let job = JobId::new();
        // robots.txt is tested in the whole mesh; here each visit of the site counts.
        let config = CrawlConfig {
            page_timeout: config.page_timeout.or(seconds(20)),
            respect_robots: config.respect_robots.or(Some(false)),
            ..config
        };
        let spec = JobSpec { name: job.name(), version: 1, config: Some(config), ..JobSpec::default() };
        self.ledger.specs.lock().insert(job.name(), spec);
        let task = PageTask {
            page: id::page_name(job, PageId::new()),
            dispatch_sequence: 1,
            url: url.to_owned(),
            spec_version: 1,
            lane_reason: "http first".to_owned(),
            tenant: TenantId::new().name(),
            ..PageTask::default()
        };
        Page { job, task }
    }

    /// Puts a page into the queue.
    pub(crate) async fn publish(&self, lane: Lane, page: &Page) {
        let id = format!("{}:{}", page.task.page, page.task.dispatch_sequence);
        let payload = Bytes::from(page.task.encode_to_vec());
        let work = Work { lane, priority: Priority::Normal, id, payload, traceparent: None };
        self.bus.publish_work(work).await.unwrap();
    }

    /// Publishes a page of the HTTP lane and waits for its outcome.
    pub(crate) async fn work(&self, page: &Page) -> PageOutcome {
        self.publish(Lane::Http, page).await;
        self.outcome(page).await
    }

    /// Waits for the outcome of a page.
    pub(crate) async fn outcome(&self, page: &Page) -> PageOutcome {
        let patience = Instant::now() + PATIENCE;
        loop {
            let known = self.seen.lock().iter().find(|outcome| outcome.page == page.task.page).cloned();
            if let Some(outcome) = known {
                return outcome;
            }
            assert!(Instant::now() < patience, "no outcome of {}", page.task.url);
            self.look(Duration::from_secs(1)).await;
        }
    }

    /// All outcomes so far, after looking for more for this long.
    pub(crate) async fn all_outcomes(&self, wait: Duration) -> Vec<PageOutcome> {
        self.look(wait).await;
        self.seen.lock().clone()
    }

    async fn look(&self, wait: Duration) {
        let pulled = self.outcomes.lock().await.pull(64, wait).await;
        let Ok(deliveries) = pulled else { return sleep(Duration::from_millis(50)).await };
        for delivery in deliveries {
            self.see(PageOutcome::decode(delivery.payload.clone()).unwrap(), delivery.deliveries);
            delivery.ack().await.unwrap();
        }
    }

    /// Remembers an outcome. Where our ack came too late the queue sends it again; a second one of a page is another message.
    fn see(&self, outcome: PageOutcome, deliveries: u64) {
        let mut seen = self.seen.lock();
        if deliveries == 1 || !seen.contains(&outcome) {
            seen.push(outcome);
        }
    }

    /// What was stored of a page.
    pub(crate) fn stored(&self, page: &Page) -> Option<Stored> {
        let stored = self.ledger.stored.lock();
        let name = |stored: &&Stored| {
            stored.header.document.as_ref().map(|d| d.name.as_str()) == Some(&page.task.page)
        };
        stored.iter().find(name).cloned()
    }
}

/// Starts a neighbour that is played by `ledger`.
async fn neighbour(ca: &Ca, service: Service, ledger: &Ledger) -> (String, mesh::Task<anyhow::Result<()>>) {
    let mut server = mesh::config::with::<Config>(Default::default()).unwrap().server;
    server.listen = "127.0.0.1:0".to_owned();
    let peers = mesh::config::with::<Config>(Default::default()).unwrap().peers;
    let node =
        Node::bind(service, &server, ca.issue(service).unwrap(), peers, Shutdown::new()).await.unwrap();
    let address = node.addr().to_string();
    let max = server.max_message_bytes();
    let app = mesh::Server::new(node, &server);
    let app = match service {
        Service::Job => app.add(JobServiceServer::new(ledger.clone())),
        _ => app.add(ResultServiceServer::from_arc(Arc::new(ledger.clone())).max_decoding_message_size(max)),
    };
    (address, mesh::spawn("neighbour", app.run()))
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < patience, "waited in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}
