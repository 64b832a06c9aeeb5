//! One very large site, crawled to its end with the six services apart: whether it adds up, how fast it goes and whether that
//! lasts, what it adds to each service.

use std::{collections::BTreeMap, time::Duration};

use api::job::v1::{
    CrawlConfig, CreateCrawlJobRequest, DeepCrawl, Job, crawl_config::Render, deep_crawl::Strategy,
};
use domain::Service;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    client::Jobs,
    command::LoadArgs,
    members::Members,
    report::{Bar, Report},
    site::Site,
};

/// How often memory and progress are read.
const INTERVAL: Duration = Duration::from_millis(500);
/// What the mesh gets to come to rest after its first job.
const SETTLE: Duration = Duration::from_secs(3);
/// Pages of the first job, which warms every service, so that growth is not the first use of code.
const WARM_UP: usize = 500;
/// The share of the pages that the rates of start and end are taken over, and what is left out before and after.
const STRETCH: f64 = 0.2;
const EDGE: f64 = 0.02;

/// Runs it.
pub(crate) async fn run(args: &LoadArgs, report: &mut Report) -> anyhow::Result<()> {
    let (site, _visits) = Site::start(None).await?;
    let members = Members::start(&[]).await?;
    let mut jobs = members.jobs().await?;
    jobs.crawl(whole(&site, WARM_UP)?).await?.rate(WARM_UP)?;
    sleep(SETTLE).await;
    let crawl = Watched::crawl(&members, &mut jobs, whole(&site, args.pages)?).await?;
    members.stop().await?;
    let what = format!("a site of {} small pages", args.pages);
    let succeeded = crawl.job.counts.map_or(0, |counts| counts.succeeded);
    let (first, last) = crawl.rates(args.pages);
    report.measured(
        &format!("{what}, pages missing"),
        args.pages as f64 - succeeded as f64,
        "pages",
        Some(Bar::Below(1.0)),
    )?;
    report.measured(&what, args.pages as f64 / crawl.took.as_secs_f64(), "pages/s", None)?;
    report.measured(
        &format!("{what}, rate of the last fifth to the first"),
        last / first,
        "",
        Some(Bar::AtLeast(0.8)),
    )?;
    for (service, growth) in &crawl.growth {
        report.measured(&format!("{what} adds to {service}"), *growth, "MB", Some(Bar::Below(50.0)))?;
    }
    Ok(())
}

/// A crawl that was looked at while it went on.
struct Watched {
    job: Job,
    took: Duration,
    /// Pages done by then.
    progress: Vec<(Duration, f64)>,
    /// Peak of resident memory over what it was before, in MB.
    growth: BTreeMap<Service, f64>,
}

impl Watched {
    async fn crawl(
        members: &Members,
        jobs: &mut Jobs,
        request: CreateCrawlJobRequest,
    ) -> anyhow::Result<Self> {
        let before: BTreeMap<Service, f64> = members.resident()?.into_iter().collect();
        let mut growth: BTreeMap<Service, f64> = BTreeMap::new();
        let mut progress = Vec::new();
        let begun = Instant::now();
        let name = jobs.submit(request).await?;
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (service, resident) in members.resident()? {
                let most = growth.entry(service).or_default();
                *most = most.max(resident - before[&service]);
            }
            let job = jobs.get(&name).await?;
            progress.push((begun.elapsed(), job.counts.map_or(0, |counts| counts.succeeded) as f64));
            if job.end_time.is_some() {
                return Ok(Self { job, took: begun.elapsed(), progress, growth });
            }
        }
    }

    /// Pages a second in the first fifth and in the last.
    fn rates(&self, pages: usize) -> (f64, f64) {
        let pages = pages as f64;
        let over = |from: f64, to: f64| {
            let at = |share: f64| self.progress.iter().find(|(_, done)| *done >= share * pages);
            match (at(from), at(to)) {
                (Some((from, before)), Some((to, after))) => (after - before) / (*to - *from).as_secs_f64(),
                _ => f64::NAN,
            }
        };
        (over(EDGE, EDGE + STRETCH), over(1.0 - EDGE - STRETCH, 1.0 - EDGE))
    }
}

/// A crawl of a whole generated site from its first page.
fn whole(site: &Site, pages: usize) -> anyhow::Result<CreateCrawlJobRequest> {
    let deep = DeepCrawl {
        strategy: Strategy::Bfs.into(),
        max_depth: Some(20),
        max_pages: Some(i32::try_from(pages)?),
        ..DeepCrawl::default()
    };
    let config =
        CrawlConfig { render: Render::Http.into(), deep_crawl: Some(deep), ..CrawlConfig::default() };
    let urls = vec![site.url(&format!("/tree/{pages}/0"))];
    Ok(CreateCrawlJobRequest { urls, config: Some(config), ..CreateCrawlJobRequest::default() })
}
