//! How long a small job waits behind somebody else's large one: single pages of one tenant while another's job runs.

use anyhow::Context as _;
use api::job::v1::{CrawlConfig, CreateCrawlJobRequest, crawl_config::Render};
use bytes::Bytes;

use super::idle::{WARM_UP, one};
use crate::{
    client::Connection,
    command::BenchArgs,
    report::{Bar, Report},
    sample::Sample,
    site::Site,
    up::Up,
};

/// Pages of the large job, many more than are crawled meanwhile.
const LARGE: usize = 100_000;

/// Runs it.
pub(crate) async fn run(args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    let (site, mut visits) = Site::start(None).await?;
    let up = Up::start(&[]).await?;
    let mut other = Connection::open(up.addr, &new_tenant(&up).await?).await?;
    let mut jobs = up.jobs().await?;
    let large = jobs.submit(large(&site)).await?;
    let (mut seen, mut ended) = (Sample::default(), Sample::default());
    for number in 0..WARM_UP + args.jobs {
        let (to_sight, to_end) = one(&mut other, &site, &mut visits, number).await?;
        if number >= WARM_UP {
            seen.add_time(to_sight);
            ended.add_time(to_end);
        }
    }
    let running = jobs.get(&large).await?;
    up.stop().await?;
    anyhow::ensure!(running.end_time.is_none(), "the large job ended before the small ones");
    report.note(&format!("fair: {} jobs of one page beside one of {LARGE}", seen.len()))?;
    let what = "a page beside another tenant's large job, submit to the site's sight of it";
    report.measured(&format!("{what}, p50"), seen.median(), "ms", None)?;
    report.measured(&format!("{what}, p95"), seen.percentile(95.0), "ms", Some(Bar::Below(100.0)))?;
    report.measured(
        "a page beside another tenant's large job, to the end, p95",
        ended.percentile(95.0),
        "ms",
        None,
    )
}

/// The API key of a new tenant.
async fn new_tenant(up: &Up) -> anyhow::Result<String> {
    let body = Bytes::from_static(br#"{"tenant":{"displayName":"other"}}"#);
    let answer = up.connection().await?.post("/v1/tenants", body).await?;
    let made: serde_json::Value = serde_json::from_slice(&answer.body).context("read a tenant")?;
    let secret = made["secret"].as_str();
    Ok(secret.with_context(|| format!("no secret in {made}"))?.to_owned())
}

fn large(site: &Site) -> CreateCrawlJobRequest {
    let config = CrawlConfig { render: Render::Http.into(), ..CrawlConfig::default() };
    let urls = (0..LARGE).map(|number| site.url(&format!("/p/large/{number}"))).collect();
    CreateCrawlJobRequest { urls, config: Some(config), ..CreateCrawlJobRequest::default() }
}
