//! Crawl4AI as a library, over the same pages as the mesh, where `tools/install crawl4ai` has put it.
//!
//! Fair to it: as many workers as there are cores (and once one, as a library is used), each with the concurrency that was the fastest on the pages of the
//! warm-up; starts are not counted; cleaned by the same kind of filter (`fit`), and in the browser waiting for the same as the crawler waits for.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::Instant,
};

const SCRIPT: &str = include_str!("../crawl4ai.py");
/// What is tried during the warm-up: pages at once of each worker.
const PERMITS: [usize; 4] = [2, 4, 8, 16];

/// What fetches the pages.
#[derive(Debug, Clone)]
pub(crate) enum Strategy {
    /// Its HTTP client.
    Http,
    /// A browser, which waits for this state of a page.
    Browser { chromium: PathBuf, wait_until: &'static str },
}

/// As many workers as there are cores.
pub(crate) fn one_for_each_core() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Its workers.
pub(crate) struct Crawl4Ai {
    workers: Vec<Worker>,
    permits: usize,
    _folder: TempDir,
}

struct Worker {
    _child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Crawl4Ai {
    /// Starts so many workers of the environment in `folder`, and finds the best concurrency with the `warm` pages. `None`: it is not
    /// installed.
    pub(crate) async fn start(
        folder: &Path,
        strategy: &Strategy,
        workers: usize,
        warm: &[String],
    ) -> anyhow::Result<Option<Self>> {
        let python = folder.join("bin/python");
        if !python.is_file() {
            return Ok(None);
        }
        let home = tempfile::tempdir().context("make a folder for Crawl4AI")?;
        let workers = (0..workers).map(|_| Worker::start(&python, strategy, home.path()));
        let workers = workers.collect::<anyhow::Result<_>>()?;
        let mut it = Self { workers, permits: PERMITS[0], _folder: home };
        it.rate(&[]).await?;
        it.rate(warm).await?;
        let (mut best, mut fastest) = (it.permits, 0.0);
        for permits in PERMITS {
            it.permits = permits;
            let rate = it.rate(warm).await?;
            if rate > fastest {
                (best, fastest) = (permits, rate);
            }
        }
        it.permits = best;
        Ok(Some(it))
    }

    /// How it works.
    pub(crate) fn describe(&self) -> String {
        format!("Crawl4AI, workers: {}, pages at once each: {}", self.workers.len(), self.permits)
    }

    /// Pages a second over these URLs, dealt out to the workers.
    pub(crate) async fn rate(&mut self, urls: &[String]) -> anyhow::Result<f64> {
        let (count, permits) = (self.workers.len(), self.permits);
        let started = Instant::now();
        let shares = self.workers.iter_mut().enumerate().map(|(number, worker)| {
            let share: Vec<_> = urls.iter().skip(number).step_by(count).cloned().collect();
            worker.crawl(share, permits)
        });
        futures::future::try_join_all(shares).await?;
        Ok(urls.len() as f64 / started.elapsed().as_secs_f64())
    }
}

impl Worker {
    fn start(python: &Path, strategy: &Strategy, home: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).env("CRAWL4_AI_BASE_DIRECTORY", home);
        match strategy {
            Strategy::Http => command.arg("http"),
            Strategy::Browser { chromium, wait_until } => {
                command.arg("browser").arg(chromium).arg(wait_until)
            }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("start Crawl4AI")?;
        let requests = child.stdin.take().context("its input is open")?;
        let answers = BufReader::new(child.stdout.take().context("its output is open")?).lines();
        Ok(Self { _child: child, requests, answers })
    }

    async fn crawl(&mut self, urls: Vec<String>, permits: usize) -> anyhow::Result<()> {
        let request = format!("{}\n", json!({"urls": urls, "permits": permits}));
        self.requests.write_all(request.as_bytes()).await.context("ask Crawl4AI")?;
        let answer = self.answers.next_line().await?.context("Crawl4AI ended; its own words are above")?;
        let answer: serde_json::Value = serde_json::from_str(&answer).context("read its answer")?;
        ensure!(
            answer["ok"] == urls.len(),
            "Crawl4AI: {} of {} pages; {}",
            answer["ok"],
            urls.len(),
            answer["why"]
        );
        Ok(())
    }
}
