//! Neighbours that are away, jobs that end, messages that are garbage, crawlers that died.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::crawler::v1::page_outcome::Kind;
use api::job::v1::{CrawlConfig, page};
use bytes::Bytes;
use domain::{Lane, Priority};
use queue::Work;

use crate::boot::{Bed, eventually, seconds};
use crate::site::Site;

const SHORT: &str = "browser.enabled = false\npage.spec_timeout = \"1s\"\npage.store_timeout = \"1s\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_is_away_is_no_fault_of_the_page() {
    let (bed, site) = (Bed::start(SHORT).await, Site::start().await);
    bed.ledger.away.store(true, Ordering::SeqCst);
    let unknown = bed.page(&site.url("/article"), CrawlConfig::default());
    let outcome = bed.work(&unknown).await;
    assert_eq!((outcome.kind(), outcome.detail.as_str()), (Kind::Infra, "the job service is away"));
    assert_eq!(site.hits(), 0);

    bed.ledger.away.store(false, Ordering::SeqCst);
    let known = bed.page(&site.url("/article"), CrawlConfig::default());
    assert_eq!(bed.work(&known).await.kind(), Kind::Final);
    bed.ledger.away.store(true, Ordering::SeqCst);
    let mut again = known.clone();
    again.task.page = domain::id::page_name(known.job, domain::PageId::new());
    let outcome = bed.work(&again).await;
    assert_eq!((outcome.kind(), outcome.stored), (Kind::Infra, false));
    assert_eq!(outcome.detail, "the result service is away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_comes_back_in_time_is_waited_for() {
    let (bed, site) = (Bed::start("browser.enabled = false").await, Site::start().await);
    bed.ledger.away.store(true, Ordering::SeqCst);
    let page = bed.page(&site.url("/article"), CrawlConfig::default());
    bed.publish(Lane::Http, &page).await;
    assert!(bed.all_outcomes(Duration::from_millis(500)).await.is_empty());
    bed.ledger.away.store(false, Ordering::SeqCst);
    assert_eq!(bed.outcome(&page).await.verdict(), page::Verdict::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_unknown_and_cancelled_jobs_are_dropped() {
    let (bed, site) = (Bed::start(SHORT).await, Site::start().await);
    let ended = bed.page(&site.url("/article"), CrawlConfig::default());
    bed.ledger.specs.lock().get_mut(&ended.job.name()).unwrap().ended = true;
    let unknown = bed.page(&site.url("/article"), CrawlConfig::default());
    bed.ledger.specs.lock().remove(&unknown.job.name());
    let running =
        bed.page(&site.url("/hang"), CrawlConfig { page_timeout: seconds(60), ..CrawlConfig::default() });
    for page in [&ended, &unknown, &running] {
        bed.publish(Lane::Http, page).await;
    }
    eventually("the page is being fetched", || site.hits() == 1).await;
    bed.bus.notify("cancel", Bytes::from(running.job.to_string())).await;
    let mut later = running.clone();
    later.task.page = domain::id::page_name(running.job, domain::PageId::new());
    later.task.url = site.url("/article");
    let proof = bed.page(&site.url("/gone"), CrawlConfig::default());
    assert_eq!(bed.work(&proof).await.http_status, Some(410));
    assert_eq!(bed.work(&proof_after(&bed, &later, &site).await).await.http_status, Some(410));
    let outcomes = bed.all_outcomes(Duration::from_secs(4)).await;
    assert_eq!(
        outcomes.len(),
        2,
        "only the proofs have outcomes, and nothing is delivered again: {outcomes:?}"
    );
    assert_eq!(site.hits(), 3);
}

/// Publishes `page`, and returns another one whose outcome shows that the first was looked at.
async fn proof_after(bed: &Bed, page: &crate::boot::Page, site: &Site) -> crate::boot::Page {
    bed.publish(Lane::Http, page).await;
    bed.page(&site.url("/gone"), CrawlConfig::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_05_poison_is_not_touched_and_garbage_is_thrown_away() {
    let (bed, site) = (Bed::start(SHORT).await, Site::start().await);
    let mut page = bed.page(&site.url("/article"), CrawlConfig::default());
    page.task.crashes = 3;
    let outcome = bed.work(&page).await;
    assert_eq!((outcome.kind(), outcome.verdict()), (Kind::Final, page::Verdict::Poison));
    assert_eq!((outcome.crashes, site.hits()), (3, 0));

    for (id, payload) in [("a", Bytes::from_static(b"\xff\xff")), ("b", Bytes::new())] {
        let (lane, priority, id) = (Lane::Http, Priority::High, id.to_owned());
        bed.bus.publish_work(Work { lane, priority, id, payload, traceparent: None }).await.unwrap();
    }
    let next = bed.page(&site.url("/article"), CrawlConfig::default());
    assert_eq!(bed.work(&next).await.verdict(), page::Verdict::Ok);
    assert_eq!(bed.all_outcomes(Duration::from_secs(4)).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_a_queue_that_restarts_costs_nothing() {
    let (mut bed, site) = (Bed::start("browser.enabled = false").await, Site::start().await);
    let hang =
        bed.page(&site.url("/hang"), CrawlConfig { page_timeout: seconds(2), ..CrawlConfig::default() });
    bed.publish(Lane::Http, &hang).await;
    eventually("the page is being fetched", || site.hits() == 1).await;
    bed.nats.kill().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    bed.nats.restart().await.unwrap();
    let outcome = bed.outcome(&hang).await;
    assert_eq!((outcome.kind(), outcome.verdict()), (Kind::Retry, page::Verdict::Timeout));
    let next = bed.page(&site.url("/article"), CrawlConfig::default());
    bed.bus.ready().wait_for(Result::is_ok).await.unwrap();
    assert_eq!(bed.work(&next).await.verdict(), page::Verdict::Ok);
}
