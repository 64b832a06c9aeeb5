//! The browser lane against pages that behave and pages that do not, with a real Chromium.

mod ads;
mod asked;
mod canaries;
mod faults;
mod frames;
mod hostile;
mod lifecycle;
mod pages;
mod site;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::{AddressPolicy, JobId, PageUrl, Verdict};
use egress::{Guard, Resolver};
use tempfile::TempDir;
use tokio::time::Instant;

use super::options::Options;
use super::{Pool, proc};
use crate::classify::Kind;
use crate::cookies::Jars;
use crate::fetch::{Failure, Fetch, Fetched, Http, Order};
use site::Site;

/// A pool that may reach one network and nothing else, and its work folder.
struct Bed {
    pool: Pool,
    /// The HTTP lane beside it, with the same cookies.
    http: Http,
    work_dir: TempDir,
    job: JobId,
}

impl Bed {
    async fn new(overlay: &str) -> Self {
        Self::reaching("127.0.0.1/32", overlay).await
    }

    async fn reaching(network: &str, overlay: &str) -> Self {
        Self::resolving(Resolver::fixed::<String, Vec<_>>([]), network, overlay).await
    }

    async fn resolving(resolver: Resolver, network: &str, overlay: &str) -> Self {
        let work_dir = tempfile::tempdir().unwrap();
        let shown = work_dir.path().display();
        let spare = if overlay.contains("browser.spare") { "" } else { "browser.spare = 0\n" };
        let overlay = format!("browser.sandbox = false\nbrowser.work_dir = \"{shown}\"\n{spare}{overlay}");
        let config = crate::tests::config(&overlay);
        let policy = AddressPolicy::new(vec![network.parse().unwrap()]);
        let guard = Guard::new(policy, resolver);
        let client = egress::Client::with_guard(&config.egress, guard.clone()).unwrap();
        let jars = Jars::new(&config.cookies);
        let pool = Pool::start(&config.browser, &config.proxy, guard, "test/1", 10, jars.clone())
            .await
            .expect("because Chromium is there");
        Self { pool, http: Http { client, jars }, work_dir, job: JobId::new() }
    }

    fn order(&self, url: &str, limit: Duration) -> Order {
        let url = PageUrl::parse(url).unwrap();
        Order {
            job: self.job,
            url,
            browser: Arc::default(),
            deadline: Instant::now() + limit,
            headers: Vec::new(),
            validators: (None, None),
            relay: None,
            both_lanes: false,
            session: None,
        }
    }

    async fn fetch(&self, url: &str) -> Result<Fetched, Failure> {
        self.pool.fetch(&self.order(url, Duration::from_secs(60))).await
    }

    /// A page with these options.
    async fn ask(&self, url: &str, browser: Options) -> Result<Fetched, Failure> {
        let order = Order { browser: Arc::new(browser), ..self.order(url, Duration::from_secs(60)) };
        self.pool.fetch(&order).await
    }

    /// The body of a page that works.
    async fn body(&self, url: &str) -> String {
        let fetched = self.fetch(url).await.expect("because the page works");
        String::from_utf8(fetched.body.to_vec()).unwrap()
    }

    async fn pid(&self) -> u32 {
        self.pool.browser().await.expect("because it starts").pid
    }

    /// The process id of the spare browser, once there is a living one.
    async fn spare(&self) -> u32 {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(pid) = self.pool.spare_pid().await {
                return pid;
            }
            assert!(Instant::now() < patience, "waited in vain for a spare browser");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn profiles(&self) -> usize {
        profiles(self.work_dir.path())
    }

    /// Nothing is left once the pool is closed.
    async fn close(self) {
        let pid = self.pid().await;
        self.pool.close().await;
        assert_eq!((proc::group(pid), self.profiles()), (Vec::new(), 0));
    }
}

fn profiles(work_dir: &Path) -> usize {
    std::fs::read_dir(work_dir).unwrap().count()
}

fn verdict(result: Result<Fetched, Failure>) -> (Kind, Verdict) {
    let judgement = result.expect_err("because it fails").judgement();
    (judgement.kind, judgement.verdict.unwrap())
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < patience, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
