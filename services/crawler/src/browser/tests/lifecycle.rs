//! Browsers that die, hang, age and are replaced: pages get an answer, and nothing is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn row_33_a_browser_that_dies_fails_its_pages_at_once_and_is_replaced() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    let pid = bed.pid().await;
    let (pool, order) = (bed.pool.clone(), bed.order(&site.url("/hang"), Duration::from_secs(60)));
    let before = site.hits();
    let page = mesh::spawn("page", async move { pool.fetch(&order).await });
    eventually("the page is being fetched", || site.hits() > before).await;

    let killed = Instant::now();
    signal(pid, Signal::SIGKILL);
    assert_eq!(verdict(page.await.unwrap()), (Kind::Infra, Verdict::Infra));
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    assert!(killed.elapsed() < Duration::from_secs(20), "replaced after {:?}", killed.elapsed());
    assert_ne!(bed.pid().await, pid);
    eventually("the old one is gone", || proc::group(pid).is_empty() && bed.profiles() == 1).await;
    bed.close().await;
}

/// A Chromium that counts its starts.
fn counting(dir: &Path) -> (PathBuf, PathBuf) {
    let (script, starts) = (dir.join("chromium"), dir.join("starts"));
    let real = crate::find_chromium().expect("because Chromium is there");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) ;; *) echo x >> {1};; esac\nexec {0} \"$@\"\n",
        real.display(),
        starts.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    (script, starts)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_next_page_goes_to_the_spare_browser_and_waits_for_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let (script, starts) = counting(dir.path());
    let starts = || fs::read_to_string(&starts).unwrap_or_default().lines().count();
    let overlay = format!("browser.spare = 1\nbrowser.executable = \"{}\"", script.display());
    let (bed, site) = (Bed::new(&overlay).await, Site::start("127.0.0.1").await);
    let first = bed.pid().await;
    assert_eq!(starts(), 1, "without a page there is no need of a spare one");
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    let spare = bed.spare().await;
    assert_eq!((starts(), bed.pid().await), (2, first));

    // Nothing more can be started now.
    fs::set_permissions(&script, fs::Permissions::from_mode(0o600)).unwrap();
    signal(first, Signal::SIGKILL);
    eventually("it is dead", || proc::group(first).is_empty()).await;
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    assert_eq!((bed.pid().await, starts()), (spare, 2));

    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let next = bed.spare().await;
    assert_ne!(next, spare, "and there is a new spare one");
    // One that dies unused is replaced, too.
    signal(next, Signal::SIGKILL);
    eventually("it is dead", || proc::group(next).is_empty()).await;
    let after = bed.spare().await;
    assert!(after != next && bed.pid().await == spare);
    bed.close().await;
    assert_eq!(proc::group(after), Vec::<u32>::new(), "the spare one ends with the others");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_36_a_browser_that_hangs_is_killed() {
    let (bed, site) = (Bed::new("browser.health_interval = \"500ms\"").await, Site::start("127.0.0.1").await);
    let pid = bed.pid().await;
    signal(pid, Signal::SIGSTOP);
    eventually("it is killed", || proc::group(pid).is_empty()).await;
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_replaced_after_its_pages_and_finishes_those_it_has() {
    let (bed, site) = (Bed::new("browser.max_pages_per_browser = 1").await, Site::start("127.0.0.1").await);
    let first = bed.pid().await;
    let (pool, order) = (bed.pool.clone(), bed.order(&site.url("/fetches"), Duration::from_secs(20)));
    let before = site.hits();
    let slow = mesh::spawn("page", async move { pool.fetch(&order).await });
    eventually("the slow page has begun", || site.hits() > before).await;
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    let second = bed.pid().await;
    assert_ne!(first, second);
    let slow = slow.await.unwrap().expect("because it was not cut off");
    assert!(String::from_utf8_lossy(&slow.body).contains("slow answer"));
    eventually("the first one is gone", || proc::group(first).is_empty()).await;
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_a_browser_is_seen() {
    let bed = Bed::new("browser.health_interval = \"200ms\"").await;
    let browser = bed.pool.browser().await.unwrap();
    assert!(proc::group_memory(browser.pid).as_u64() > 20 << 20, "the memory of its processes is seen");
    assert_eq!(browser.spent(), None);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_chromium_the_lane_says_so() {
    let config = crate::tests::config("browser.executable = \"/nowhere/chromium\"");
    let guard = Guard::new(AddressPolicy::default(), Resolver::fixed::<String, Vec<_>>([]));
    let start = |config: crate::Config| {
        let guard = guard.clone();
        let jars = Jars::new(&config.cookies);
        async move { Pool::start(&config.browser, &config.proxy, guard, "test/1", 10, jars).await.err() }
    };
    assert!(start(config).await.is_some_and(|why| why.starts_with("no Chromium found")));
    let off = crate::tests::config("browser.enabled = false");
    assert_eq!(start(off).await.as_deref(), Some("off by configuration"));
    if proc::root() {
        assert!(start(crate::tests::config("")).await.is_some_and(|why| why.contains("as root")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chromium_that_does_not_start_makes_the_lane_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let overlay = format!(
        "browser.sandbox = false\nbrowser.executable = \"/bin/false\"\nbrowser.work_dir = \"{}\"",
        dir.path().display()
    );
    let config = crate::tests::config(&overlay);
    let guard = Guard::new(AddressPolicy::default(), Resolver::fixed::<String, Vec<_>>([]));
    let jars = Jars::new(&config.cookies);
    let pool = Pool::start(&config.browser, &config.proxy, guard, "test/1", 10, jars).await.unwrap();
    let availability = pool.availability();
    eventually("it is tried", || {
        availability.state().is_err_and(|why| why.starts_with("Chromium ended at once"))
    })
    .await;
    pool.close().await;
    assert_eq!(profiles(dir.path()), 0);
}
