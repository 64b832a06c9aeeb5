//! How fast single-URL jobs are accepted over REST, and how long one takes at a steady rate.
//!
//! Once the pages are of a host that is spared as one on the Internet is, so that nearly all of them wait: that is what
//! accepting costs. Once nothing holds the crawl back, and the numbers are what is left for submissions beside it, on the
//! same cores as the load generator and the site.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use crate::{
    client::{Connection, submission},
    report::{Bar, Report},
    sample::Sample,
    site::Site,
    up::Up,
};

const CONNECTIONS: usize = 16;
const RUSH: Duration = Duration::from_secs(5);
const STEADY_RATE: u32 = 500;
const STEADY: Duration = Duration::from_secs(5);
/// Connections of the steady part; an arrival that finds none waits, and its wait counts.
const STEADY_CONNECTIONS: usize = 64;
/// Submissions before the clock starts.
const WARM_UP: usize = 50;

/// One's own hosts at the pace of those on the Internet.
const SPARED: [(&str, &str); 2] =
    [("JOB__POLITENESS__LOCAL__MIN_DELAY", "250ms"), ("JOB__POLITENESS__LOCAL__MAX_CONCURRENCY", "4")];

/// Runs it.
pub(crate) async fn run(report: &mut Report) -> anyhow::Result<()> {
    let (site, _visits) = Site::start(None).await?;
    let body = submission(&site.url("/p/submit"));
    report.note("submit: first the host is spared as on the Internet, then nothing holds the crawl back")?;
    one(&SPARED, &body, "", (Some(Bar::Below(20.0)), Some(Bar::AtLeast(2000.0))), report).await?;
    one(&[], &body, " beside their crawl", (None, None), report).await
}

/// The bars are for the 99th percentile of the delay, and for the rate.
async fn one(
    settings: &[(&str, &str)],
    body: &Bytes,
    kind: &str,
    bars: (Option<Bar>, Option<Bar>),
    report: &mut Report,
) -> anyhow::Result<()> {
    let up = Up::start(settings).await?;
    let mut connection = up.connection().await?;
    for _ in 0..WARM_UP {
        connection.post("/v1/crawl-jobs", body.clone()).await?.job()?;
    }
    let (steady, refused) = steady(&up, body).await?;
    up.stop().await?;
    let what = format!("submit at a steady {STEADY_RATE}/s{kind}");
    report.measured(&format!("{what}, not accepted"), refused as f64, "jobs", Some(Bar::Below(1.0)))?;
    report.measured(&format!("{what}, p50"), steady.median(), "ms", None)?;
    report.measured(&format!("{what}, p99"), steady.percentile(99.0), "ms", bars.0)?;

    let up = Up::start(settings).await?;
    let (accepted, refused, took) = rush(&up, body).await?;
    up.stop().await?;
    let rate = accepted as f64 / took.as_secs_f64();
    let what = format!("submit over REST, {CONNECTIONS} connections{kind}");
    report.measured(&what, rate, "jobs/s", bars.1)?;
    report.measured(&format!("{what}, not accepted"), refused as f64, "jobs", None)
}

/// As fast as some connections go: how many were accepted, how many were not, and the time it took.
async fn rush(up: &Up, body: &Bytes) -> anyhow::Result<(usize, usize, Duration)> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(up.connection().await?);
    }
    let started = Instant::now();
    let submitting: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let body = body.clone();
            mesh::spawn("submitter", async move {
                let (mut accepted, mut refused) = (0, 0);
                while started.elapsed() < RUSH {
                    match connection.post("/v1/crawl-jobs", body.clone()).await?.job() {
                        Ok(_) => accepted += 1,
                        Err(_) => refused += 1,
                    }
                }
                anyhow::Ok((accepted, refused))
            })
        })
        .collect();
    let (mut accepted, mut refused) = (0, 0);
    for submitter in submitting {
        let (more_accepted, more_refused) = submitter.await??;
        accepted += more_accepted;
        refused += more_refused;
    }
    Ok((accepted, refused, started.elapsed()))
}

/// An open loop: arrivals come by the clock, however slow the answers are, and each is timed from when it was due.
/// Those that were not accepted are counted apart.
async fn steady(up: &Up, body: &Bytes) -> anyhow::Result<(Sample, usize)> {
    let mut connections = Vec::new();
    for _ in 0..STEADY_CONNECTIONS {
        connections.push(up.connection().await?);
    }
    let free = Arc::new(Semaphore::new(STEADY_CONNECTIONS));
    let connections = Arc::new(parking_lot::Mutex::new(connections));
    let begin = Instant::now();
    let arrivals = STEADY_RATE * u32::try_from(STEADY.as_secs())?;
    let mut submissions = Vec::new();
    for arrival in 0..arrivals {
        let due = begin + Duration::from_secs(1) * arrival / STEADY_RATE;
        sleep_until(due).await;
        let (free, connections, body) = (free.clone(), connections.clone(), body.clone());
        submissions.push(mesh::spawn("arrival", async move {
            let _permit = free.acquire().await?;
            let taken: Option<Connection> = connections.lock().pop();
            let mut connection = taken.ok_or_else(|| anyhow::anyhow!("more arrivals than connections"))?;
            let answer = connection.post("/v1/crawl-jobs", body).await;
            let took = due.elapsed();
            connections.lock().push(connection);
            anyhow::Ok(answer?.job().is_ok().then_some(took))
        }));
    }
    let (mut sample, mut refused) = (Sample::default(), 0);
    for submission in submissions {
        match submission.await?? {
            Some(took) => sample.add_time(took),
            None => refused += 1,
        }
    }
    Ok((sample, refused))
}
