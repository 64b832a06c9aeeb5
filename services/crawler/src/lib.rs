//! The crawler: pulls pages from the work queue, fetches them over HTTP or in Chromium, extracts, stores, settles.
//!
//! Owns nothing it would miss and may die at any moment: what it has pulled and not settled comes to another crawler.
//! Promises: one outcome for each page that it takes on, by the page's deadline; no process and no file of a browser
//! outlives it (what a killed crawler leaves, the next one ends).

mod browser;
mod cache;
mod cancel;
mod classify;
mod cookies;
mod dates;
mod discover;
mod extraction;
mod fetch;
#[cfg(test)]
mod fuzz;
mod habits;
mod handler;
mod manners;
mod map;
mod metrics;
mod outcome;
mod page;
mod permission;
mod persist;
mod session;
mod sessions;
mod source;
mod spec;
mod store;
mod task;
#[cfg(test)]
mod tests;
mod visits;
mod wire;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::crawler::v1::crawler_service_server::CrawlerServiceServer;
use domain::{JobId, Lane, Service};
use futures::StreamExt;
use mesh::config::{self, Problems};
use queue::Bus;
use serde::Deserialize;
use tokio::time::sleep;

use browser::{Availability, Pool};
pub use browser::{find_ad_lists, find_chromium};
use cancel::Cancels;
use cookies::Jars;
use extraction::Extractor;
use fetch::{Fetch, Http};
use habits::Habits;
use page::Bench;
use sessions::Sessions;
use spec::Specs;
use store::Results;
use worker::Worker;

/// The settings of a crawler; config.default.toml documents them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The gRPC port.
    pub server: config::Server,
    /// The identity.
    pub tls: config::Tls,
    /// Logs and traces.
    pub telemetry: config::Telemetry,
    /// The other members.
    pub peers: config::Peers,
    /// The work queue.
    pub queue: queue::Config,
    /// The fetch client.
    pub egress: egress::Config,
    /// What is remembered of robots.txt files.
    pub robots: egress::robots::Config,
    /// The filter proxies of the browsers.
    pub proxy: egress::proxy::Config,
    /// The HTTP lane.
    pub http: HttpLane,
    /// The cookies of jobs.
    pub cookies: cookies::Config,
    /// The browser lane.
    pub browser: browser::Config,
    /// What is remembered of hosts whose pages need it.
    pub render: habits::Config,
    /// The work on one page.
    pub page: PageWork,
}

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpLane {
    /// Pages fetched at the same time.
    pub slots: usize,
}

/// `[page]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageWork {
    /// How long the job service may be away.
    #[serde(with = "humantime_serde")]
    pub spec_timeout: Duration,
    /// How long a job's settings are kept.
    #[serde(with = "humantime_serde")]
    pub spec_ttl: Duration,
    /// Jobs whose settings are kept.
    pub spec_cache: u64,
    /// How long the result service may be away.
    #[serde(with = "humantime_serde")]
    pub store_timeout: Duration,
    /// Crashes after which a page is not touched again.
    pub max_crashes: i32,
    /// Cancelled jobs that are remembered.
    pub cancelled_jobs: usize,
}

impl mesh::Config for Config {
    const SERVICE: Service = Service::Crawler;
    const DEFAULTS: &'static str = include_str!("../config.default.toml");

    fn server(&self) -> &config::Server {
        &self.server
    }

    fn tls(&self) -> &config::Tls {
        &self.tls
    }

    fn telemetry(&self) -> &config::Telemetry {
        &self.telemetry
    }

    fn peers(&self) -> &config::Peers {
        &self.peers
    }

    fn validate(&self, problems: &mut Problems) {
        for problem in self.queue.check() {
            problems.add("queue", problem);
        }
        for problem in self.egress.check().into_iter().chain(self.proxy.check()).chain(self.robots.check()) {
            let (key, problem) = problem.split_once(' ').unwrap_or(("egress", &problem));
            problems.add(key, problem);
        }
        for (key, problem) in self.browser.check() {
            problems.add(format!("browser.{key}"), problem);
        }
        for (key, problem) in self.cookies.check() {
            problems.add(format!("cookies.{key}"), problem);
        }
        if !(1..=1024).contains(&self.http.slots) {
            problems.add("http.slots", "must be from 1 to 1024");
        }
        if self.render.keep < Duration::from_secs(1) {
            problems.add("render.keep", "must be at least 1s");
        }
        if self.page.max_crashes < 1 {
            problems.add("page.max_crashes", "must be at least 1");
        }
        if self.page.cancelled_jobs == 0 {
            problems.add("page.cancelled_jobs", "must be at least 1");
        }
    }
}

/// Runs a crawler until `node.shutdown` begins and its pages are settled or handed back.
pub async fn serve(config: Config, node: mesh::Node) -> anyhow::Result<()> {
    let client = egress::Client::new(&config.egress).context("start the fetch client")?;
    let bus = Bus::connect(&config.queue, "crawler").await.context("connect to the queue")?;
    let guard = client.guard().clone();
    let agent = &config.egress.user_agent;
    let redirects = config.egress.max_redirects;
    let jars = Jars::new(&config.cookies);
    let pool = Pool::start(&config.browser, &config.proxy, guard, agent, redirects, jars.clone()).await;
    if let Err(problem) = &pool {
        tracing::info!(problem, "the browser lane is off");
    }
    let availability = match &pool {
        Ok(pool) => pool.availability(),
        Err(problem) => Availability::fixed(Err(problem.clone())),
    };
    let robots = egress::Robots::new(client.clone(), &config.robots);
    let crawler = Crawler::new(&config, &node, bus.clone(), availability.clone(), robots)?;
    let fetch: Arc<dyn Fetch> = Arc::new(Http { client, jars });
    let visits = visits::Visits::new(node.channel(Service::Job));
    let mapper = map::Mapper::new(fetch.clone(), crawler.robots.clone(), crawler.extractor.clone(), visits);
    let http = crawler.lane(Lane::Http, fetch, Availability::fixed(Ok(String::new())), config.http.slots);
    let browser: Arc<dyn Fetch> = match &pool {
        Ok(pool) => Arc::new(pool.clone()),
        Err(_) => Arc::new(NoBrowser),
    };
    let browser = crawler.lane(Lane::Browser, browser, availability.clone(), config.browser.slots);

    let browser_note = availability.state().unwrap_or_else(|why| why);
    let ads_note = pool.as_ref().map_or_else(|_| "off: there is no browser".to_owned(), Pool::ads_note);
    let (stop, grace) = (node.shutdown.token(), config.server.grace);
    let _cancels = mesh::spawn("cancels", listen_for_cancels(bus.clone(), crawler.cancels.clone()));
    let handler = handler::Handler {
        id: uuid::Uuid::now_v7(),
        start: mesh::clock::now(),
        http: http.clone(),
        browser: browser.clone(),
        availability,
        mapper,
    };
    let server = mesh::Server::new(node, &config.server)
        .add(CrawlerServiceServer::new(handler))
        .ready("queue", bus.ready())
        .note("browser", browser_note)
        .note("ads", ads_note);
    let (served, (), ()) =
        tokio::join!(server.run(), http.run(stop.clone(), grace), browser.run(stop.clone(), grace));
    bus.flush().await;
    if let Ok(pool) = &pool {
        pool.close().await;
    }
    served
}

/// What the lanes share.
struct Crawler {
    specs: Specs,
    extractor: Extractor,
    results: Results,
    sessions: Sessions,
    bus: Bus,
    cancels: Cancels,
    browser: Availability,
    robots: egress::Robots,
    habits: Habits,
    max_crashes: i32,
}

impl Crawler {
    fn new(
        config: &Config,
        node: &mesh::Node,
        bus: Bus,
        browser: Availability,
        robots: egress::Robots,
    ) -> anyhow::Result<Self> {
        let page = &config.page;
        let limits = spec::Limits { timeout: page.spec_timeout, ttl: page.spec_ttl, jobs: page.spec_cache };
        let max_message = config.server.max_message_bytes();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            specs: Specs::new(node.channel(Service::Job), limits),
            extractor: Extractor::new(cores)?,
            results: Results::new(node.channel(Service::Result), page.store_timeout, max_message),
            sessions: Sessions::new(node.channel(Service::Result), page.store_timeout, max_message),
            bus,
            cancels: Cancels::new(page.cancelled_jobs),
            browser,
            robots,
            habits: Habits::new(&config.render),
            max_crashes: page.max_crashes,
        })
    }

    fn lane(&self, lane: Lane, fetch: Arc<dyn Fetch>, available: Availability, slots: usize) -> Worker {
        let bench = Bench {
            lane,
            fetch,
            specs: self.specs.clone(),
            extractor: self.extractor.clone(),
            results: self.results.clone(),
            sessions: self.sessions.clone(),
            browser: self.browser.clone(),
            robots: self.robots.clone(),
            habits: self.habits.clone(),
            max_crashes: self.max_crashes,
        };
        Worker::new(bench, self.bus.clone(), self.cancels.clone(), available, slots)
    }
}

/// The browser lane of a crawler without a browser; it is never available and so never pulls a page.
struct NoBrowser;

#[async_trait::async_trait]
impl Fetch for NoBrowser {
    async fn fetch(&self, _order: &fetch::Order) -> Result<fetch::Fetched, fetch::Failure> {
        Err(fetch::Failure::Ours("there is no browser"))
    }
}

/// Hears of cancelled jobs for as long as the crawler runs.
async fn listen_for_cancels(bus: Bus, cancels: Cancels) {
    loop {
        if let Ok(mut jobs) = bus.listen("cancel").await {
            while let Some(job) = jobs.next().await {
                let job = std::str::from_utf8(&job).ok().and_then(|text| text.parse::<JobId>().ok());
                match job {
                    Some(job) => cancels.cancel(job),
                    None => metrics::dropped("garbage cancel"),
                }
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}
