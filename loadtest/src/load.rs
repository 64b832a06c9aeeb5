//! One very large job with the six services apart: whether it adds up, how fast it goes, what it adds to each service.

use std::{collections::BTreeMap, time::Duration};

use api::job::v1::{CrawlConfig, CreateCrawlJobRequest, crawl_config::Render};
use domain::Service;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    command::LoadArgs,
    members::Members,
    report::{Bar, Report},
    site::Site,
};

/// How often memory is read.
const INTERVAL: Duration = Duration::from_millis(500);
/// What the mesh gets to come to rest after its first job.
const SETTLE: Duration = Duration::from_secs(3);
/// Pages of the first job, which warms every service, so that growth is not the first use of code.
const WARM_UP: usize = 500;

/// Runs it.
pub(crate) async fn run(args: &LoadArgs, report: &mut Report) -> anyhow::Result<()> {
    let (site, _visits) = Site::start(None).await?;
    let members = Members::start(&[("JOB__LIMITS__MAX_URLS", args.pages.max(WARM_UP).to_string())]).await?;
    let jobs = members.jobs().await?;
    jobs.crawl(request(&site, "w", WARM_UP)).await?.rate(WARM_UP)?;
    sleep(SETTLE).await;
    let before: BTreeMap<Service, f64> = members.resident()?.into_iter().collect();
    let mut peak = before.clone();
    let crawl = jobs.crawl(request(&site, "p", args.pages));
    tokio::pin!(crawl);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let crawled = loop {
        tokio::select! {
            crawled = &mut crawl => break crawled?,
            _ = ticks.tick() => {
                for (service, resident) in members.resident()? {
                    let most = peak.entry(service).or_default();
                    *most = most.max(resident);
                }
            }
        }
    };
    let rate = crawled.rate(args.pages)?;
    members.stop().await?;
    let what = format!("a job of {} small pages", args.pages);
    report.measured(&what, rate, "pages/s", None)?;
    for (service, before) in &before {
        let growth = peak.get(service).copied().unwrap_or(f64::NAN) - before;
        report.measured(&format!("{what} adds to {service}"), growth, "MB", Some(Bar::Below(50.0)))?;
    }
    Ok(())
}

fn request(site: &Site, kind: &str, pages: usize) -> CreateCrawlJobRequest {
    let config = CrawlConfig { render: Render::Http.into(), ..CrawlConfig::default() };
    let urls = (0..pages).map(|number| site.url(&format!("/p/{kind}{number}"))).collect();
    CreateCrawlJobRequest { urls, config: Some(config), ..CreateCrawlJobRequest::default() }
}
