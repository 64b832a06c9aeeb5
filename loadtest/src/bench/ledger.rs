//! How fast the ledger alone is: a job service with its database and queue, and crawlers that answer at once.
//!
//! Nothing is fetched. The crawlers are tasks in this process that read real page tasks and publish real outcomes, on the same
//! cores as what is measured.

use api::{
    crawler::v1::{PageOutcome, PageTask, page_outcome::Kind},
    job::v1::{
        CrawlConfig, CreateCrawlJobRequest,
        crawl_config::Render,
        page::{Lane, Verdict},
    },
};
use bytes::Bytes;
use domain::Service;
use futures::future::join_all;
use prost::Message as _;
use queue::{Bus, Delivery};
use tokio::time::{Duration, sleep};

use crate::{
    command::BenchArgs,
    members::Members,
    report::{Bar, Report},
};

/// Crawlers.
const CRAWLERS: usize = 4;
/// Pages that one of them takes at a time.
const TAKEN: usize = 128;
/// Pause after a pull that failed.
const PAUSE: Duration = Duration::from_millis(100);
/// A page's URL; an address of one's own, so that no pace is kept.
const PLACE: &str = "http://127.0.0.1:8080";

/// Runs it.
pub(crate) async fn run(args: &BenchArgs, report: &mut Report) -> anyhow::Result<()> {
    one(args, report, "SQLite", &[], 5000.0).await?;
    report.note("ledger: Postgres runs without fsync, as in the tests")?;
    let url = store::testing::postgres()?.url;
    one(args, report, "Postgres", &[("JOB__DATABASE__URL", url)], 3000.0).await
}

async fn one(
    args: &BenchArgs,
    report: &mut Report,
    database: &str,
    settings: &[(&str, String)],
    bar: f64,
) -> anyhow::Result<()> {
    let mut members = Members::start(settings).await?;
    members.halt(Service::Crawler).await?;
    let config = queue::Config { url: members.queue(), ..queue::Config::default() };
    let bus = Bus::connect(&config, "loadtest").await?;
    let mut ready = bus.ready();
    ready.wait_for(Result::is_ok).await?;
    let _crawlers: Vec<_> = (0..CRAWLERS).map(|_| mesh::spawn("crawler", crawl(bus.clone()))).collect();
    let jobs = members.jobs().await?;
    jobs.crawl(request("warm", 1000)).await?.rate(1000)?;
    let crawled = jobs.crawl(request("page", args.ledger_pages)).await?;
    members.stop().await?;
    let rate = crawled.rate(args.ledger_pages)?;
    let what = format!("ledger alone on {database}, a job of {} pages", args.ledger_pages);
    report.measured(
        &format!("{what}, submit"),
        crawled.submitted.as_secs_f64(),
        "s",
        Some(Bar::Below(5.0)),
    )?;
    report.measured(&what, rate, "pages/s", Some(Bar::AtLeast(bar)))
}

fn request(kind: &str, pages: usize) -> CreateCrawlJobRequest {
    let config = CrawlConfig { render: Render::Http.into(), ..CrawlConfig::default() };
    let urls = (0..pages).map(|number| format!("{PLACE}/{kind}/{number}")).collect();
    CreateCrawlJobRequest { urls, config: Some(config), ..CreateCrawlJobRequest::default() }
}

/// Answers every page at once, for ever.
async fn crawl(bus: Bus) {
    let mut puller = bus.pull(domain::Lane::Http);
    loop {
        match puller.pull(TAKEN).await {
            Ok(deliveries) => {
                join_all(deliveries.iter().map(|delivery| answer(&bus, delivery))).await;
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn answer(bus: &Bus, delivery: &Delivery) {
    let Ok(task) = PageTask::decode(delivery.payload.clone()) else { return };
    let id = format!("{}:{}", task.page, task.dispatch_sequence);
    let outcome = PageOutcome {
        page: task.page,
        dispatch_sequence: task.dispatch_sequence,
        kind: Kind::Final.into(),
        verdict: Verdict::Ok.into(),
        lane: Lane::Http.into(),
        http_status: Some(200),
        ..PageOutcome::default()
    };
    // What is not published comes again with the message.
    if bus.publish_outcome(id, Bytes::from(outcome.encode_to_vec())).await.is_ok() {
        let _ = delivery.ack().await;
    }
}
