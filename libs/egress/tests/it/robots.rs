//! robots.txt: what each answer of a site means, and how long it is remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use egress::{Access, Resolver, Robots, robots};
use futures::future::join_all;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::site::{Site, client, client_of, redirect, response, send, url};

pub(crate) const ALLOWED: Access = Access::Allowed { crawl_delay: None };
pub(crate) const DENIED: Access = Access::Denied { why: "robots.txt disallows it" };
const AGAIN: Access = Access::Unreachable { retryable: true, answered: true };
const SILENT: Access = Access::Unreachable { retryable: true, answered: false };
const NOTHING: &str = "User-agent: *\nDisallow: /\n";

/// The defaults with some keys replaced.
pub(crate) fn config(changes: &[(&str, &str)]) -> robots::Config {
    #[derive(serde::Deserialize)]
    struct File {
        robots: robots::Config,
    }
    let mut file: toml::Table = robots::DEFAULTS.parse().expect("because the defaults are TOML");
    let section = file["robots"].as_table_mut().expect("because it is a section");
    for (key, value) in changes {
        let value: toml::Table = format!("v = {value}").parse().expect("because the test says so");
        assert!(section.insert((*key).to_owned(), value["v"].clone()).is_some(), "{key} is a key");
    }
    let File { robots } = file.try_into().expect("because the keys are known");
    assert_eq!(robots.check(), Vec::<String>::new());
    robots
}

pub(crate) fn robots(changes: &[(&str, &str)]) -> Robots {
    Robots::new(client(&[]), &config(changes))
}

fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

/// A site whose first answer is `first`, and all later ones `then`.
async fn changing(first: impl Into<Vec<u8>>, then: impl Into<Vec<u8>>) -> Site {
    let (first, then, asked) = (first.into(), then.into(), Arc::new(AtomicUsize::new(0)));
    Site::start(move |_, stream| {
        let now = if asked.fetch_add(1, Ordering::SeqCst) == 0 { &first } else { &then };
        send(stream, now.clone())
    })
    .await
}

/// Asks until the answer is `expected`.
async fn becomes(robots: &Robots, site: &Site, expected: Access) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = robots.allowed(&site.url("/page")).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} is not {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_status_decides() {
    for (answer, expected) in [
        ("200 OK", ALLOWED),
        ("204 No Content", ALLOWED),
        ("300 Multiple Choices", ALLOWED),
        ("302 Found", ALLOWED),
        ("304 Not Modified", ALLOWED),
        ("400 Bad Request", ALLOWED),
        ("401 Unauthorized", ALLOWED),
        ("403 Forbidden", ALLOWED),
        ("404 Not Found", ALLOWED),
        ("410 Gone", ALLOWED),
        ("429 Too Many Requests", ALLOWED),
        ("500 Internal Server Error", AGAIN),
        ("503 Service Unavailable", AGAIN),
        ("599 What", AGAIN),
        ("999 Request Denied", AGAIN),
    ] {
        let site = Site::fixed(status(answer)).await;
        assert_eq!(robots(&[]).allowed(&site.url("/page")).await, expected, "{answer}");
        assert_eq!(site.accepted(), 1, "{answer}");
    }
    let body = response("", NOTHING);
    for (answer, expected) in [("200 OK", DENIED), ("404 Not Found", ALLOWED), ("500 Oh", AGAIN)] {
        let site = Site::fixed(String::from_utf8_lossy(&body).replace("200 OK", answer)).await;
        assert_eq!(robots(&[]).allowed(&site.url("/page")).await, expected, "{answer} with rules");
    }
}

#[tokio::test]
async fn one_file_is_asked_for_by_name() {
    let site = Site::start(|head, stream| {
        let asked = head.starts_with("GET /robots.txt HTTP/1.1\r\n")
            && head.contains("user-agent: crawlmesh/")
            && !head.to_ascii_lowercase().contains("referer");
        send(stream, if asked { response("", NOTHING) } else { response("", "") })
    })
    .await;
    assert_eq!(robots(&[]).allowed(&site.url("/a/b?c=d#e")).await, DENIED);
}

#[tokio::test]
async fn the_file_itself_is_always_allowed_and_not_asked_for() {
    let site = Site::fixed(response("", NOTHING)).await;
    let robots = robots(&[]);
    assert_eq!(robots.allowed(&site.url("/robots.txt")).await, ALLOWED);
    assert_eq!(robots.allowed(&site.url("/robots.txt#x")).await, ALLOWED);
    assert_eq!(site.accepted(), 0);
    assert_eq!(robots.allowed(&site.url("/robots.txt?x")).await, DENIED);
    assert_eq!(robots.allowed(&site.url("/a/robots.txt")).await, DENIED);
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_more() {
    let site = Site::start(|head, stream| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let left: usize = path.trim_start_matches("/hop").parse().unwrap_or(5);
        let bytes = if left == 0 { response("", NOTHING) } else { redirect(&format!("hop{}", left - 1)) };
        send(stream, bytes)
    })
    .await;
    // The client's own number of redirects says nothing here.
    let robots = Robots::new(client(&[("max_redirects", "0")]), &config(&[]));
    assert_eq!(robots.allowed(&site.url("/page")).await, DENIED);
    assert_eq!(site.accepted(), 6);

    let circle = Site::fixed(redirect("/robots.txt")).await;
    assert_eq!(robots.allowed(&circle.url("/page")).await, ALLOWED);
    assert_eq!(circle.accepted(), 6);
}

#[tokio::test]
async fn rules_of_another_host_count_for_the_one_that_was_asked() {
    let other = Site::start(|head, stream| {
        let file = head.starts_with("GET /shared ");
        send(stream, response("", if file { "User-agent: *\nDisallow: /private\n" } else { "" }))
    })
    .await;
    let site = Site::fixed(redirect(other.url("/shared").as_str())).await;
    let robots = robots(&[]);
    assert_eq!(robots.allowed(&site.url("/private")).await, DENIED);
    assert_eq!(robots.allowed(&site.url("/")).await, ALLOWED);
    assert_eq!((site.accepted(), other.accepted()), (1, 1));
    // The other host has rules of its own.
    assert_eq!(robots.allowed(&other.url("/private")).await, ALLOWED);
    assert_eq!(other.accepted(), 2);
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_is_no_file_and_one_to_a_failure_is_a_failure() {
    let canary = Site::canary().await;
    let broken = Site::fixed(status("502 Bad Gateway")).await;
    for (location, expected) in [
        (format!("http://[::1]:{}/robots.txt", canary.addr.port()), ALLOWED),
        ("http://169.254.169.254/robots.txt".to_owned(), ALLOWED),
        ("http://127.0.0.1:22/robots.txt".to_owned(), ALLOWED),
        ("file:///etc/passwd".to_owned(), ALLOWED),
        ("http://".to_owned(), ALLOWED),
        (broken.url("/robots.txt").to_string(), AGAIN),
        (
            "http://nowhere.example/robots.txt".to_owned(),
            Access::Unreachable { retryable: false, answered: false },
        ),
    ] {
        let site = Site::fixed(redirect(&location)).await;
        assert_eq!(robots(&[]).allowed(&site.url("/page")).await, expected, "{location}");
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn a_forbidden_host_is_left_to_the_fetch_of_the_page() {
    let canary = Site::canary().await;
    let port = canary.addr.port();
    let names = Resolver::fixed([("inside.example", ["10.0.0.1".parse().expect("because it is one")])]);
    let robots = Robots::new(client_of(names, &[]), &config(&[]));
    for host in ["[::1]", "10.0.0.1", "inside.example", "metadata.google.internal"] {
        assert_eq!(robots.allowed(&url(&format!("http://{host}:{port}/"))).await, ALLOWED, "{host}");
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn what_cannot_be_reached_forbids() {
    let robots = robots(&[]);
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("because loopback has free ports");
    let addr = closed.local_addr().expect("because it listens");
    drop(closed);
    assert_eq!(robots.allowed(&url(&format!("http://{addr}/"))).await, SILENT);
    let unknown = robots.allowed(&url("http://nowhere.example/")).await;
    assert_eq!(unknown, Access::Unreachable { retryable: false, answered: false });

    // Half of a file may lack the half that forbids.
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nUser-agent: *\nAllow: /\n";
    let site = Site::fixed(*half).await;
    assert_eq!(robots.allowed(&site.url("/")).await, AGAIN);
    let garbage = Site::fixed("220 mail.example ESMTP\r\n\r\n").await;
    assert_eq!(
        robots.allowed(&garbage.url("/")).await,
        Access::Unreachable { retryable: false, answered: false }
    );
}

#[tokio::test]
async fn a_silent_site_is_given_up() {
    let robots = robots(&[("timeout", "\"300ms\"")]);
    for start in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nUser-agent: *\n"] {
        let site = Site::start(move |_, mut stream| async move {
            use tokio::io::AsyncWriteExt;
            let _ = stream.write_all(start.as_bytes()).await;
            std::future::pending::<()>().await;
        })
        .await;
        let started = Instant::now();
        // Whether half an answer is one depends on which of two equal timers ends first; that it may pass does not.
        let access = robots.allowed(&site.url("/")).await;
        assert!(matches!(access, Access::Unreachable { retryable: true, .. }), "{access:?} for {start:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?} for {start:?}", started.elapsed());
    }
}

#[tokio::test]
async fn many_pages_of_a_site_ask_once() {
    let site = Site::fixed(response("", "User-agent: *\nDisallow: /odd\n")).await;
    let robots = robots(&[]);
    let asks = (0..50).map(|page| {
        let (robots, site) = (robots.clone(), &site);
        async move {
            let (path, expected) = if page % 2 == 0 { ("/even", ALLOWED) } else { ("/odd", DENIED) };
            assert_eq!(robots.allowed(&site.url(path)).await, expected, "{page}");
        }
    });
    join_all(asks).await;
    assert_eq!(robots.allowed(&site.url("/odd/later")).await, DENIED);
    assert_eq!(site.accepted(), 1);
}

#[tokio::test]
async fn another_page_takes_over_if_the_one_that_asks_is_given_up() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let site = Site::start(move |_, stream| {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            send(stream, response("", NOTHING)).await;
        }
    })
    .await;
    let robots = robots(&[]);
    let page = site.url("/page");
    let ask = || {
        let (robots, page) = (robots.clone(), page.clone());
        tokio::spawn(async move { robots.allowed(&page).await })
    };
    let first = ask();
    let deadline = Instant::now() + Duration::from_secs(20);
    while asked.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the first page asks");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = ask();
    tokio::task::yield_now().await;
    first.abort();
    let found = tokio::time::timeout(Duration::from_secs(10), second).await;
    assert_eq!(found.expect("because it takes over").expect("because it ends"), DENIED);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_old_answer_is_asked_for_anew() {
    let site = changing(response("", NOTHING), response("", "")).await;
    let short = robots(&[("keep", "\"300ms\""), ("keep_unreachable", "\"1ms\"")]);
    assert_eq!(short.allowed(&site.url("/page")).await, DENIED);
    becomes(&short, &site, ALLOWED).await;
    assert!(site.accepted() >= 2);
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_shorter_time() {
    let site = changing(status("500 Oh"), response("", NOTHING)).await;
    let short = robots(&[("keep_unreachable", "\"300ms\"")]);
    assert_eq!(short.allowed(&site.url("/page")).await, AGAIN);
    becomes(&short, &site, DENIED).await;
    assert_eq!(short.allowed(&site.url("/page")).await, DENIED);
    assert_eq!(site.accepted(), 2);

    let site = changing(status("500 Oh"), response("", "")).await;
    let long = robots(&[]);
    for _ in 0..3 {
        assert_eq!(long.allowed(&site.url("/page")).await, AGAIN);
    }
    assert_eq!(site.accepted(), 1);
}

#[tokio::test]
async fn each_port_and_each_name_has_its_own_file() {
    let (closed, open) = (Site::fixed(response("", NOTHING)).await, Site::fixed(status("404 No")).await);
    let address = ["127.0.0.1".parse().expect("because it is one")];
    let names = Resolver::fixed([("a.example", address), ("b.example", address)]);
    let robots = Robots::new(client_of(names, &[]), &config(&[]));
    assert_eq!(robots.allowed(&closed.url("/")).await, DENIED);
    assert_eq!(robots.allowed(&open.url("/")).await, ALLOWED);
    for (host, connections) in [("a.example", 2), ("A.Example", 2), ("b.example", 3)] {
        let page = url(&format!("http://{host}:{}/", closed.addr.port()));
        assert_eq!(robots.allowed(&page).await, DENIED, "{host}");
        assert_eq!(closed.accepted(), connections, "{host}");
    }
}
