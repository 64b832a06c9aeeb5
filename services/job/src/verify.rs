//! Verification: every job of a database, checked from outside the service.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::{Config, host::Paces, store::Store};

/// Jobs of one look.
const LOOK: usize = 100;
/// Problems that are told; more are only counted.
const TOLD: usize = 100;

/// What a verification found.
#[derive(Debug, Default)]
pub struct Report {
    /// Jobs that were checked.
    pub jobs: u64,
    /// URLs of all of them.
    pub pages: i64,
    /// What is wrong, a sentence each, at most 100.
    pub problems: Vec<String>,
    /// How much is wrong.
    pub count: usize,
}

impl Report {
    fn add(&mut self, problems: Vec<String>) {
        self.count += problems.len();
        self.problems.extend(problems);
        self.problems.truncate(TOLD);
    }
}

/// Checks the ledger of every job: the sums are those of its pages, each page has exactly one verdict once the job has ended,
/// and a job without open pages has ended; its event log has no gap and exactly one terminal event if it has ended. No row
/// belongs to a job that is not there, no page waits where nobody looks, and a SQLite file is sound. `url` is that of the job service's database, which may be at work; its tables are brought up to date
/// as the service would do.
pub async fn verify(url: &str) -> anyhow::Result<Report> {
    if let Some(file) = url.strip_prefix("sqlite://") {
        let file = file.split('?').next().unwrap_or_default();
        ensure!(Path::new(file).is_file(), "there is no database {file}");
    }
    let settings: toml::Table = toml::from_str(&format!("[database]\nurl = {}", toml::Value::from(url)))
        .context("read the URL of the database")?;
    let config: Config = mesh::config::with(settings).context("read the settings")?;
    let store =
        Store::open(&config.database, Paces::new(config.politeness, Vec::new()), config.retry.max_history)
            .await
            .context("open the job store")?;
    let mut report = Report::default();
    let mut after = None;
    loop {
        let audit = store.audit(after, LOOK).await.context("read the job store")?;
        report.jobs += audit.jobs;
        report.pages += audit.pages;
        report.add(audit.problems);
        after = audit.last;
        if after.is_none() {
            break;
        }
    }
    report.add(store.leftovers().await.context("read the job store")?);
    store.close().await;
    Ok(report)
}
