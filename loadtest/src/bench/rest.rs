//! What a mesh costs when it does nothing: memory of each process, processor time; and how soon it is there.

use std::time::Duration;

use api::job::v1::CreateCrawlJobRequest;
use domain::Service;
use tokio::time::{Instant, sleep};

use crate::{
    members::Members,
    report::{Bar, Report},
    sample::Sample,
    site::Site,
    up::Up,
};

/// Starts of `crawlmesh up` that are timed.
const STARTS: usize = 5;
/// What the mesh gets to come to rest after its job.
const SETTLE: Duration = Duration::from_secs(3);
/// How long the idle mesh is watched.
const WATCH: Duration = Duration::from_secs(10);

/// Runs it.
pub(crate) async fn run(report: &mut Report) -> anyhow::Result<()> {
    let mut starts = Sample::default();
    for _ in 0..STARTS {
        let up = Up::start(&[]).await?;
        starts.add(up.start.as_secs_f64());
        up.stop().await?;
    }
    report.note(&format!("rest: {STARTS} first starts with empty data directories"))?;
    report.measured(
        "start, crawlmesh up until its ready line, median",
        starts.median(),
        "s",
        Some(Bar::Below(2.0)),
    )?;
    report.measured("start, the slowest", starts.max(), "s", None)?;

    let (site, _visits) = Site::start(None).await?;
    let members = Members::start(&[]).await?;
    let request = CreateCrawlJobRequest { urls: vec![site.url("/p/1")], ..CreateCrawlJobRequest::default() };
    members.jobs().await?.crawl(request).await?.rate(1)?;
    sleep(SETTLE).await;
    for (service, resident) in members.resident()? {
        // The crawler is no control plane: its memory is what its pages need.
        let bar = (service != Service::Crawler).then_some(Bar::Below(60.0));
        report.measured(&format!("memory at rest, {service}"), resident, "MB", bar)?;
    }
    let (before, started) = (members.processor()?, Instant::now());
    sleep(WATCH).await;
    let share = (members.processor()? - before) / started.elapsed().as_secs_f64() * 100.0;
    report.measured("processor of the six at rest", share, "% of a core", None)?;
    members.stop().await
}
