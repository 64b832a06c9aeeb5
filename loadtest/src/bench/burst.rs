//! A thousand single-page jobs at once: how many are refused, and when they are finished.

use tokio::sync::watch;

use crate::{
    client::submission,
    report::{Bar, Report},
    sample::Sample,
    site::Site,
    up::Up,
};

const JOBS: usize = 1000;

/// Runs it.
pub(crate) async fn run(report: &mut Report) -> anyhow::Result<()> {
    let (site, _visits) = Site::start(None).await?;
    let up = Up::start(&[]).await?;
    let mut connections = Vec::new();
    for _ in 0..JOBS {
        connections.push(up.connection().await?);
    }
    let (go, gate) = watch::channel(false);
    let submissions: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(number, mut connection)| {
            let (mut gate, body) = (gate.clone(), submission(&site.url(&format!("/p/{number}"))));
            mesh::spawn("submission", async move {
                gate.wait_for(|open| *open).await?;
                connection.post("/v1/crawl-jobs", body).await?.job()
            })
        })
        .collect();
    let begin = mesh::clock::now();
    go.send_replace(true);
    let (mut names, mut errors) = (Vec::new(), Vec::new());
    for submission in submissions {
        match submission.await? {
            Ok(job) => names.push(job.name),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    let accepted = mesh::clock::now() - begin;
    let mut finished = Sample::default();
    let mut connection = up.connection().await?;
    for name in &names {
        let job = connection.get(&format!("/v1/{name}?wait=60s")).await?.job()?;
        match job.end_time {
            Some(end) if job.succeeded() => finished.add((end - begin).as_seconds_f64()),
            _ => errors.push(format!("{name} is {}", job.state)),
        }
    }
    up.stop().await?;
    if let Some(error) = errors.first() {
        report.note(&format!("burst: the first error: {error}"))?;
    }
    report
        .note(&format!("burst: {JOBS} connections; all answered after {:.2} s", accepted.as_seconds_f64()))?;
    report.measured("1000 jobs at once, errors", errors.len() as f64, "jobs", Some(Bar::Below(1.0)))?;
    let p95 = finished.percentile(95.0);
    report.measured("1000 jobs at once, submit to finished, p95", p95, "s", Some(Bar::Below(10.0)))
}
