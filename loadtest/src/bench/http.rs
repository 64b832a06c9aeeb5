//! Pages a second of the HTTP lane through the whole mesh, against a bare loop over the same pages, and against Crawl4AI.

use api::job::v1::crawl_config::Render;

use crate::{
    client::in_lane,
    command::BenchArgs,
    crawl4ai::{Crawl4Ai, Strategy},
    documents::{self, Documents},
    reference,
    report::{Bar, Report},
    sample::Sample,
    site::Site,
    up::Up,
};

const WHAT: &str = "HTTP lane, documentation pages of 50-100 KB";
const AGAINST: &str = "HTTP lane, the same pages, against Crawl4AI";
/// Pages of the first crawl, which is not counted: it warms both sides and the site.
const WARM_UP: usize = 32;

/// Runs it.
pub(crate) async fn run(args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    let Some(documents) = Documents::find(args.pages) else {
        return report.skipped(WHAT, documents::MISSING);
    };
    let (site, _visits) = Site::start(Some(documents.root.clone())).await?;
    let urls: Vec<_> = documents.paths.iter().map(|path| site.url(path)).collect();
    report.note(&format!("http: {} pages, {} rounds, medians", urls.len(), args.rounds))?;
    let up = Up::start(&[]).await?;
    let jobs = up.jobs().await?;
    let reference = reference::Http::new()?;
    let warm: Vec<_> = urls.iter().take(WARM_UP).cloned().collect();
    jobs.crawl(in_lane(Render::Http, &warm)).await?;
    reference.rate(&urls).await?;
    let mut crawl4ai = Crawl4Ai::start(&args.crawl4ai, &Strategy::Http, &warm).await?;
    match &crawl4ai {
        Some(it) => report.note(&format!("http: {}", it.describe()))?,
        None => report.skipped(AGAINST, "it is not installed (tools/install crawl4ai)")?,
    }
    let (mut mesh, mut bare, mut theirs) = (Sample::default(), Sample::default(), Sample::default());
    for round in 1..=args.rounds {
        let rate = jobs.crawl(in_lane(Render::Http, &urls)).await?.rate(urls.len())?;
        let against = reference.rate(&urls).await?;
        report
            .note(&format!("http, round {round}: mesh {rate:.0} pages/s, bare loop {against:.0} pages/s"))?;
        mesh.add(rate);
        bare.add(against);
        if let Some(it) = &mut crawl4ai {
            let rate = it.rate(&urls).await?;
            report.note(&format!("http, round {round}: Crawl4AI {rate:.1} pages/s"))?;
            theirs.add(rate);
        }
    }
    up.stop().await?;
    report.compared(WHAT, mesh.median(), bare.median(), "pages/s", Some(Bar::AtLeast(0.6)))?;
    if crawl4ai.is_some() {
        report.compared(AGAINST, mesh.median(), theirs.median(), "pages/s", Some(Bar::AtLeast(15.0)))?;
    }
    Ok(())
}
