//! One rate for each host, whoever asks: counted at the site.

use std::time::{Duration, Instant};

use api::job::v1::{Host, ListPagesRequest, Page, host::Reason, job::State};
use domain::Service;
use testkit::{Clients, Mesh, Site, site::Answer};

/// Pages of a host are 100 ms apart, wherever it is.
const SPACED: &str = "[politeness.local]\nmin_delay = \"100ms\"\nmax_concurrency = 4\n";
/// What the clocks of two tasks may differ by: a page is late by a little, the next is not.
const SLACK: Duration = Duration::from_millis(30);

async fn host(clients: &Clients, site: &Site) -> Host {
    let name = format!("hosts/127.0.0.1:{}", site.addr().port());
    let request = api::job::v1::GetHostRequest { name };
    clients.jobs.clone().get_host(request).await.expect("because the name is valid").into_inner()
}

async fn pages(clients: &Clients, job: &str) -> Vec<Page> {
    let request = ListPagesRequest { parent: job.to_owned(), ..Default::default() };
    clients.jobs.clone().list_pages(request).await.expect("because the job exists").into_inner().pages
}

fn closest(site: &Site) -> Duration {
    let times: Vec<Instant> = site.visits().into_iter().map(|(_, time)| time).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).min().expect("because there were some")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_share_one_rate() {
    let mesh = Mesh::builder().set(Service::Job, SPACED).start().await;
    let site = Site::start().await;
    let other = mesh.new_tenant("other").await;
    let (one, two) = (mesh.submit(site.pages(8)).await, other.submit(site.pages(8)).await);
    for (clients, job) in [(&*mesh, &one), (&other, &two)] {
        assert_eq!(clients.ended(&job.name).await.state(), State::Succeeded);
    }
    let visits = site.visits();
    assert_eq!(visits.len(), 16);
    let whole = visits[15].1 - visits[0].1;
    assert!(whole >= Duration::from_millis(1500) - SLACK, "{whole:?}");
    assert!(closest(&site) >= Duration::from_millis(100) - SLACK, "{visits:?}");
    // They took turns, and each page says how long that took.
    let waits = pages(&other, &two.name).await;
    let last = waits.iter().map(|page| page.host_wait.unwrap()).max_by_key(|wait| (wait.seconds, wait.nanos));
    assert!(Duration::try_from(last.unwrap()).unwrap() >= Duration::from_millis(1000), "{waits:?}");
    assert!(waits.iter().all(|page| page.host_wait_time.is_none()), "{waits:?}");
    let host = host(&mesh, &site).await;
    assert_eq!((host.reason(), host.local), (Reason::Default, true));
    assert!(host.explanation.contains("100ms"), "{host:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_holds_everybody() {
    let mesh = Mesh::start().await;
    let site = Site::start().await;
    let headers = vec![("retry-after", "2".to_owned())];
    site.set("/busy", Answer::Refuse(1, 429, headers));
    let busy = mesh.submit(vec![site.url("/busy")]).await;
    testkit::eventually(|| host(&mesh, &site), |host| host.throttles == 1).await;
    let other = mesh.new_tenant("other").await;
    let held = other.submit(site.pages(3)).await;
    let told = testkit::eventually(|| host(&other, &site), |host| host.waiting_pages == 3).await;
    assert!(told.hold_time.is_some() && told.next_time.is_some() && told.back_off.is_some(), "{told:?}");
    assert!(told.explanation.contains("asked to slow down"), "{told:?}");
    assert_eq!(other.ended(&held.name).await.state(), State::Succeeded);
    assert_eq!(mesh.ended(&busy.name).await.state(), State::Succeeded);
    let visits = site.visits();
    let refused = visits.iter().position(|(path, _)| path == "/busy").unwrap();
    assert_eq!(refused, 0);
    let pause = visits[1].1 - visits[0].1;
    assert!(pause >= Duration::from_secs(2) - SLACK, "{visits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_delay_is_kept() {
    let mesh = Mesh::start().await;
    let site = Site::start().await;
    let robots = b"User-agent: *\nCrawl-delay: 0.4\n".to_vec();
    site.set("/robots.txt", Answer::Bytes("text/plain", robots));
    // The first page tells.
    let first = mesh.submit(vec![site.url("/p/0")]).await;
    mesh.ended(&first.name).await;
    let known = host(&mesh, &site).await;
    assert_eq!((known.reason(), known.max_concurrency), (Reason::CrawlDelay, 1));
    let job = mesh.submit(site.pages(5)).await;
    assert_eq!(mesh.ended(&job.name).await.state(), State::Succeeded);
    assert!(closest(&site) >= Duration::from_millis(400) - SLACK, "{:?}", site.visits());
}
