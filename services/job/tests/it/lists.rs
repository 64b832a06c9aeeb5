//! Lists, and the walls between tenants.

use api::job::v1::{self as pb, job::State, page::Verdict};
use domain::{JobId, Lane, Scope, TenantId};
use tonic::{Code, Status};

use crate::bench::{Bench, ok, on_both, reason, request, urls};

async fn jobs(bench: &Bench, size: i32, state: State) -> Vec<String> {
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListJobsRequest {
            page_size: size,
            page_token: token,
            state: state.into(),
            ..Default::default()
        };
        let list = bench.client().list_jobs(bench.ask(request)).await.unwrap().into_inner();
        assert!(list.jobs.len() <= usize::try_from(size).unwrap());
        names.extend(list.jobs.into_iter().map(|job| job.name));
        token = list.next_page_token;
        if token.is_empty() {
            return names;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_everything_once() {
    on_both(async |bench: Bench| {
        let mut created = Vec::new();
        for n in 0..7 {
            created.push(bench.create(&[&format!("https://example.com/{n}")]).await.name);
        }
        bench.cancel(&created[2]).await.unwrap();
        created.reverse();
        for size in [1, 3, 7, 200] {
            assert_eq!(jobs(&bench, size, State::Unspecified).await, created, "newest first");
        }
        assert_eq!(jobs(&bench, 2, State::Cancelled).await, [created[4].clone()]);

        let job = bench.submit(pb::CreateCrawlJobRequest { urls: urls(25), ..Default::default() }).await;
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListPagesRequest {
                parent: job.name.clone(),
                page_size: 10,
                page_token: token,
                ..Default::default()
            };
            let list = bench.client().list_pages(bench.ask(request)).await.unwrap().into_inner();
            found.extend(list.pages.into_iter().map(|page| page.url));
            token = list.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, urls(25), "in the order in which they were given");
        bench.cancel(&job.name).await.unwrap();
        let filter = |verdict: Verdict| {
            let request = pb::ListPagesRequest {
                parent: job.name.clone(),
                verdict: verdict.into(),
                ..Default::default()
            };
            let (mut client, request) = (bench.client(), bench.ask(request));
            async move { client.list_pages(request).await.unwrap().into_inner().pages.len() }
        };
        assert_eq!((filter(Verdict::Cancelled).await, filter(Verdict::Ok).await), (25, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_cut_to_the_size_of_a_message() {
    let settings = [("server.max_message_size", "\"64KiB\"")];
    crate::bench::with(&settings, async |bench: Bench| {
        let long = "x".repeat(7000);
        let mut urls = Vec::new();
        for n in 0..8 {
            urls.push(format!("https://example.com/{n}{long}"));
        }
        let job = bench.submit(pb::CreateCrawlJobRequest { urls, ..Default::default() }).await;
        let request = pb::ListPagesRequest { parent: job.name.clone(), ..Default::default() };
        let first = bench.client().list_pages(bench.ask(request.clone())).await.unwrap().into_inner();
        assert!(first.pages.len() < 8 && !first.next_page_token.is_empty());
        let request = pb::ListPagesRequest { page_token: first.next_page_token, ..request };
        let second = bench.client().list_pages(bench.ask(request)).await.unwrap().into_inner();
        assert_eq!(first.pages.len() + second.pages.len(), 8);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_job_does_not_exist() {
    on_both(async |bench: Bench| {
        let job = bench.create(&["https://example.com/"]).await;
        let stranger = TenantId::new();
        let mut client = bench.client();
        let scopes = [Scope::JobsRead, Scope::JobsWrite];
        for name in [job.name.clone(), JobId::new().name()] {
            let get = pb::GetJobRequest { name: name.clone(), wait: None };
            let cancel = pb::CancelJobRequest { name: name.clone() };
            let watch = pb::WatchJobRequest { name: name.clone(), after_sequence: 0 };
            let pages = pb::ListPagesRequest { parent: name.clone(), ..Default::default() };
            let refused: [Status; 4] = [
                client.get_job(request(stranger, &scopes, get)).await.unwrap_err(),
                client.cancel_job(request(stranger, &scopes, cancel)).await.unwrap_err(),
                client.watch_job(request(stranger, &scopes, watch)).await.unwrap_err(),
                client.list_pages(request(stranger, &scopes, pages)).await.unwrap_err(),
            ];
            for status in refused {
                assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "JOB_NOT_FOUND"));
                let id = name.trim_start_matches("jobs/");
                assert_eq!(status.message(), format!("job {id} does not exist"));
            }
        }
        let list =
            client.list_jobs(request(stranger, &scopes, pb::ListJobsRequest::default())).await.unwrap();
        assert!(list.into_inner().jobs.is_empty());
        bench.crawl(Lane::Http, 1, ok).await;
        bench.ended(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_name_is_refused() {
    let bench = Bench::start(&store::testing::sqlite().unwrap().url, &[]).await;
    for name in [
        "",
        "jobs/",
        "jobs/1",
        "pages/018f3c9e-6a5b-7c3d-8e1f-0123456789ab",
        "jobs/00000000-0000-0000-0000-000000000000",
    ] {
        let request = pb::GetJobRequest { name: name.to_owned(), wait: None };
        let refused = bench.client().get_job(bench.ask(request)).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "INVALID_NAME"),
            "{name}"
        );
    }
}
