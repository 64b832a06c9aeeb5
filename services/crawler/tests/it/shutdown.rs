//! Crawlers that stop, and crawlers that are killed.

use std::time::Duration;

use api::crawler::v1::page_outcome::Kind;
use api::job::v1::{CrawlConfig, page};
use domain::Lane;

use crate::boot::{Bed, eventually, seconds};
use crate::site::Site;

const NO_BROWSER: &str = "browser.enabled = false";

fn slow() -> CrawlConfig {
    CrawlConfig { page_timeout: seconds(60), ..CrawlConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_06_a_crawler_that_stops_hands_its_pages_back() {
    let (mut bed, site) = (Bed::start(NO_BROWSER).await, Site::start().await);
    let page = bed.page(&site.url("/hang"), slow());
    bed.publish(Lane::Http, &page).await;
    eventually("the page is being fetched", || site.hits() == 1).await;
    let took = bed.stop_crawler().await;
    assert!(took < Duration::from_secs(15), "it took {took:?}");
    let outcome = bed.outcome(&page).await;
    assert_eq!((outcome.kind(), outcome.crashes), (Kind::Release, 0));
    // The message was acked: another crawler does not get it again.
    bed.start_crawler().await;
    let outcomes = bed.all_outcomes(Duration::from_secs(4)).await;
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    assert_eq!(site.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawler_without_work_stops_at_once() {
    let mut bed = Bed::start(NO_BROWSER).await;
    let took = bed.stop_crawler().await;
    assert!(took < Duration::from_secs(15), "it took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_01_a_page_of_a_crawler_that_was_killed_comes_to_another_one_as_a_crash() {
    let (mut bed, site) = (Bed::start(NO_BROWSER).await, Site::start().await);
    let mut page = bed.page(&site.url("/article"), slow());
    page.task.crashes = 1;
    // A crawler that pulls and never answers is one that was killed.
    bed.stop_crawler().await;
    bed.publish(Lane::Http, &page).await;
    let pulled = bed.bus.pull(Lane::Http).pull(1).await.unwrap();
    assert_eq!(pulled.len(), 1);
    drop(pulled);
    bed.start_crawler().await;
    let outcome = bed.outcome(&page).await;
    assert_eq!((outcome.kind(), outcome.verdict(), outcome.crashes), (Kind::Final, page::Verdict::Ok, 2));
}
