//! Disks that are full: callers are told, services stay up, and all goes on when there is room again.

use std::time::Duration;

use api::job::v1::{CreateCrawlJobRequest, job::State};
use domain::Service;
use testkit::{Mesh, Site, SmallDisk, eventually, site::Answer};
use tonic::Code;
use tonic_types::StatusExt as _;

const PAGES: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn row_31_the_ledger_has_no_room() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let settings = format!("[database]\nurl = \"sqlite://{}/job.db\"\n", disk.path().display());
    let (mesh, site) = (Mesh::builder().set(Service::Job, &settings).start().await, Site::start().await);
    for number in 0..PAGES {
        let html = testkit::site::page(u32::try_from(number).expect("because it is small"));
        site.set(&format!("/p/{number}"), Answer::Slow(Duration::from_millis(200), html));
    }
    let job = mesh.submit(site.pages(PAGES)).await;
    eventually(async || site.all_hits(), |hits| *hits >= 8).await;
    disk.fill();
    // The log of the database has some room left from before.
    let refused = eventually(
        async || {
            let request = CreateCrawlJobRequest { urls: site.pages(500), ..CreateCrawlJobRequest::default() };
            mesh.jobs.clone().create_crawl_job(request).await.map(|job| job.into_inner().name)
        },
        Result::is_err,
    )
    .await
    .expect_err("because the disk is full");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.get_details_retry_info().is_some(), "it says when to try again: {refused}");
    assert_eq!(mesh.job(&job.name).await.name, job.name, "reading goes on");

    disk.free();
    let done = mesh.check_job(&job.name).await;
    assert_eq!((done.state(), done.verdicts.get("ok")), (State::Succeeded, Some(&(PAGES as i64))));
    let later = mesh.submit(site.pages(3)).await;
    mesh.check_job(&later.name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_70_documents_have_no_room() {
    let Some(disk) = SmallDisk::mount(4) else { return };
    let objects =
        format!("[objects]\ninline_limit = \"0B\"\nurl = \"{}\"\n", disk.path().join("documents").display());
    let mesh = Mesh::builder()
        .set(Service::Result, &objects)
        .set(Service::Crawler, "[page]\nstore_timeout = \"1s\"\n")
        .set(Service::Job, "[retry]\ninfra_base = \"200ms\"\ninfra_cap = \"1s\"\n")
        .start()
        .await;
    let site = Site::start().await;
    let before = mesh.submit(site.pages(3)).await;
    mesh.ended(&before.name).await;
    disk.fill();
    let job = mesh.submit(site.pages(PAGES)).await;
    let faults = async || mesh.pages(&job.name).await.iter().map(|page| page.infra_faults).sum::<i32>();
    eventually(faults, |faults| *faults > 0).await;
    assert_eq!(mesh.documents(&job.name).await.len(), 0, "no half document is visible");
    assert_eq!(mesh.documents(&before.name).await.len(), 3, "what was stored is read still");

    disk.free();
    let done = mesh.check_job(&job.name).await;
    assert_eq!((done.state(), done.verdicts.get("ok")), (State::Succeeded, Some(&(PAGES as i64))));
    let pages = mesh.pages(&job.name).await;
    assert!(pages.iter().all(|page| page.attempts == 1), "our fault uses up no attempt: {pages:?}");
}
