//! How soon the owner of a job hears of its end: from `end_time` to the first attempt of the webhook.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::timeout;

use crate::{
    command::BenchArgs,
    report::{Bar, Report},
    sample::Sample,
    site::Site,
    up::Up,
};

/// Jobs before the first that counts.
const WARM_UP: usize = 5;
/// Longest wait for one webhook.
const HOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs it.
pub(crate) async fn run(args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    let (site, mut visits) = Site::start(None).await?;
    let up = Up::start(&[]).await?;
    let mut connection = up.connection().await?;
    let mut delays = Sample::default();
    for number in 0..WARM_UP + args.jobs {
        let body =
            json!({"urls": [site.url(&format!("/p/{number}"))], "webhook": {"url": site.url("/hook")}});
        let job = connection.post("/v1/crawl-jobs", Bytes::from(body.to_string())).await?.job()?;
        let hook = timeout(HOOK_TIMEOUT, visits.recv()).await.context("wait for the webhook")?;
        let hook = hook.context("the receiver has ended")?;
        let event: Value = serde_json::from_slice(&hook.body).context("read the webhook")?;
        anyhow::ensure!(event["data"]["name"] == job.name.as_str(), "a webhook of another job");
        let end = event["data"]["end_time"].as_str().context("a webhook without end_time")?;
        let end = OffsetDateTime::parse(end, &Rfc3339)?;
        if number >= WARM_UP {
            delays.add((hook.time - end).as_seconds_f64() * 1e3);
        }
    }
    up.stop().await?;
    report.note(&format!("webhook: {} jobs, one after the other", delays.len()))?;
    let what = "job event to first webhook attempt";
    report.measured(&format!("{what}, p50"), delays.median(), "ms", None)?;
    report.measured(&format!("{what}, p99"), delays.percentile(99.0), "ms", Some(Bar::Below(250.0)))
}
