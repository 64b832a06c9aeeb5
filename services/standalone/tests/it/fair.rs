//! Whose page is next: a large job of one tenant does not hold up a small job of another, nor its own small ones.

use std::time::Duration;

use api::job::v1::CreateCrawlJobRequest;
use testkit::{Clients, Mesh, Site, site::Answer};

/// Visits of the site between asking for a page and its visit, with a large job under way.
async fn overtaken(clients: &Clients, site: &Site, path: &str, wait: bool) -> usize {
    let before = site.visits().len();
    let request = CreateCrawlJobRequest {
        urls: vec![site.url(path)],
        wait: wait.then_some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..CreateCrawlJobRequest::default()
    };
    let job = clients.create(request).await;
    clients.ended(&job.name).await;
    let visits = site.visits();
    let visit = visits.iter().position(|(visited, _)| visited == path).expect("because it was visited");
    visit.saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_64_a_large_job_holds_up_nobody() {
    let mesh = Mesh::start().await;
    let site = Site::start().await;
    for number in 0..3000 {
        let html = testkit::site::page(number);
        site.set(&format!("/p/{number}"), Answer::Slow(Duration::from_millis(100), html));
    }
    for small in 0..6 {
        site.set(&format!("/small/{small}"), Answer::Html(testkit::site::page(small)));
    }
    let large = mesh.submit(site.pages(3000)).await;
    testkit::eventually(|| async { site.visits().len() }, |visits| *visits > 40).await;
    let other = mesh.new_tenant("other").await;
    let mut visits = Vec::new();
    for small in 0..3 {
        visits.push(overtaken(&other, &site, &format!("/small/{small}"), false).await);
    }
    // Of the same tenant: a job that is waited for.
    for small in 3..6 {
        visits.push(overtaken(&mesh, &site, &format!("/small/{small}"), true).await);
    }
    let job = mesh.job(&large.name).await;
    let left = job.counts.expect("because a job has counts").pending;
    assert!(left > 500, "the large job was at work all the time: {left} pages are left");
    assert!(job.counts.expect("because a job has counts").running <= 224, "{job:?}");
    // The queue holds more than 200 pages of the large job.
    assert!(visits.iter().all(|visits| *visits < 100), "{visits:?}");
    println!("visits of the large job before a page of a small one: {visits:?}");
}
