//! Long rows about Postgres, and two job services that share one.

use std::time::{Duration, Instant};

use api::job::v1::CreateCrawlJobRequest;
use domain::Service;
use serde_json::json;
use testkit::{Clients, Link, Member, Processes, Site, Toxic, Way, eventually, rest_send};
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

/// There is none to elect: each job service dispatches, settles and keeps the schedules, and what a dead one had locked is free
/// as soon as its connection is.
#[tokio::test(flavor = "multi_thread")]
async fn row_68_a_lost_leader_is_replaced_within_ten_seconds() {
    const DEPTH: u32 = 8;
    let settings =
        format!("[dispatch]\nqueue_depth = {DEPTH}\n[schedules]\nmin_interval = \"1s\"\npoll = \"1s\"\n");
    let two = Processes::builder().postgres().second(Service::Job).proxied([Link::Job]);
    let mut mesh = two.set(Service::Job, &settings).start().await;
    let site = site(PAGES * 3, PACE * 2).await;
    let schedule = json!({"interval": "1s", "job": {"urls": [site.url("/p/1")]}});
    let schedule = mesh.rest.post("/v1/schedules", &schedule).await;
    let schedule = schedule.json["name"].as_str().unwrap_or_else(|| panic!("{}", schedule.text)).to_owned();
    let job = submit(&mesh, "crawl", whole_site(&site, 1000)).await;
    follow(&mesh, &job.name, succeeded(40)).await;
    eventually(async || site.hits("/p/1"), |hits| *hits > 0).await;

    mesh.kill(Member(Service::Job, 1));
    let (lost, before) = (Instant::now(), (site.all_hits(), site.hits("/p/1")));
    // As the load balancer in front of the two would.
    mesh.proxy(Link::Job).lead_to(mesh.address(Member(Service::Job, 2)));
    // One job of the schedule may have been there already, and so many pages were handed out: more are found in pages that were
    // settled since.
    let scheduled = eventually(async || site.hits("/p/1"), |hits| *hits > before.1 + 1);
    let crawled = eventually(async || site.all_hits(), |hits| *hits > before.0 + 4 * DEPTH);
    let (scheduled, crawled) = tokio::join!(timed(lost, scheduled), timed(lost, crawled));
    let name = job.name.clone();
    timed(lost, follow(&mesh, &name, |_| true)).await;
    println!("scheduled after {scheduled:?}, crawled after {crawled:?}");
    assert!(lost.elapsed() < Duration::from_secs(10), "{:?}", lost.elapsed());

    let path = format!("/v1/{schedule}");
    let deleted = rest_send(mesh.rest.request(reqwest::Method::DELETE, &path)).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    let job = follow(&mesh, &job.name, ended).await;
    assert_eq!(job.verdicts.get("ok"), Some(&(PAGES as i64 * 3)), "{job:?}");
    mesh.spawn(Member(Service::Job, 1));
    mesh.check(&[&job.name]).await;
}

/// How long after `since` it comes true.
async fn timed<T>(since: Instant, what: impl Future<Output = T>) -> Duration {
    what.await;
    since.elapsed()
}
