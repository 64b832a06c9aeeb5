//! What the mesh is compared with: bare loops in this process over the same pages, with the same code for the work on one
//! page, at the same concurrency, but without queue, ledger, store or any other service.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use chromiumoxide::{Browser, BrowserConfig};
use domain::PageUrl;
use extract::{Input, Options};
use futures::{StreamExt as _, TryStreamExt as _};
use tempfile::TempDir;
use tokio::{sync::Semaphore, time::Instant};

/// Tabs of the bare loop, and places of the crawler's browser lane: its default.
pub(crate) const TABS: usize = 12;

/// Fetches with egress, extracts with extract.
pub(crate) struct Http {
    client: egress::Client,
    extractions: Arc<Semaphore>,
    slots: usize,
}

impl Http {
    /// A loop with the crawler's default of 16 slots, and as many extractions at once as there are cores.
    pub(crate) fn new() -> anyhow::Result<Self> {
        #[derive(serde::Deserialize)]
        struct Section {
            egress: egress::Config,
        }
        let mut section: Section = toml::from_str(egress::config::DEFAULTS)?;
        section.egress.allow_targets = vec!["127.0.0.0/8".parse()?];
        let client = egress::Client::new(&section.egress).context("make the client")?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { client, extractions: Arc::new(Semaphore::new(cores)), slots: 16 })
    }

    /// Pages a second over these URLs.
    pub(crate) async fn rate(&self, urls: &[String]) -> anyhow::Result<f64> {
        let started = Instant::now();
        let pages = futures::stream::iter(urls.to_vec()).map(|url| self.page(url));
        // Spread over the threads of the runtime by `spawn`, as the crawler's pages are.
        pages.buffer_unordered(self.slots).try_for_each(|()| async { Ok(()) }).await?;
        Ok(urls.len() as f64 / started.elapsed().as_secs_f64())
    }

    async fn page(&self, url: String) -> anyhow::Result<()> {
        let (client, extractions) = (self.client.clone(), self.extractions.clone());
        mesh::spawn("reference", async move {
            let fetched = client.fetch(egress::Request::get(PageUrl::parse(&url)?)).await?;
            anyhow::ensure!(fetched.status == 200, "HTTP {} from {url}", fetched.status);
            let _place = extractions.acquire_owned().await?;
            let work = move || {
                let content_type = fetched.content_type.as_deref();
                let url = fetched.final_url.as_url();
                extract::extract(Input { bytes: &fetched.body, content_type, url }, &Options::default())
            };
            let document = tokio::task::spawn_blocking(work).await??;
            anyhow::ensure!(!document.markdown.is_empty(), "no text in {url}");
            Ok(())
        })
        .await?
    }
}

/// Renders with chromiumoxide in tabs that are used again and again, extracts with extract.
pub(crate) struct Rendering {
    browser: Browser,
    _events: mesh::Task<()>,
    tabs: usize,
    _profile: TempDir,
}

impl Rendering {
    /// Starts Chromium. `None`: there is no Chromium.
    pub(crate) async fn start() -> anyhow::Result<Option<Self>> {
        let Some(path) = crawler::find_chromium() else { return Ok(None) };
        let profile = tempfile::tempdir().context("make a folder for Chromium")?;
        let mut config = BrowserConfig::builder()
            .chrome_executable(path)
            .user_data_dir(profile.path())
            .window_size(1280, 800);
        if nix::unistd::geteuid().is_root() {
            config = config.no_sandbox();
        }
        let config = config.build().map_err(anyhow::Error::msg)?;
        let (browser, mut handler) = Browser::launch(config).await.context("start Chromium")?;
        let events = mesh::spawn("chromium", async move { while handler.next().await.is_some() {} });
        Ok(Some(Self { browser, _events: events, tabs: TABS, _profile: profile }))
    }

    /// Pages a second over these URLs, each left alone for `quiet` after it has loaded.
    pub(crate) async fn rate(&self, urls: &[String], quiet: Duration) -> anyhow::Result<f64> {
        let mut tabs = Vec::new();
        for _ in 0..self.tabs {
            tabs.push(self.browser.new_page("about:blank").await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let urls: Arc<[String]> = urls.into();
        let started = Instant::now();
        let mut working = Vec::new();
        for tab in tabs {
            let (next, urls) = (next.clone(), urls.clone());
            working.push(mesh::spawn("tab", async move {
                while let Some(url) = urls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    rendered(&tab, url, quiet).await?;
                }
                tab.close().await?;
                anyhow::Ok(())
            }));
        }
        for tab in working {
            tab.await??;
        }
        Ok(urls.len() as f64 / started.elapsed().as_secs_f64())
    }

    /// Ends Chromium.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.browser.close().await?;
        self.browser.wait().await?;
        Ok(())
    }
}

async fn rendered(tab: &chromiumoxide::Page, url: &str, quiet: Duration) -> anyhow::Result<()> {
    tab.goto(url).await?;
    if !quiet.is_zero() {
        tokio::time::sleep(quiet).await;
    }
    let html = tab.content().await?;
    let url: url::Url = url.parse()?;
    let work = move || {
        let input =
            Input { bytes: html.as_bytes(), content_type: Some("text/html; charset=utf-8"), url: &url };
        extract::extract(input, &Options::default())
    };
    let document = tokio::task::spawn_blocking(work).await??;
    anyhow::ensure!(!document.markdown.is_empty(), "no text in a rendered page");
    Ok(())
}
