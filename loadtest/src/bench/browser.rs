//! Pages a second of the browser lane through the whole mesh, against a bare chromiumoxide loop that uses its tabs again, and against
//! Crawl4AI.
//!
//! Twice: pages without scripts, which both sides take as soon as they have loaded, and the same pages with their scripts,
//! where the crawler waits until the page has been quiet for its default of 500 ms, and so do the references.

use std::time::Duration;

use anyhow::Context as _;
use api::job::v1::crawl_config::Render;

use crate::{
    client::{Jobs, in_lane},
    command::BenchArgs,
    crawl4ai::{self, Crawl4Ai, Strategy},
    documents::{self, Documents},
    reference::{Rendering, TABS},
    report::{Bar, Report},
    sample::Sample,
    site::Site,
    up::Up,
};

/// `browser.quiet` of the crawler's defaults.
const QUIET: Duration = Duration::from_millis(500);
/// Pages of the first crawl, which is not counted.
const WARM_UP: usize = 6;

/// Runs it.
pub(crate) async fn run(args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    let what = "browser lane";
    let Some(documents) = Documents::find(args.browser_pages) else {
        return report.skipped(what, documents::MISSING);
    };
    let Some(reference) = Rendering::start().await? else {
        return report.skipped(what, "there is no Chromium (make run installs it)");
    };
    let (site, _visits) = Site::start(Some(documents.root.clone())).await?;
    let up = Up::start(&[]).await?;
    let jobs = up.jobs().await?;
    let bare: Vec<_> = documents.paths.iter().map(|path| site.static_url(path)).collect();
    let scripted: Vec<_> = documents.paths.iter().map(|path| site.url(path)).collect();
    report.note(&format!("browser: {} pages, {} rounds, medians, {TABS} tabs", bare.len(), args.rounds))?;
    let what = "browser lane, documentation pages without scripts";
    let sides = Sides { jobs: &jobs, reference: &reference, args };
    sides.compare(what, &bare, Duration::ZERO, "load", report).await?;
    let what = "browser lane, documentation pages with scripts";
    sides.compare(what, &scripted, QUIET, "networkidle", report).await?;
    up.stop().await?;
    reference.stop().await
}

/// Those that are compared.
struct Sides<'a> {
    jobs: &'a Jobs,
    reference: &'a Rendering,
    args: &'a BenchArgs,
}

impl Sides<'_> {
    /// Compares them over these pages. `wait_until` is what Playwright calls what the crawler waits for.
    async fn compare(
        &self,
        what: &str,
        urls: &[String],
        quiet: Duration,
        wait_until: &'static str,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let warm = &urls[..urls.len().min(WARM_UP)];
        self.jobs.crawl(in_lane(Render::Browser, warm)).await?;
        self.reference.rate(warm, quiet).await?;
        let mut crawl4ai = self.crawl4ai(what, warm, wait_until, report).await?;
        let (mut mesh, mut bare, mut theirs) = (Sample::default(), Sample::default(), Sample::default());
        for round in 1..=self.args.rounds {
            let rate = self.jobs.crawl(in_lane(Render::Browser, urls)).await?.rate(urls.len())?;
            let against = self.reference.rate(urls, quiet).await?;
            report.note(&format!("{what}, round {round}: mesh {rate:.2}, bare loop {against:.2} pages/s"))?;
            mesh.add(rate);
            bare.add(against);
            if let Some(it) = &mut crawl4ai {
                let rate = it.rate(urls).await?;
                report.note(&format!("{what}, round {round}: Crawl4AI {rate:.2} pages/s"))?;
                theirs.add(rate);
            }
        }
        report.compared(what, mesh.median(), bare.median(), "pages/s", Some(Bar::AtLeast(0.8)))?;
        if crawl4ai.is_some() {
            let what = format!("{what}, against Crawl4AI");
            report.compared(&what, mesh.median(), theirs.median(), "pages/s", Some(Bar::AtLeast(2.0)))?;
        }
        Ok(())
    }

    async fn crawl4ai(
        &self,
        what: &str,
        warm: &[String],
        wait_until: &'static str,
        report: &mut Report,
    ) -> anyhow::Result<Option<Crawl4Ai>> {
        let chromium = crawler::find_chromium().context("find Chromium")?;
        let strategy = Strategy::Browser { chromium, wait_until };
        let started =
            Crawl4Ai::start(&self.args.crawl4ai, &strategy, crawl4ai::one_for_each_core(), warm).await?;
        match &started {
            Some(it) => report.note(&format!("{what}: {}", it.describe()))?,
            None => report.skipped(
                &format!("{what}, against Crawl4AI"),
                "it is not installed (tools/install crawl4ai)",
            )?,
        }
        Ok(started)
    }
}
