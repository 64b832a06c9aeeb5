//! fastCRW's server, asked to scrape the same pages as the mesh, where `tools/install fastcrw` has put it.
//!
//! Fair to it: none of its limits on rates, hosts and concurrency, no robots.txt, no browser, nothing but Markdown; as many
//! connections as were the fastest on the pages of the warm-up; its start is not counted. It keeps nothing.

use std::{
    net::TcpListener,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    process::Command,
    time::{Instant, timeout},
};

use crate::{
    client::{Connection, answers},
    process::Process,
};

/// How long its start may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// What is tried during the warm-up: pages at once.
const AT_ONCE: [usize; 4] = [4, 8, 16, 32];
/// How a page that was scraped begins.
const SUCCESS: &[u8] = br#"{"success":true"#;
/// Shorter than this is no page of the documentation.
const SHORTEST: usize = 1000;

/// A running server.
pub(crate) struct FastCrw {
    _process: Process,
    connections: Vec<Connection>,
    _folder: TempDir,
}

impl FastCrw {
    /// Starts the server in `folder`, and finds the best concurrency with the `warm` pages. `None`: it is not installed.
    pub(crate) async fn start(folder: &Path, warm: &[String]) -> anyhow::Result<Option<Self>> {
        let binary = folder.join("bin/crw-server");
        if !binary.is_file() {
            return Ok(None);
        }
        let folder = tempfile::tempdir().context("make a folder for fastCRW")?;
        let addr = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = Command::new(std::path::absolute(binary)?);
        command.current_dir(folder.path()).env("HOME", folder.path()).env("RUST_LOG", "error");
        command.env("CRW_SERVER__HOST", "127.0.0.1").env("CRW_SERVER__PORT", addr.port().to_string());
        command.envs([
            ("CRW_SERVER__RATE_LIMIT_RPS", "0"),
            ("CRW_RENDERER__MODE", "none"),
            ("CRW_CRAWLER__RESPECT_ROBOTS_TXT", "false"),
            ("CRW_CRAWLER__REQUESTS_PER_SECOND", "0"),
            ("CRW_CRAWLER__MAX_CONCURRENCY", "64"),
            ("CRW_CRAWLER__PER_HOST_MAX_CONCURRENT", "64"),
            ("CRW_ALLOW_LOOPBACK_FOR_TESTS", "1"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = Process::start(&mut command)?;
        timeout(START_TIMEOUT, answers(addr, "/health")).await.context("wait for fastCRW")?;
        let mut it = Self { _process: process, connections: Vec::new(), _folder: folder };
        let (mut best, mut fastest) = (AT_ONCE[0], 0.0);
        for at_once in AT_ONCE {
            while it.connections.len() < at_once {
                it.connections.push(Connection::open(addr, "").await?);
            }
            it.rate(warm).await?;
            let rate = it.rate(warm).await?;
            if rate > fastest {
                (best, fastest) = (at_once, rate);
            }
        }
        it.connections.truncate(best);
        Ok(Some(it))
    }

    /// How it works.
    pub(crate) fn describe(&self) -> String {
        format!("fastCRW with {} pages at once", self.connections.len())
    }

    /// Pages a second over these URLs.
    pub(crate) async fn rate(&mut self, urls: &[String]) -> anyhow::Result<f64> {
        let (next, started) = (&AtomicUsize::new(0), Instant::now());
        let scraping = self.connections.iter_mut().map(async |connection| {
            while let Some(url) = urls.get(next.fetch_add(1, Ordering::Relaxed)) {
                let body = serde_json::json!({ "url": url, "formats": ["markdown"] });
                let answer = connection.post("/v1/scrape", Bytes::from(body.to_string())).await?;
                let body = &answer.body;
                ensure!(
                    answer.status == 200 && body.starts_with(SUCCESS) && body.len() >= SHORTEST,
                    "fastCRW, {url}: HTTP {}, {}",
                    answer.status,
                    String::from_utf8_lossy(&body[..body.len().min(500)])
                );
            }
            anyhow::Ok(())
        });
        futures::future::try_join_all(scraping).await?;
        Ok(urls.len() as f64 / started.elapsed().as_secs_f64())
    }
}
