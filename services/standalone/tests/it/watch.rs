//! Following a job: server-sent events and NDJSON from any point, and cancelling while one watches.

use api::job::v1::{
    CancelJobRequest, CrawlConfig, CreateCrawlJobRequest, WatchJobRequest, crawl_config::Render, job::State,
};
use std::time::{Duration, Instant};
use testkit::{Mesh, Site, eventually, site::Answer};

/// The bar is a second, on a machine that has time for us.
const SOON: Duration = Duration::from_secs(10);
/// The pages' own time, long after that.
const PAGE_TIMEOUT: Duration = Duration::from_secs(200);

/// `(id, event)` of each server-sent event in `text`.
fn events(text: &str) -> Vec<(u64, String)> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    text.split("\n\n")
        .filter_map(|block| Some((field(block, "id")?.parse().ok()?, field(block, "event")?)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_resume_and_end_with_one_terminal_event() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let job = mesh.submit(site.pages(20)).await;
    let watch = |last: Option<u64>| {
        let mut request = mesh
            .rest
            .request(reqwest::Method::GET, &format!("/v1/{}/events", job.name))
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        testkit::rest_send(request)
    };
    let answer = watch(None).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let all = events(&answer.text);
    assert_eq!(all.first(), Some(&(1, "job.created".to_owned())), "{}", answer.text);
    let ids: Vec<_> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (1..=all.len() as u64).collect::<Vec<_>>(), "sequences have no gaps");
    let terminal = |kind: &str| matches!(kind, "job.succeeded" | "job.failed" | "job.cancelled");
    assert_eq!(all.iter().filter(|(_, kind)| terminal(kind)).count(), 1);
    assert_eq!(all.last().map(|(_, kind)| kind.as_str()), Some("job.succeeded"));

    let rest = events(&watch(Some(2)).await.text);
    assert_eq!(rest, all[2..], "Last-Event-ID resumes");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_running_pages_soon() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.set("/hang", Answer::Hang);
    let mut urls = vec![site.url("/hang")];
    urls.extend(site.pages(3));
    let job = mesh.submit(urls).await;
    eventually(async || site.hits("/hang"), |hits| *hits == 1).await;
    let done = |job: &api::job::v1::Job| job.counts.is_some_and(|counts| counts.succeeded == 3);
    mesh.until(&job.name, done).await;

    let mut jobs = mesh.jobs.clone();
    let request = WatchJobRequest { name: job.name.clone(), after_sequence: 0 };
    let mut events = mesh.jobs.clone().watch_job(request).await.expect("because the job exists").into_inner();
    let cancelled =
        jobs.cancel_job(CancelJobRequest { name: job.name.clone() }).await.expect("because it runs");
    let cancelled = cancelled.into_inner();
    testkit::assert_adds_up(&cancelled);
    assert_eq!(cancelled.state(), State::Cancelled);
    let counts = cancelled.counts.expect("because a job has counts");
    assert_eq!((counts.succeeded, counts.cancelled), (3, 1));

    let again =
        jobs.cancel_job(CancelJobRequest { name: job.name.clone() }).await.expect("because twice is once");
    assert_eq!(again.into_inner().end_time, cancelled.end_time);

    let mut last = String::new();
    let follow = async {
        while let Some(event) = events.message().await.expect("because the stream ends in order") {
            last = event.r#type;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), follow)
        .await
        .expect("because the log has its terminal event");
    assert_eq!(last, "job.cancelled");
}

/// Cancels a job whose page waits for `/hang`, and says how long it took until nobody waited there any more.
async fn cancel(mesh: &Mesh, site: &Site, path: &str, render: Render) -> Duration {
    let config = CrawlConfig {
        render: render.into(),
        page_timeout: Some(PAGE_TIMEOUT.try_into().expect("because it is short")),
        ..CrawlConfig::default()
    };
    let urls = vec![site.url(path)];
    let job = mesh.create(CreateCrawlJobRequest { urls, config: Some(config), ..Default::default() }).await;
    eventually(async || site.hits("/hang"), |hits| *hits == 1).await;
    let begun = Instant::now();
    let cancelled = mesh.jobs.clone().cancel_job(CancelJobRequest { name: job.name }).await;
    assert_eq!(cancelled.expect("because it runs").into_inner().state(), State::Cancelled);
    eventually(async || site.left("/hang"), |left| *left == 1).await;
    let gone = begun.elapsed();
    // Its place is free for the next page.
    let busy = |lanes: &serde_json::Value| {
        lanes.as_array().is_none_or(|lanes| lanes.iter().any(|lane| lane["busy"].as_i64() != Some(0)))
    };
    let lanes = async || mesh.rest.get("/v1/workers").await.json["workers"][0]["lanes"].clone();
    eventually(lanes, |lanes| !busy(lanes)).await;
    println!("{path} was left {gone:?} after the cancel, its place free after {:?}", begun.elapsed());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    gone
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_stops_a_page_that_hangs() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.set("/hang", Answer::Hang);
    cancel(&mesh, &site, "/hang", Render::Http).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_stops_a_page_that_loops_in_the_browser() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site.set("/hang", Answer::Hang);
    // The script is at work for ever once the site has been asked for what never comes.
    let page =
        "<title>Loop</title><script>fetch('/hang'); setTimeout(() => { while (true) {} }, 20)</script>";
    site.set("/loop", Answer::Html(page.to_owned()));
    cancel(&mesh, &site, "/loop", Render::Browser).await;
    // The browser that had it is as good as new, or another one.
    site.set("/app", Answer::Html(crate::render::APP.to_owned()));
    let config = CrawlConfig { render: Render::Browser.into(), ..CrawlConfig::default() };
    let urls = vec![site.url("/app")];
    let job = mesh.create(CreateCrawlJobRequest { urls, config: Some(config), ..Default::default() }).await;
    assert_eq!(mesh.ended(&job.name).await.state(), State::Succeeded);
}
