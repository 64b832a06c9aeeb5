//! Accepting jobs: request ids, refusals, permissions.

use api::job::v1 as pb;
use domain::{Lane, Scope, Service, TenantId};
use tonic::Code;
use tonic_types::StatusExt;

use crate::bench::{Bench, eventually, ok, on_both, owned, reason, request, urls, with};

fn with_id(id: &str) -> pb::CreateCrawlJobRequest {
    let urls = owned(&["https://example.com/"]);
    pb::CreateCrawlJobRequest { urls, request_id: id.to_owned(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_66_fifty_calls_with_one_request_id_are_one_job() {
    on_both(async |bench: Bench| {
        let calls = (0..50).map(|_| {
            let (mut client, request) = (bench.client(), bench.ask(with_id("same")));
            async move { client.create_crawl_job(request).await.unwrap().into_inner().name }
        });
        let names = futures::future::join_all(calls).await;
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        let list = bench.client().list_jobs(bench.ask(pb::ListJobsRequest::default())).await.unwrap();
        assert_eq!(list.into_inner().jobs.len(), 1);
        bench.crawl(Lane::Http, 1, ok).await;
        bench.ended(&names[0]).await;
        assert_eq!(bench.submit(with_id("same")).await.name, names[0], "also after its end");
        bench.check(&names[0]).await;

        let mut other = with_id("same");
        other.urls.push("https://example.com/other".to_owned());
        let refused = bench.client().create_crawl_job(bench.ask(other)).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED")
        );

        let scopes = [Scope::JobsRead, Scope::JobsWrite];
        let elsewhere =
            bench.client().create_crawl_job(request(TenantId::new(), &scopes, with_id("same"))).await;
        assert_ne!(elsewhere.unwrap().into_inner().name, names[0], "an id belongs to its tenant");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_forgotten_in_time() {
    let settings = [("janitor.request_id_retention", "\"1ms\""), ("janitor.interval", "\"1h\"")];
    with(&settings, async |bench: Bench| {
        let first = bench.submit(with_id("same")).await;
        eventually(|| bench.submit(with_id("same")), |next| next.name != first.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_jobs_are_deleted_with_all_that_is_theirs() {
    let settings = [
        ("janitor.interval", "\"50ms\""),
        ("janitor.batch", "7"),
        ("janitor.job_retention", "\"0s\""),
        ("janitor.event_retention", "\"0s\""),
    ];
    with(&settings, async |bench: Bench| {
        let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(20), ..Default::default() }).await;
        let stays = bench.create(&["https://example.com/stays"]).await;
        bench.cancel(&job.name).await.unwrap();
        let get = || async {
            let request = pb::GetJobRequest { name: job.name.clone(), wait: None };
            bench.client().get_job(bench.ask(request)).await.map(|_| ()).map_err(|status| reason(&status))
        };
        let _ = eventually(get, |got| *got == Err("JOB_NOT_FOUND".to_owned())).await;
        assert_eq!(bench.job(&stays.name).await.counts.unwrap().found, 1, "a job that has not ended stays");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_whole() {
    on_both(async |bench: Bench| {
        let create = |request| {
            let (mut client, request) = (bench.client(), bench.ask(request));
            async move { client.create_crawl_job(request).await.unwrap_err() }
        };
        let mut bad = with_id("");
        bad.urls.push("ftp://example.com/".to_owned());
        bad.priority = 42;
        let refused = create(bad).await;
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        let fields = refused.get_details_bad_request().unwrap().field_violations;
        assert_eq!(fields.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), ["urls[1]", "priority"]);

        let mut many = with_id("");
        many.urls = urls(100_001);
        assert_eq!(reason(&create(many).await), "TOO_MANY_URLS");
        for forbidden in ["http://127.0.0.1/", "http://[::ffff:7f00:1]/", "http://job.svc.cluster.local/"] {
            let mut request = with_id("");
            request.urls.push(forbidden.to_owned());
            let refused = create(request).await;
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::PermissionDenied, "TARGET_NOT_ALLOWED")
            );
        }
        let list = bench.client().list_jobs(bench.ask(pb::ListJobsRequest::default())).await.unwrap();
        assert!(list.into_inner().jobs.is_empty(), "nothing of it was accepted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_asked_for() {
    let bench = Bench::start(&store::testing::sqlite().unwrap().url, &[]).await;
    let mut client = bench.client();
    let reader = |message| request(bench.tenant, &[Scope::JobsRead], message);
    let refused = client.create_crawl_job(reader(with_id(""))).await.unwrap_err();
    assert_eq!(reason(&refused), "MISSING_PERMISSION");
    let list = request(bench.tenant, &[Scope::JobsWrite], pb::ListJobsRequest::default());
    assert_eq!(reason(&client.list_jobs(list).await.unwrap_err()), "MISSING_PERMISSION");
    let nobody = tonic::Request::new(pb::ListJobsRequest::default());
    assert_eq!(reason(&client.list_jobs(nobody).await.unwrap_err()), "MISSING_CREDENTIALS");
    let webhook =
        bench.client_of(Service::Webhook).create_crawl_job(bench.ask(with_id(""))).await.unwrap_err();
    assert_eq!(reason(&webhook), "SERVICE_NOT_ALLOWED");
}
