//! A generated site, and jobs that are submitted and followed while services come and go.

use std::time::{Duration, Instant};

use api::job::v1::{
    CrawlConfig, CreateCrawlJobRequest, DeepCrawl, GetJobRequest, Job, crawl_config::Render, job::State,
};
use testkit::{Clients, Processes, Site, assert_adds_up};
use tokio::time::sleep;

/// A crawl without any progress for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);
/// From the end of a fault to the end of the job, at most, on a machine that has little time for us.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);
/// Links of a page to pages that are new.
const WIDTH: usize = 4;

/// A page with its own words and links to its children, its parent, itself and the start.
fn html(number: usize, pages: usize) -> String {
    let words: String = (0..60).map(|n| format!("page{number}word{n} ")).collect();
    let children = (WIDTH * number + 1..=WIDTH * number + WIDTH).filter(|child| *child < pages);
    let around = [number.saturating_sub(1) / WIDTH, number, 0];
    let links: String =
        children.chain(around).map(|n| format!("<a href='/s/{n}#part'>to page{n}</a> ")).collect();
    format!(
        "<html><head><title>page{number}</title></head><body><main><h1>page{number}</h1><p>{words}</p>{links}</main></body></html>"
    )
}

/// A site of so many pages, `/s/0` and on, each of which takes `pace`.
pub(crate) async fn site(pages: usize, pace: Duration) -> Site {
    let site = Site::start().await;
    site.pace(pace);
    site.write(move |path| {
        let number: usize = path.strip_prefix("/s/")?.parse().ok()?;
        (number < pages).then(|| html(number, pages))
    });
    site
}

/// A crawl of the whole site.
pub(crate) fn whole_site(site: &Site, max_pages: usize) -> CreateCrawlJobRequest {
    let max_pages = i32::try_from(max_pages).ok();
    let deep = DeepCrawl { max_pages, max_depth: Some(50), ..DeepCrawl::default() };
    request(vec![site.url("/s/0")], Some(deep))
}

/// A job of these URLs.
pub(crate) fn request(urls: Vec<String>, deep_crawl: Option<DeepCrawl>) -> CreateCrawlJobRequest {
    let config = CrawlConfig { render: Render::Http.into(), deep_crawl, ..CrawlConfig::default() };
    CreateCrawlJobRequest { urls, config: Some(config), ..CreateCrawlJobRequest::default() }
}

/// Submits until it is accepted: a retry with the same id is the same job.
pub(crate) async fn submit(clients: &Clients, id: &str, request: CreateCrawlJobRequest) -> Job {
    let begun = Instant::now();
    loop {
        let request = CreateCrawlJobRequest { request_id: id.to_owned(), ..request.clone() };
        match clients.jobs.clone().create_crawl_job(request).await {
            Ok(job) => return job.into_inner(),
            Err(refused) => assert!(begun.elapsed() < PATIENCE, "nobody takes a job: {refused}"),
        }
        sleep(POLL).await;
    }
}

/// Follows a job until `done`, through failures of any service. Its ledger adds up at every read.
///
/// # Panics
/// Where nothing changes for [`PATIENCE`].
pub(crate) async fn follow(clients: &Clients, name: &str, done: impl Fn(&Job) -> bool) -> Job {
    let mut last = String::new();
    let mut changed = Instant::now();
    loop {
        let request = GetJobRequest { name: name.to_owned(), wait: None };
        let answer = clients.jobs.clone().get_job(request).await.map(tonic::Response::into_inner);
        if let Ok(job) = &answer {
            assert_adds_up(job);
            if done(job) {
                return job.clone();
            }
        }
        let seen = match &answer {
            Ok(job) => format!("{:?}", job.counts),
            Err(status) => format!("{status}"),
        };
        if answer.is_ok() && seen != last {
            (last, changed) = (seen, Instant::now());
        } else {
            assert!(changed.elapsed() < PATIENCE, "{name} is stuck: {last}; at last: {seen}");
        }
        sleep(POLL).await;
    }
}

/// Whether a job has ended.
pub(crate) fn ended(job: &Job) -> bool {
    matches!(job.state(), State::Succeeded | State::Failed | State::Cancelled)
}

/// Whether so many pages of a job have succeeded, or it has ended.
pub(crate) fn succeeded(count: usize) -> impl Fn(&Job) -> bool {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    move |job| ended(job) || job.counts.is_some_and(|counts| counts.succeeded >= count)
}

/// Crawls a site of so many pages while `harm` is done, and checks that all is well soon after.
pub(crate) async fn survives(
    mesh: &mut Processes,
    site: &Site,
    pages: usize,
    harm: impl AsyncFnOnce(&mut Processes),
) {
    let job = submit(mesh, "crawl", whole_site(site, 1000)).await;
    follow(mesh, &job.name, succeeded(20)).await;
    harm(mesh).await;
    let healed = Instant::now();
    let job = follow(mesh, &job.name, ended).await;
    assert!(healed.elapsed() < RECOVERY, "it took {:?} after the fault", healed.elapsed());
    assert_eq!(job.verdicts.get("ok"), Some(&(pages as i64)), "{job:?}");
    mesh.check(&[&job.name]).await;
}
