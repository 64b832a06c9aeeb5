//! Rows of the fault matrix on a mesh of processes, by their numbers: during a job something dies, hangs or forgets; the job
//! finishes, its counts add up, no page is missing or stored twice. The long ones are under `make faults`.

use std::time::Duration;

use api::job::v1::{Job, job::State};
use domain::Service;
use nix::sys::signal::Signal;
use testkit::{Link, Member, Processes, Site, Toxic, Way, eventually, site::Answer};

const PAGES: usize = 200;
/// What a page of the site takes.
const PACE: Duration = Duration::from_millis(100);

/// What the queue lost is noticed soon.
const SOON: &str = "[reconcile]\ninterval = \"1s\"\nlost_after = \"2s\"\n";

/// Whether so many pages have succeeded.
fn succeeded(count: i64) -> impl Fn(&Job) -> bool {
    move |job| job.counts.is_some_and(|counts| counts.succeeded >= count)
}

/// Starts a job whose pages take a while, waits until some are done, does `harm`, and checks the end.
async fn survives(mesh: &mut Processes, site: &Site, harm: impl AsyncFnOnce(&mut Processes, &str)) {
    for number in 0..PAGES {
        let html = testkit::site::page(u32::try_from(number).expect("because it is small"));
        site.set(&format!("/p/{number}"), Answer::Slow(PACE, html));
    }
    let job = mesh.submit(site.pages(PAGES)).await;
    mesh.until(&job.name, succeeded(20)).await;
    harm(mesh, &job.name).await;
    let job = mesh.ended(&job.name).await;
    assert_eq!(job.state(), State::Succeeded);
    let counts = job.counts.expect("because a job has counts");
    assert_eq!((counts.found, counts.succeeded), (PAGES as i64, PAGES as i64), "{job:?}");
    assert_eq!(mesh.documents(&job.name).await.len(), PAGES, "each page is stored once");
    mesh.check(&[&job.name]).await;
}

/// Waits until what a crawler had is stored, and the ledger did not hear of it.
async fn unheard(mesh: &Processes, site: &Site, job: &str) {
    let look = async || {
        let told = mesh.job(job).await.counts.map_or(0, |counts| counts.succeeded);
        (mesh.documents(job).await.len() as i64, told, site.visits().len() as i64)
    };
    eventually(look, |(stored, told, visits)| stored > told && stored == visits).await;
}

/// Row 32 with it: the database was being written, and the checker looks at the file.
#[tokio::test(flavor = "multi_thread")]
async fn row_01_32_kill_9_of_each_process_in_turn() {
    let (mut mesh, site) = (Processes::start().await, Site::start().await);
    for service in
        [Service::Crawler, Service::Job, Service::Result, Service::Webhook, Service::Auth, Service::Gateway]
    {
        println!("kill -9 {service}");
        survives(&mut mesh, &site, async |mesh, _| {
            mesh.kill(service);
            mesh.spawn(service);
            mesh.wait_ready().await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_04_a_crawler_that_slept_longer_than_its_lease_changes_nothing() {
    let mut mesh = Processes::builder().second(Service::Crawler).start().await;
    let site = Site::start().await;
    survives(&mut mesh, &site, async |mesh, job| {
        mesh.signal(Service::Crawler, Signal::SIGSTOP);
        // The other one finishes everything, what the sleeper held included; then the sleeper tells its outcomes, too.
        mesh.until(job, succeeded(PAGES as i64)).await;
        mesh.signal(Service::Crawler, Signal::SIGCONT);
    })
    .await;
    let again = site.pages(3);
    let job = mesh.submit(again).await;
    mesh.check(&[&job.name]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_06_sigterm_hands_pages_back() {
    let (mut mesh, site) = (Processes::start().await, Site::start().await);
    survives(&mut mesh, &site, async |mesh, _| {
        mesh.signal(Service::Crawler, Signal::SIGTERM);
        mesh.wait_exit(Service::Crawler).await;
        mesh.spawn(Service::Crawler);
    })
    .await;
    assert_eq!(site.visits().len(), PAGES, "nothing was fetched twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_07_a_second_sigterm_is_a_kill() {
    let (mut mesh, site) = (Processes::start().await, Site::start().await);
    site.set("/hang", Answer::Hang);
    let hanging = mesh.submit(vec![site.url("/hang")]).await;
    eventually(async || site.hits("/hang"), |hits| *hits == 1).await;
    survives(&mut mesh, &site, async |mesh, _| {
        mesh.signal(Service::Crawler, Signal::SIGTERM);
        // The page that hangs would be waited for.
        let _begun = eventually(
            async || std::fs::read_to_string(mesh.log(Service::Crawler)),
            |log| log.as_ref().is_ok_and(|log| log.contains("shutdown begins")),
        )
        .await;
        mesh.signal(Service::Crawler, Signal::SIGTERM);
        assert!(!mesh.wait_gone(Service::Crawler).await.success());
        mesh.spawn(Service::Crawler);
    })
    .await;
    mesh.jobs
        .clone()
        .cancel_job(api::job::v1::CancelJobRequest { name: hanging.name.clone() })
        .await
        .expect("because it runs");
    mesh.check(&[&hanging.name]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_nats_killed_in_the_middle() {
    let (mut mesh, site) = (Processes::start().await, Site::start().await);
    survives(&mut mesh, &site, async |mesh, _| {
        mesh.nats.kill().await.expect("because the process is ours");
        let accepted = mesh.submit(site.pages(1)).await;
        assert_eq!(accepted.counts.map(|counts| counts.found), Some(1), "submits succeed without NATS");
        mesh.nats.restart().await.expect("because it can be started again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_09_nats_wiped_in_the_middle() {
    let mut mesh = Processes::builder().set(Service::Job, SOON).start().await;
    let site = Site::start().await;
    survives(&mut mesh, &site, async |mesh, _| mesh.wipe_nats().await).await;
}

/// The crawler acks what the store before held, when the new one is full of other pages under the same numbers.
#[tokio::test(flavor = "multi_thread")]
async fn row_09_a_crawler_that_comes_back_late_takes_no_page_away() {
    let mut mesh = Processes::builder().set(Service::Job, SOON).proxied([Link::CrawlerNats]).start().await;
    let site = Site::start().await;
    survives(&mut mesh, &site, async |mesh, job| {
        mesh.proxy(Link::CrawlerNats).harm_both(Toxic::Silence);
        unheard(mesh, &site, job).await;
        mesh.wipe_nats().await;
        let _resent = eventually(
            async || std::fs::read_to_string(mesh.log(Service::Job)),
            |log| log.as_ref().is_ok_and(|log| log.contains("were sent again")),
        )
        .await;
        mesh.proxy(Link::CrawlerNats).cut();
        mesh.proxy(Link::CrawlerNats).heal();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_10_nats_rolled_back_in_the_middle() {
    let mut mesh = Processes::builder().set(Service::Job, SOON).start().await;
    let site = Site::start().await;
    survives(&mut mesh, &site, async |mesh, job| {
        mesh.keep_nats().await;
        mesh.until(job, succeeded(100)).await;
        mesh.roll_nats_back().await;
    })
    .await;
}

/// Outcomes and acks are lost on the way: what was told is told again, and what was done is not done twice in the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn row_16_acks_and_outcomes_are_lost() {
    let mut mesh = Processes::builder().proxied([Link::CrawlerNats]).start().await;
    let site = Site::start().await;
    survives(&mut mesh, &site, async |mesh, job| {
        let proxy = mesh.proxy(Link::CrawlerNats);
        proxy.harm(Way::Up, Toxic::Silence);
        unheard(mesh, &site, job).await;
        proxy.cut();
        proxy.heal();
    })
    .await;
}

/// Row 5 of section 5 in miniature: the way to the result service is harmed in every way while pages are stored.
#[tokio::test(flavor = "multi_thread")]
async fn row_03_a_store_that_breaks_off_is_done_again() {
    let hasty = "[page]\nstore_timeout = \"1s\"\n";
    let mut mesh =
        Processes::builder().set(Service::Crawler, hasty).proxied([Link::CrawlerResult]).start().await;
    let site = Site::start().await;
    survives(&mut mesh, &site, async |mesh, job| {
        let proxy = mesh.proxy(Link::CrawlerResult);
        for (toxic, least) in [
            (Toxic::CutAfter(20_000), 40),
            (Toxic::Latency(Duration::from_millis(100), Duration::from_millis(100)), 60),
            (Toxic::Bandwidth(100_000), 80),
        ] {
            proxy.harm_both(toxic);
            mesh.until(job, succeeded(least)).await;
        }
        // What was stored without an answer is our fault, and stored once more.
        proxy.harm(Way::Down, Toxic::Silence);
        let spoilt = async || mesh.pages(job).await.iter().any(|page| page.infra_faults > 0);
        eventually(spoilt, |spoilt| *spoilt).await;
        proxy.cut();
        proxy.heal();
    })
    .await;
}

/// The member that is killed with everything else starts again with a queue that has forgotten the last pages.
#[tokio::test(flavor = "multi_thread")]
async fn row_74_a_power_cut_and_a_queue_that_forgot() {
    let mut mesh = Processes::builder().set(Service::Job, SOON).second(Service::Crawler).start().await;
    let site = Site::start().await;
    survives(&mut mesh, &site, async |mesh, job| {
        mesh.keep_nats().await;
        mesh.until(job, succeeded(60)).await;
        let members = mesh.kill_everything().await;
        assert!(members.contains(&Member(Service::Crawler, 2)));
        mesh.roll_nats_back().await;
        for member in members {
            mesh.spawn(member);
        }
        mesh.wait_ready().await;
    })
    .await;
}
