//! Pages a second of the HTTP lane through the whole mesh, against a bare loop over the same pages, and against rivals that are installed.

use api::job::v1::crawl_config::Render;

use crate::{
    client::in_lane,
    command::BenchArgs,
    crawl4ai::{self, Crawl4Ai, Strategy},
    documents::{self, Documents},
    fastcrw::FastCrw,
    reference,
    report::{Bar, Report},
    sample::Sample,
    site::Site,
    up::Up,
};

const WHAT: &str = "HTTP lane, documentation pages of 50-100 KB";
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
    let mut rivals = rivals(args, &warm, report).await?;
    let (mut mesh, mut bare) = (Sample::default(), Sample::default());
    for round in 1..=args.rounds {
        let rate = jobs.crawl(in_lane(Render::Http, &urls)).await?.rate(urls.len())?;
        let against = reference.rate(&urls).await?;
        report
            .note(&format!("http, round {round}: mesh {rate:.0} pages/s, bare loop {against:.0} pages/s"))?;
        mesh.add(rate);
        bare.add(against);
        for rival in &mut rivals {
            let rate = rival.rate(&urls).await?;
            report.note(&format!("http, round {round}: {} {rate:.1} pages/s", rival.name))?;
            rival.rates.add(rate);
        }
    }
    up.stop().await?;
    report.compared(WHAT, mesh.median(), bare.median(), "pages/s", Some(Bar::AtLeast(0.6)))?;
    for rival in &rivals {
        report.compared(
            &against(rival.name),
            mesh.median(),
            rival.rates.median(),
            "pages/s",
            rival.bar.map(Bar::AtLeast),
        )?;
    }
    Ok(())
}

/// Another product.
struct Rival {
    name: &'static str,
    product: Product,
    /// How many times as fast as it the mesh must be.
    bar: Option<f64>,
    rates: Sample,
}

enum Product {
    Crawl4Ai(Crawl4Ai),
    FastCrw(FastCrw),
}

impl Rival {
    fn new(name: &'static str, bar: Option<f64>, product: Product) -> Self {
        Self { name, product, bar, rates: Sample::default() }
    }

    async fn rate(&mut self, urls: &[String]) -> anyhow::Result<f64> {
        match &mut self.product {
            Product::Crawl4Ai(it) => it.rate(urls).await,
            Product::FastCrw(it) => it.rate(urls).await,
        }
    }
}

/// Those that are installed.
async fn rivals(args: &BenchArgs, warm: &[String], report: &mut Report) -> anyhow::Result<Vec<Rival>> {
    let mut rivals = Vec::new();
    for (name, workers, bar) in
        [("Crawl4AI", crawl4ai::one_for_each_core(), Some(15.0)), ("Crawl4AI in one process", 1, None)]
    {
        match Crawl4Ai::start(&args.crawl4ai, &Strategy::Http, workers, warm).await? {
            Some(it) => {
                report.note(&format!("http: {}", it.describe()))?;
                rivals.push(Rival::new(name, bar, Product::Crawl4Ai(it)));
            }
            None => report.skipped(&against(name), "it is not installed (tools/install crawl4ai)")?,
        }
    }
    match FastCrw::start(&args.fastcrw, warm).await? {
        Some(it) => {
            report.note(&format!("http: {}", it.describe()))?;
            rivals.push(Rival::new("fastCRW", Some(2.0), Product::FastCrw(it)));
        }
        None => report.skipped(&against("fastCRW"), "it is not installed (tools/install fastcrw)")?,
    }
    Ok(rivals)
}

fn against(name: &str) -> String {
    format!("HTTP lane, the same pages, against {name}")
}
