//! A browser that is replaced again and again leaves nothing behind.

use std::fs;
use std::time::Duration;

use api::crawler::v1::page_outcome::Kind;
use api::job::v1::CrawlConfig;
use domain::Lane;

use crate::boot::{Bed, eventually};
use crate::site::Site;

const RECYCLES: usize = 500;
/// Pages in the queue at a time.
const BATCH: usize = 20;

/// The state and the parent of each process.
fn processes() -> Vec<(String, u32)> {
    let stats = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
        })
        .collect()
}

fn zombies() -> usize {
    processes().into_iter().filter(|(state, parent)| state == "Z" && *parent == std::process::id()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_43_five_hundred_recycles_leave_no_zombie_and_no_profile() {
    let bed = Bed::start("browser.sandbox = false\nbrowser.max_pages_per_browser = 1").await;
    let site = Site::start().await;
    for _ in 0..RECYCLES / BATCH {
        let pages: Vec<_> =
            (0..BATCH).map(|_| bed.page(&site.url("/article"), CrawlConfig::default())).collect();
        for page in &pages {
            bed.publish(Lane::Browser, page).await;
        }
        for page in &pages {
            let outcome = bed.outcome(page).await;
            assert_eq!(outcome.kind(), Kind::Final, "{outcome:?}");
        }
    }
    assert_eq!(site.hits(), RECYCLES, "each page was asked for once");
    // One waits for the next page, and one is spare.
    eventually("the old ones are gone", || {
        fs::read_dir(bed.browsers()).unwrap().count() <= 2 && zombies() == 0
    })
    .await;
    let mut bed = bed;
    bed.stop_crawler().await;
    eventually("nothing is left", || fs::read_dir(bed.browsers()).unwrap().count() == 0 && zombies() == 0)
        .await;
    assert!(bed.all_outcomes(Duration::from_millis(10)).await.len() >= RECYCLES);
}
