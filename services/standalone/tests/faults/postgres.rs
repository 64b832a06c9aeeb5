//! Long rows about Postgres, and two job services that share one.

use std::time::{Duration, Instant};

use api::job::v1::CreateCrawlJobRequest;
use domain::Service;
use testkit::{Clients, Link, Member, Processes, Site, Toxic, Way};
use tokio::time::sleep;
use tonic::Code;

use crate::crawl::{RECOVERY, ended, follow, site, submit, succeeded, survives, whole_site};

const PAGES: usize = 200;
const PACE: Duration = Duration::from_millis(100);

/// Submits a page, and says what came of it and after which time.
async fn ask(clients: &Clients, site: &Site) -> (Result<String, Code>, Duration) {
    let begun = Instant::now();
    let request = CreateCrawlJobRequest { urls: site.pages(1), ..CreateCrawlJobRequest::default() };
    let answer = clients.jobs.clone().create_crawl_job(request).await;
    (answer.map(|job| job.into_inner().name).map_err(|status| status.code()), begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_23_postgres_crashes_again_and_again() {
    let (mut mesh, site) = (Processes::builder().postgres().start().await, site(PAGES, PACE).await);
    survives(&mut mesh, &site, PAGES, async |mesh| {
        for _ in 0..4 {
            mesh.postgres
                .as_ref()
                .expect("because it was asked for")
                .restart_immediate()
                .expect("because it is ours");
            sleep(Duration::from_millis(700)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_24_postgres_away_for_half_a_minute() {
    let (mut mesh, site) = (Processes::builder().postgres().start().await, site(PAGES, PACE).await);
    survives(&mut mesh, &site, PAGES, async |mesh| {
        let postgres = mesh.postgres.as_ref().expect("because it was asked for");
        postgres.stop().expect("because it is ours");
        let down = Instant::now();
        while down.elapsed() < Duration::from_secs(30) {
            let (answer, time) = ask(mesh, &site).await;
            assert_eq!(answer, Err(Code::Unavailable));
            assert!(time < Duration::from_secs(10), "it was said after {time:?}");
        }
        postgres.start_again().expect("because it is ours");
    })
    .await;
}

/// In the middle of handshakes, statements, answers and commits.
#[tokio::test(flavor = "multi_thread")]
async fn row_23_connections_to_postgres_are_cut_anywhere() {
    let mut mesh = Processes::builder().postgres().proxied([Link::JobPostgres]).start().await;
    let site = site(PAGES, PACE).await;
    survives(&mut mesh, &site, PAGES, async |mesh| {
        let proxy = mesh.proxy(Link::JobPostgres);
        for round in 0..60 {
            let bytes = [1, 3, 7, 50, 200, 900, 3000, 9000, 20_000, 70_000][round % 10] + round as u64;
            proxy.harm(if round % 2 == 0 { Way::Down } else { Way::Up }, Toxic::CutAfter(bytes));
            let (answer, time) = ask(mesh, &site).await;
            assert!(
                matches!(answer, Ok(_) | Err(Code::Unavailable)),
                "{answer:?} after {bytes} bytes, {time:?}"
            );
            proxy.heal();
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_26_commits_that_take_seconds() {
    let mut mesh = Processes::builder().postgres().proxied([Link::JobPostgres]).start().await;
    let site = site(PAGES, PACE).await;
    survives(&mut mesh, &site, PAGES, async |mesh| {
        let proxy = mesh.proxy(Link::JobPostgres);
        proxy.harm_both(Toxic::Latency(Duration::from_millis(300), Duration::from_millis(400)));
        let slow = Instant::now();
        while slow.elapsed() < Duration::from_secs(20) {
            let (answer, time) = ask(mesh, &site).await;
            let typed = matches!(answer, Ok(_) | Err(Code::Unavailable | Code::DeadlineExceeded));
            assert!(typed && time < Duration::from_secs(35), "{answer:?} after {time:?}");
        }
        proxy.heal();
    })
    .await;
}

/// Each page is handed out once, and what one of the two held is taken over when it dies.
#[tokio::test(flavor = "multi_thread")]
async fn row_68_two_job_services_share_the_work() {
    let mut mesh = Processes::builder().postgres().second(Service::Job).start().await;
    let site = site(PAGES, PACE).await;
    let job = submit(&mesh, "crawl", whole_site(&site, 1000)).await;
    let job = follow(&mesh, &job.name, ended).await;
    assert_eq!(job.verdicts.get("ok"), Some(&(PAGES as i64)), "{job:?}");
    let visits = site.visits().iter().filter(|(path, _)| path.starts_with("/s/")).count();
    assert_eq!(visits, PAGES, "each page was handed out once");

    let second = submit(&mesh, "again", whole_site(&site, 1000)).await;
    follow(&mesh, &second.name, succeeded(50)).await;
    mesh.kill(Member(Service::Job, 2));
    let alone = follow(&mesh, &second.name, succeeded(100)).await;
    assert!(!ended(&alone), "there is work left for the one that lives");
    mesh.spawn(Member(Service::Job, 2));
    let begun = Instant::now();
    follow(&mesh, &second.name, ended).await;
    assert!(begun.elapsed() < RECOVERY, "it took {:?}", begun.elapsed());
    mesh.check(&[&job.name, &second.name]).await;
}
