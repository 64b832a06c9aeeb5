//! `kill -9` of each process in turn during a job: it finishes, its counts add up, no page is missing or stored twice.

use std::collections::HashSet;

use api::{
    job::v1::{ListPagesRequest, job::State, page::Verdict},
    result::v1::ListDocumentsRequest,
};
use domain::Service;
use testkit::{Processes, Site, assert_adds_up, eventually, site::Answer};

const PAGES: usize = 200;

/// Starts a job whose pages take a while, waits until some are done, does `harm`, and checks the end.
async fn survives(mesh: &mut Processes, site: &Site, harm: impl AsyncFnOnce(&mut Processes)) {
    for number in 0..PAGES {
        let html = testkit::site::page(u32::try_from(number).expect("because it is small"));
        site.set(&format!("/p/{number}"), Answer::Slow(std::time::Duration::from_millis(100), html));
    }
    let job = mesh.submit(site.pages(PAGES)).await;
    let begun = |job: &api::job::v1::Job| job.counts.is_some_and(|counts| counts.succeeded >= 20);
    eventually(async || mesh.job(&job.name).await, begun).await;
    harm(mesh).await;
    let job = mesh.ended(&job.name).await;
    assert_adds_up(&job);
    assert_eq!(job.state(), State::Succeeded);
    let counts = job.counts.expect("because a job has counts");
    assert_eq!((counts.found, counts.succeeded), (PAGES as i64, PAGES as i64), "{job:?}");

    let pages = pages(mesh, &job.name).await;
    assert_eq!(pages.len(), PAGES, "no page is missing");
    let documents = documents(mesh, &job.name).await;
    let distinct: HashSet<_> = documents.iter().collect();
    assert_eq!((documents.len(), distinct.len()), (PAGES, PAGES), "each page is stored once");
    assert_eq!(documents, pages);
}

async fn pages(mesh: &Processes, job: &str) -> Vec<String> {
    let request = ListPagesRequest {
        parent: job.to_owned(),
        page_size: 1000,
        page_token: String::new(),
        verdict: Verdict::Ok.into(),
        ..ListPagesRequest::default()
    };
    let answer = mesh.jobs.clone().list_pages(request).await.expect("because the job exists").into_inner();
    answer.pages.into_iter().map(|page| page.name).collect()
}

async fn documents(mesh: &Processes, job: &str) -> Vec<String> {
    let mut request =
        ListDocumentsRequest { parent: job.to_owned(), page_size: 100, page_token: String::new() };
    let mut names = Vec::new();
    loop {
        let answer = mesh
            .results
            .clone()
            .list_documents(request.clone())
            .await
            .expect("because it exists")
            .into_inner();
        names.extend(answer.documents.into_iter().map(|document| document.name));
        if answer.next_page_token.is_empty() {
            return names;
        }
        request.page_token = answer.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_each_process_in_turn() {
    let (mut mesh, site) = (Processes::start(None).await, Site::start().await);
    for service in
        [Service::Crawler, Service::Job, Service::Result, Service::Webhook, Service::Auth, Service::Gateway]
    {
        println!("kill -9 {service}");
        survives(&mut mesh, &site, async |mesh| {
            mesh.kill(service);
            mesh.spawn(service);
            mesh.wait_ready().await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_killed_and_wiped_in_the_middle() {
    let (mut mesh, site) = (Processes::start(None).await, Site::start().await);
    println!("kill -9 NATS");
    survives(&mut mesh, &site, async |mesh| {
        mesh.nats.kill().await.expect("because the process is ours");
        let accepted = mesh.submit(site.pages(1)).await;
        assert_eq!(
            accepted.counts.expect("because a job has counts").found,
            1,
            "submits succeed without NATS"
        );
        mesh.nats.restart().await.expect("because it can be started again");
    })
    .await;
    println!("wipe NATS");
    survives(&mut mesh, &site, async |mesh| {
        mesh.wipe_nats().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_hands_pages_back() {
    let (mut mesh, site) = (Processes::start(None).await, Site::start().await);
    survives(&mut mesh, &site, async |mesh| {
        mesh.signal(Service::Crawler, nix::sys::signal::Signal::SIGTERM);
        mesh.wait_exit(Service::Crawler).await;
        mesh.spawn(Service::Crawler);
    })
    .await;
}
