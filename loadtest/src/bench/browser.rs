//! Pages a second of the browser lane through the whole mesh, against a bare chromiumoxide loop that uses its tabs again.
//!
//! Twice: pages without scripts, which both sides take as soon as they have loaded, and the same pages with their scripts,
//! where the crawler waits until the page has been quiet for its default of 500 ms, and so does the reference.

use std::time::Duration;

use api::job::v1::{CrawlConfig, CreateCrawlJobRequest, crawl_config::Render};

use crate::{
    client::Jobs,
    command::BenchArgs,
    documents::Documents,
    reference::Rendering,
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
        return report
            .skipped(what, "the toolchain has no HTML documentation (rustup component add rust-docs)");
    };
    let Some(reference) = Rendering::start().await? else {
        return report.skipped(what, "there is no Chromium (make run installs it)");
    };
    let (site, _visits) = Site::start(Some(documents.root.clone())).await?;
    let up = Up::start(&[]).await?;
    let jobs = up.jobs().await?;
    let bare: Vec<_> = documents.paths.iter().map(|path| site.static_url(path)).collect();
    let scripted: Vec<_> = documents.paths.iter().map(|path| site.url(path)).collect();
    report.note(&format!("browser: {} pages, {} rounds, medians, 2 tabs", bare.len(), args.rounds))?;
    let what = "browser lane, documentation pages without scripts";
    compare(what, &jobs, &reference, &bare, Duration::ZERO, args.rounds, report).await?;
    let what = "browser lane, documentation pages with scripts";
    compare(what, &jobs, &reference, &scripted, QUIET, args.rounds, report).await?;
    up.stop().await?;
    reference.stop().await
}

async fn compare(
    what: &str,
    jobs: &Jobs,
    reference: &Rendering,
    urls: &[String],
    quiet: Duration,
    rounds: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let warm = &urls[..urls.len().min(WARM_UP)];
    jobs.crawl(request(warm)).await?;
    reference.rate(warm, quiet).await?;
    let (mut mesh, mut bare) = (Sample::default(), Sample::default());
    for round in 1..=rounds {
        let rate = jobs.crawl(request(urls)).await?.rate(urls.len())?;
        let against = reference.rate(urls, quiet).await?;
        report.note(&format!("{what}, round {round}: mesh {rate:.2}, bare loop {against:.2} pages/s"))?;
        mesh.add(rate);
        bare.add(against);
    }
    report.compared(what, mesh.median(), bare.median(), "pages/s", Some(Bar::AtLeast(0.8)))
}

fn request(urls: &[String]) -> CreateCrawlJobRequest {
    let config = CrawlConfig { render: Render::Browser.into(), ..CrawlConfig::default() };
    CreateCrawlJobRequest { urls: urls.to_vec(), config: Some(config), ..CreateCrawlJobRequest::default() }
}
