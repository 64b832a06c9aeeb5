//! Rows of the fault matrix that are the browser lane's, by their numbers; 33, 35, 36, 38 and 39 are with their like in `lifecycle` and
//! `hostile`, and 43 is under `make faults`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use chromiumoxide::cdp::browser_protocol::target::GetTargetsParams;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;

use super::*;

fn renderers(browser: u32) -> Vec<u32> {
    let line = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    proc::group(browser).into_iter().filter(|pid| line(pid).contains("--type=renderer")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_34_a_renderer_that_dies_costs_its_page_an_attempt_and_no_more() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let browser = bed.pid().await;
    let (pool, order) = (bed.pool.clone(), bed.order(&site.url("/asset-hangs"), Duration::from_secs(60)));
    let before = site.hits();
    let page = mesh::spawn("page", async move { pool.fetch(&order).await });
    eventually("the page is shown", || site.hits() >= before + 2 && !renderers(browser).is_empty()).await;
    let killed = Instant::now();
    for pid in renderers(browser) {
        // A spare one may be gone by now.
        let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
    }
    assert_eq!(verdict(page.await.unwrap()), (Kind::Retry, Verdict::Connect));
    assert!(killed.elapsed() < Duration::from_secs(20), "told after {:?}", killed.elapsed());
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    assert_eq!(bed.pid().await, browser);
    bed.close().await;
}

/// Chromium is newer than the protocol that chromiumoxide knows, and each request brings an event that it cannot read.
#[tokio::test(flavor = "multi_thread")]
async fn row_37_events_that_are_not_understood_do_no_harm() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let browser = bed.pid().await;
    for _ in 0..3 {
        assert!(bed.body(&site.url("/many")).await.contains("all 150"));
    }
    assert_eq!(bed.pid().await, browser);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_38_a_page_that_does_not_want_to_be_left_is_left() {
    let (bed, site) = (Bed::new("browser.settle_cap = \"2s\"").await, Site::start("127.0.0.1").await);
    let order = bed.order(&site.url("/beforeunload"), Duration::from_secs(5));
    let started = Instant::now();
    // It goes on and on, or is counted out: either way it ends in time.
    let _ = bed.pool.fetch(&order).await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_40_popups_frames_downloads_and_print_are_capped() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    assert!(bed.body(&site.url("/storm")).await.contains("storm"));
    let browser = bed.pool.browser().await.unwrap();
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let targets = browser.cdp.execute(GetTargetsParams::default()).await.unwrap().result.target_infos;
        let pages = targets.iter().filter(|target| target.r#type == "page").count();
        // The browser's own first tab, and at most one of ours.
        if pages <= 2 {
            break;
        }
        assert!(Instant::now() < patience, "{pages} tabs are open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left = fs::read_dir(bed.work_dir.path()).unwrap().flatten().count();
    assert_eq!(left, 1, "nothing but the profile was written");
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_41_a_browser_that_has_grown_is_replaced_and_no_page_is_lost() {
    let overlay = "browser.max_browser_memory = \"256MiB\"\nbrowser.health_interval = \"200ms\"";
    let (bed, site) = (Bed::new(overlay).await, Site::start("127.0.0.1").await);
    let browser = bed.pool.browser().await.unwrap();
    let hold = Options { delay: Duration::from_secs(2), ..Options::default() };
    let fetched = bed.ask(&site.url("/leak"), hold).await.expect("because a page may be large");
    assert!(String::from_utf8_lossy(&fetched.body).contains("leak"));
    assert_eq!(browser.spent(), Some("memory"));
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    assert_ne!(bed.pid().await, browser.pid);
    eventually("the large one is gone", || proc::group(browser.pid).is_empty() && bed.profiles() == 1).await;
    bed.close().await;
}

/// A Chromium that may not write a byte, as on a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn row_42_a_full_disk_makes_the_lane_unavailable_without_a_storm_of_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (script, starts) = (dir.path().join("chromium"), dir.path().join("starts"));
    let real = crate::find_chromium().expect("because Chromium is there");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec {0} --version;; esac\necho x >> {1}\nulimit -f 0\nexec {0} \"$@\"\n",
        real.display(),
        starts.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let bed =
        Bed::new(&format!("browser.executable = \"{}\"\nbrowser.launch_timeout = \"3s\"", script.display()))
            .await;
    let availability = bed.pool.availability();
    eventually("the lane says so", || availability.state().is_err()).await;
    for _ in 0..50 {
        let order = bed.order("http://127.0.0.1:8080/", Duration::from_secs(5));
        assert_eq!(verdict(bed.pool.fetch(&order).await).0, Kind::Infra);
    }
    let count = fs::read_to_string(&starts).unwrap().lines().count();
    assert!(count <= 3, "started {count} times");
    bed.pool.close().await;
    assert_eq!(bed.profiles(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_47_a_name_that_turns_private_is_not_followed() {
    let site = Site::start("127.0.0.1").await;
    let port = site.url("").rsplit(':').next().unwrap().to_owned();
    let canary = TcpListener::bind(format!("127.0.0.2:{port}")).await.unwrap();
    let at = |ip: &str| ("rebind.example", vec![ip.parse().unwrap()]);
    for scheme in ["http", "https"] {
        let resolver = Resolver::fixed([at("127.0.0.1"), at("127.0.0.2")]);
        let bed = Bed::resolving(resolver, "127.0.0.1/32", "").await;
        let url = format!("{scheme}://rebind.example:{port}/plain");
        assert_eq!(verdict(bed.fetch(&url).await), (Kind::Final, Verdict::NotAllowed), "{scheme}");
        bed.close().await;
    }
    let heard = tokio::time::timeout(Duration::from_millis(300), canary.accept()).await;
    assert!(heard.is_err(), "the canary was reached");
}
