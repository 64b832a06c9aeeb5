//! What a page in flight costs in memory: by how much the crawler and its browsers grow while every place of a lane is taken,
//! for each of its places.

use std::time::Duration;

use api::job::v1::{CreateCrawlJobRequest, crawl_config::Render};
use domain::Service;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    client::{Jobs, in_lane},
    command::BenchArgs,
    documents::{self, Documents},
    members::Members,
    reference::TABS,
    report::Report,
    site::Site,
};

/// How often memory is read.
const INTERVAL: Duration = Duration::from_millis(100);
/// What the crawler gets to come to rest after its first page.
const SETTLE: Duration = Duration::from_secs(3);

/// A lane, its places, and the setting that says how many it has.
const LANES: [(Render, &str, usize, &str); 2] = [
    (Render::Http, "HTTP", 16, "CRAWLER__HTTP__SLOTS"),
    (Render::Browser, "browser", TABS, "CRAWLER__BROWSER__SLOTS"),
];

/// Runs it.
pub(crate) async fn run(args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    for (render, name, slots, setting) in LANES {
        let what = format!("memory of a page in flight, {name}");
        let most = if render == Render::Http { args.pages } else { args.browser_pages };
        let Some(documents) = Documents::find(most) else {
            report.skipped(&what, documents::MISSING)?;
            continue;
        };
        let (site, _visits) = Site::start(Some(documents.root.clone())).await?;
        let urls: Vec<_> = documents.paths.iter().map(|path| site.url(path)).collect();
        let members = Members::start(&[(setting, slots.to_string())]).await?;
        let jobs = members.jobs().await?;
        jobs.crawl(in_lane(render, &urls[..1])).await?.rate(1)?;
        sleep(SETTLE).await;
        let rest = members.family(Service::Crawler)?;
        let peak = peak(&members, &jobs, in_lane(render, &urls), urls.len()).await?;
        members.stop().await?;
        report
            .note(&format!("memory, {name}: at rest {rest:.1} MB, at most {peak:.1} MB, {slots} places"))?;
        report.measured(&what, (peak - rest) / slots as f64, "MB", None)?;
    }
    Ok(())
}

/// The most memory that the crawler and its browsers have while a job runs, in MB.
async fn peak(
    members: &Members,
    jobs: &Jobs,
    request: CreateCrawlJobRequest,
    pages: usize,
) -> anyhow::Result<f64> {
    let mut crawl = std::pin::pin!(jobs.crawl(request));
    let mut clock = interval(INTERVAL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut most: f64 = 0.0;
    loop {
        tokio::select! {
            crawled = &mut crawl => {
                crawled?.rate(pages)?;
                return Ok(most);
            }
            _ = clock.tick() => most = most.max(members.family(Service::Crawler)?),
        }
    }
}
