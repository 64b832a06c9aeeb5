//! How soon an idle mesh acts: from sending a job to the site's first sight of the crawler.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, timeout},
};

use crate::{
    client::{Connection, submission},
    command::BenchArgs,
    report::{Bar, Report},
    sample::Sample,
    site::{Site, Visit},
    up::Up,
};

/// Jobs before the first that counts.
pub(super) const WARM_UP: usize = 10;
/// Longest wait for one visit.
const VISIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs it.
pub(crate) async fn run(args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    let (site, mut visits) = Site::start(None).await?;
    let up = Up::start(&[]).await?;
    let mut connection = up.connection().await?;
    let (mut seen, mut ended) = (Sample::default(), Sample::default());
    for number in 0..WARM_UP + args.jobs {
        let (to_sight, to_end) = one(&mut connection, &site, &mut visits, number).await?;
        if number >= WARM_UP {
            seen.add_time(to_sight);
            ended.add_time(to_end);
        }
    }
    up.stop().await?;
    report.note(&format!("idle: {} jobs, one after the other", seen.len()))?;
    let what = "idle mesh, submit to the site's sight of it";
    report.measured(&format!("{what}, p50"), seen.median(), "ms", Some(Bar::Below(5.0)))?;
    report.measured(&format!("{what}, p99"), seen.percentile(99.0), "ms", Some(Bar::Below(25.0)))?;
    report.measured("idle mesh, submit to the end of the job, p50", ended.median(), "ms", None)
}

/// Submits a job of one page and waits for its end: how long until the site saw the crawler, and until the end.
pub(super) async fn one(
    connection: &mut Connection,
    site: &Site,
    visits: &mut Receiver<Visit>,
    number: usize,
) -> anyhow::Result<(Duration, Duration)> {
    let body = submission(&site.url(&format!("/p/seen/{number}")));
    let sent = Instant::now();
    let job = connection.post("/v1/crawl-jobs", body).await?.job()?;
    let visit = timeout(VISIT_TIMEOUT, visits.recv()).await.context("wait for the crawler")?;
    let visit = visit.context("the site has ended")?;
    anyhow::ensure!(
        visit.path.ends_with(&format!("/{number}")),
        "a visit to {} for job {number}",
        visit.path
    );
    // The next job comes when this one is out of the way.
    let job = connection.get(&format!("/v1/{}?wait=30s", job.name)).await?.job()?;
    anyhow::ensure!(job.succeeded(), "{} is {}", job.name, job.state);
    Ok((visit.at - sent, sent.elapsed()))
}
