//! A submit whose URLs come as a stream, through the gateway.

use std::time::{Duration, Instant};

use api::job::v1::{
    CancelJobRequest, CreateCrawlJobRequest, ImportCrawlJobRequest, Job, ListJobsRequest,
    import_crawl_job_request::{End, Part, Urls},
};
use testkit::{Clients, Mesh, Site};
use tokio_stream::StreamExt;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// The bound of one submit.
const MOST: usize = 100_000;
/// For a machine that has little time for us.
const PATIENCE: Duration = Duration::from_secs(240);

/// The first message, and one for each list of URLs.
fn begun(job: CreateCrawlJobRequest, lists: Vec<Vec<String>>) -> Vec<ImportCrawlJobRequest> {
    let urls = lists.into_iter().map(|urls| Part::Urls(Urls { urls }));
    std::iter::once(Part::Job(job)).chain(urls).map(part).collect()
}

/// The same with its end.
fn parts(job: CreateCrawlJobRequest, lists: Vec<Vec<String>>) -> Vec<ImportCrawlJobRequest> {
    let urls = job.urls.len() + lists.iter().map(Vec::len).sum::<usize>();
    [begun(job, lists), vec![end(urls)]].concat()
}

fn end(urls: usize) -> ImportCrawlJobRequest {
    part(Part::End(End { urls: i32::try_from(urls).unwrap_or(i32::MAX) }))
}

fn part(part: Part) -> ImportCrawlJobRequest {
    ImportCrawlJobRequest { part: Some(part) }
}

fn named(id: &str) -> CreateCrawlJobRequest {
    CreateCrawlJobRequest { request_id: id.to_owned(), ..Default::default() }
}

async fn import(clients: &Clients, parts: Vec<ImportCrawlJobRequest>) -> Result<Job, Status> {
    let mut request = Request::new(tokio_stream::iter(parts));
    request.set_timeout(PATIENCE);
    clients.jobs.clone().import_crawl_job(request).await.map(tonic::Response::into_inner)
}

async fn jobs(clients: &Clients) -> usize {
    let list = clients.jobs.clone().list_jobs(ListJobsRequest::default()).await;
    list.expect("because it is allowed").into_inner().jobs.len()
}

fn reason(status: &Status) -> String {
    mesh::error_reason(status).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_urls_is_one_submit() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let urls = site.pages(5);
    let first = CreateCrawlJobRequest { urls: urls[..1].to_vec(), ..named("one") };
    let lists = || vec![urls[1..3].to_vec(), Vec::new(), urls[3..].to_vec()];
    let job = import(&mesh, parts(first.clone(), lists())).await.expect("because it is whole");
    assert_eq!(job.counts.expect("because a job has counts").found, 5);
    let again = import(&mesh, parts(first.clone(), lists())).await.expect("because it is the same");
    assert_eq!((&again.name, jobs(&mesh).await), (&job.name, 1));
    let other = import(&mesh, parts(first, vec![urls[1..2].to_vec()])).await.expect_err("because it differs");
    assert_eq!(reason(&other), "IDEMPOTENCY_KEY_REUSED");
    let ended = mesh.ended(&job.name).await;
    assert_eq!(ended.counts.expect("because a job has counts").succeeded, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_wrong_or_breaks_off_leaves_nothing() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let bad = vec![site.pages(2), vec!["ftp://example.com/".to_owned()], vec!["nope".to_owned()]];
    let one = || begun(named("a"), vec![site.pages(1)]);
    for (sent, reasons) in [
        (parts(named("a"), bad), &["INVALID_FIELD", "urls[2]", "urls[3]"][..]),
        (parts(named("a"), Vec::new()), &["REQUIRED", "urls"]),
        (Vec::new(), &["REQUIRED", "job"]),
        (vec![part(Part::Urls(Urls { urls: site.pages(1) }))], &["REQUIRED", "job"]),
        ([one(), begun(named("a"), Vec::new())].concat(), &["CONFLICT", "job"]),
        ([one(), vec![end(1)], one()].concat(), &["CONFLICT", "end"]),
        ([one(), vec![end(2)]].concat(), &["CONFLICT", "end.urls"]),
        (one(), &["REQUIRED", "end"]),
        (parts(named("a"), vec![site.pages(MOST / 2), site.pages(MOST / 2 + 1)]), &["TOO_MANY_URLS", "urls"]),
    ] {
        let refused = import(&mesh, sent).await.expect_err("because it is wrong");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, reasons[0]));
        let told = refused.get_details_bad_request().map_or_else(Vec::new, |bad| bad.field_violations);
        let told: Vec<_> = told.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(told, reasons[1..], "{refused:?}");
    }
    let nobody = mesh.with_key("");
    let refused = import(&nobody, parts(named("a"), vec![site.pages(1)])).await;
    assert_eq!(reason(&refused.expect_err("because it has no key")), "MISSING_CREDENTIALS");

    // The client goes away in the middle, and so does the time of another.
    let cut = tokio_stream::iter(begun(named("a"), vec![site.pages(100)]));
    let mut request = Request::new(cut.chain(tokio_stream::pending()));
    request.set_timeout(Duration::from_secs(2));
    let late = mesh.jobs.clone().import_crawl_job(request).await.expect_err("because it never ends");
    // The client's own clock may be the first.
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
    let cut = tokio_stream::iter(begun(named("a"), vec![site.pages(100)]));
    let mut client = mesh.jobs.clone();
    let call = client.import_crawl_job(cut.chain(tokio_stream::pending()));
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err(), "it waits for the rest");
    assert_eq!((jobs(&mesh).await, site.all_hits()), (0, 0));
    let job = import(&mesh, parts(named("a"), vec![site.pages(100)])).await.expect("because it is whole");
    assert_eq!((job.counts.expect("because a job has counts").found, jobs(&mesh).await), (100, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_urls_as_a_job_may_have_come_as_a_stream() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    let lists = site.pages(MOST).chunks(10_000).map(<[String]>::to_vec).collect();
    let begun = Instant::now();
    let job = import(&mesh, parts(named("all"), lists)).await.expect("because it is at the bound");
    println!("{MOST} URLs were accepted after {:?}", begun.elapsed());
    assert_eq!(job.counts.expect("because a job has counts").found, MOST as i64);
    let cancelled = mesh.jobs.clone().cancel_job(CancelJobRequest { name: job.name }).await;
    testkit::assert_adds_up(cancelled.expect("because it runs").get_ref());
}
