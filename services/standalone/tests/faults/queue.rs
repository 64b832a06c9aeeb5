//! Long rows about the queue: slow, silent, half open, away for longer than it remembers; pages that kill; many who wait.

use std::{
    fs,
    time::{Duration, Instant},
};

use ::queue::{Bus, Work};
use api::job::v1::{
    job::State,
    page::{Kind, Verdict},
};
use bytes::Bytes;
use domain::{Lane, Priority, Service};
use testkit::{Link, Processes, Site, Toxic, Way, eventually, site::Answer};
use tokio::time::sleep;

use crate::crawl::{RECOVERY, ended, follow, request, site, submit, succeeded, survives, whole_site};

const PAGES: usize = 150;
const PACE: Duration = Duration::from_millis(100);
/// Longer than two pings without an answer take, 30 s.
const SILENCE: Duration = Duration::from_secs(45);

fn proxied() -> testkit::ProcessesBuilder {
    Processes::builder().proxied([Link::JobNats, Link::CrawlerNats])
}

#[tokio::test(flavor = "multi_thread")]
async fn row_05_a_page_that_kills_is_poison_and_the_others_are_not() {
    let (mut mesh, site) = (Processes::start().await, Site::start().await);
    site.set("/kills", Answer::Hang);
    let mut urls = vec![site.url("/kills")];
    urls.extend(site.pages(20));
    let job = submit(&mesh, "poison", request(urls, None)).await;
    follow(&mesh, &job.name, succeeded(20)).await;
    for death in 1..=3 {
        eventually(async || site.hits("/kills"), |hits| *hits == death).await;
        mesh.kill(Service::Crawler);
        mesh.spawn(Service::Crawler);
    }
    let job = follow(&mesh, &job.name, ended).await;
    assert_eq!((job.verdicts.get("ok"), job.verdicts.get("poison")), (Some(&20), Some(&1)), "{job:?}");
    assert_eq!(site.hits("/kills"), 3, "nobody touches it again");
    mesh.check(&[&job.name]).await;
}

/// Longer than the queue remembers ids, and than the dispatcher repeats under them.
#[tokio::test(flavor = "multi_thread")]
async fn row_11_nats_away_for_longer_than_it_remembers_ids() {
    let (mut mesh, site) = (Processes::start().await, site(PAGES, PACE).await);
    let job = submit(&mesh, "crawl", whole_site(&site, 1000)).await;
    follow(&mesh, &job.name, succeeded(20)).await;
    mesh.nats.kill().await.expect("because the process is ours");
    let down = Instant::now();
    let mut meanwhile = Vec::new();
    while down.elapsed() < Duration::from_secs(130) {
        let asked = Instant::now();
        meanwhile.push(mesh.submit(site.pages(2)).await.name);
        assert!(asked.elapsed() < Duration::from_secs(5), "a submit took {:?}", asked.elapsed());
        sleep(Duration::from_secs(5)).await;
    }
    mesh.nats.restart().await.expect("because it can be started again");
    let healed = Instant::now();
    meanwhile.push(job.name);
    for name in &meanwhile {
        follow(&mesh, name, ended).await;
    }
    assert!(healed.elapsed() < RECOVERY, "it took {:?} after the fault", healed.elapsed());
    let names: Vec<&str> = meanwhile.iter().map(String::as_str).collect();
    mesh.check(&names).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_a_slow_queue_takes_no_page_away() {
    let (mut mesh, site) = (proxied().start().await, site(PAGES, PACE).await);
    survives(&mut mesh, &site, PAGES, async |mesh| {
        let slow = Toxic::Latency(Duration::from_millis(250), Duration::from_millis(400));
        for link in [Link::JobNats, Link::CrawlerNats] {
            mesh.proxy(link).harm_both(slow);
        }
        sleep(Duration::from_secs(15)).await;
        for proxy in mesh.proxies().values() {
            proxy.heal();
        }
    })
    .await;
    let visits = site.visits().iter().filter(|(path, _)| path.starts_with("/s/")).count();
    assert_eq!(visits, PAGES, "nothing was taken away from a crawler and fetched again");
}

/// What a member says when it has found out.
fn noticed(mesh: &Processes, service: Service) -> bool {
    fs::read_to_string(mesh.log(service)).is_ok_and(|log| log.contains("disconnected from the queue"))
}

async fn falls_silent(ways: &'static [Way]) {
    let (mut mesh, site) = (proxied().start().await, site(PAGES, PACE).await);
    survives(&mut mesh, &site, PAGES, async |mesh| {
        for proxy in mesh.proxies().values() {
            for way in ways {
                proxy.harm(*way, Toxic::Silence);
            }
        }
        sleep(SILENCE).await;
        for service in [Service::Job, Service::Crawler] {
            assert!(noticed(mesh, service), "{service} did not notice in {SILENCE:?}");
        }
        for proxy in mesh.proxies().values() {
            proxy.heal();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_13_a_black_hole_before_the_queue_is_noticed() {
    falls_silent(&[Way::Up, Way::Down]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_a_half_open_connection_to_the_queue_is_noticed() {
    falls_silent(&[Way::Down]).await;
    falls_silent(&[Way::Up]).await;
}

/// Seconds that this process has spent on a processor.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("because Linux has it");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// More than the 512 requests that the queue lets wait at a consumer.
#[tokio::test(flavor = "multi_thread")]
async fn row_20_more_waiting_crawlers_than_the_queue_takes_stay_calm() {
    const WAITING: usize = 600;
    let (server, _folder) = testkit::nats().await;
    let config = ::queue::Config { url: server.url(), ..::queue::Config::default() };
    let bus = Bus::connect(&config, "many").await.expect("because the settings are valid");
    bus.ready().wait_for(Result::is_ok).await.expect("because the server is there");
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let mut puller = bus.pull(Lane::Http);
        waiting.push(mesh::spawn("puller", async move {
            loop {
                match puller.pull(1).await {
                    Ok(found) if found.is_empty() => {}
                    Ok(found) => {
                        found[0].ack().await.expect("because the server is there");
                        return;
                    }
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        }));
    }
    sleep(Duration::from_secs(3)).await;
    let (before, begun) = (processor_time(), Instant::now());
    sleep(Duration::from_secs(10)).await;
    let share = (processor_time() - before) / begun.elapsed().as_secs_f64();
    println!("{WAITING} waiting pullers take {:.1} % of a core", share * 100.0);
    assert!(share < 0.2, "{share}");
    let works = (0..WAITING).map(|number| Work {
        lane: Lane::Http,
        priority: Priority::Normal,
        id: format!("many-{number}"),
        payload: Bytes::from_static(b"x"),
        traceparent: None,
    });
    for result in bus.publish_work_batch(works.collect()).await {
        result.expect("because there is room");
    }
    for task in waiting {
        task.await.expect("because each gets one");
    }
}

/// A crawl that is cancelled while its last pages come in has one end, whichever it is.
#[tokio::test(flavor = "multi_thread")]
async fn row_65_cancel_against_complete() {
    let (mesh, site) = (Processes::start().await, Site::start().await);
    let mut names = Vec::new();
    for round in 0..40 {
        let job = mesh.submit(site.pages(3)).await;
        let cancel = api::job::v1::CancelJobRequest { name: job.name.clone() };
        sleep(Duration::from_millis(2 * round)).await;
        let _either = mesh.jobs.clone().cancel_job(cancel).await;
        names.push(job.name);
    }
    let mut cancelled = 0;
    for name in &names {
        let job = mesh.check_job(name).await;
        cancelled += usize::from(job.state() == State::Cancelled);
        let pages = mesh.pages(name).await;
        let open = pages.iter().filter(|page| page.verdict() == Verdict::Cancelled).count();
        assert!(job.state() == State::Cancelled || open == 0, "{job:?}");
        assert!(pages.iter().all(|page| page.kind() == Kind::Page));
    }
    println!("{cancelled} of {} jobs were cancelled in time", names.len());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    mesh.check(&names).await;
}
