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

/// A page with a cookie, a sitemap of sitemaps, and its parts: six files that a map reads.
fn site_to_map(site: &Site, parts: usize) {
    let cookie = vec![("set-cookie", "seen=yes".to_owned())];
    site.set("/", Answer::Refuse(u32::MAX, 200, cookie));
    let part = |number: usize| format!("/sitemap-{number}.xml");
    let list = |entries: String, kind: &str| {
        Answer::Bytes("application/xml", format!("<{kind}>{entries}</{kind}>").into_bytes())
    };
    let parts: Vec<String> = (0..parts).map(part).collect();
    let index = parts.iter().map(|path| format!("<sitemap><loc>{}</loc></sitemap>", site.url(path)));
    site.set("/sitemap.xml", list(index.collect(), "sitemapindex"));
    for path in parts {
        site.set(&path, list(format!("<url><loc>{}</loc></url>", site.url(&format!("/a{path}"))), "urlset"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_takes_its_turns_among_the_pages_and_has_its_own_cookies() {
    let mesh = Mesh::builder().set(Service::Job, SPACED).start().await;
    let site = Site::start().await;
    site_to_map(&site, 3);
    let job = mesh.submit(site.pages(10)).await;
    let request = serde_json::json!({"url": site.url("/")});
    let map = mesh.rest.post("/v1/map", &request).await;
    assert_eq!((map.status, map.json["urls"].as_array().map(Vec::len)), (200, Some(3)), "{}", map.text);
    assert_eq!(mesh.ended(&job.name).await.state(), State::Succeeded);
    assert_eq!(site.visits().len(), 10 + 5, "robots.txt is no visit");
    assert!(closest(&site) >= Duration::from_millis(100) - SLACK, "{:?}", site.visits());
    assert_eq!(site.header("/sitemap-2.xml", "cookie").as_deref(), Some("seen=yes"), "one jar for the map");
    assert_eq!(site.header("/p/9", "cookie"), None, "and none for anybody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_slows_a_host_down_for_everybody_and_says_what_it_left_out() {
    let (mesh, site) = (Mesh::start().await, Site::start().await);
    site_to_map(&site, 1);
    site.set("/sitemap.xml", Answer::Refuse(u32::MAX, 429, vec![("retry-after", "600".to_owned())]));
    let map = mesh.rest.post("/v1/map", &serde_json::json!({"url": site.url("/")})).await;
    let sources = |map: &testkit::rest::Answer| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let sources = map.json["sources"].as_array().cloned().unwrap_or_default();
        sources.iter().map(|source| (text(&source["verdict"]), text(&source["detail"]))).collect()
    };
    assert_eq!(sources(&map).last(), Some(&("BLOCKED".to_owned(), "HTTP 429".to_owned())), "{}", map.text);
    let told = host(&mesh, &site).await;
    assert!(told.throttles == 1 && told.hold_time.is_some(), "{told:?}");
    // Nobody waits ten minutes for the next one.
    let visits = site.visits().len();
    let map = mesh.rest.post("/v1/map", &serde_json::json!({"url": site.url("/")})).await;
    assert!(sources(&map).iter().all(|source| *source == ("TIMEOUT".into(), "host".into())), "{}", map.text);
    assert_eq!(site.visits().len(), visits);
}
