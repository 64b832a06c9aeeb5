//! Pages that need JavaScript: they go on to the browser, if there is one.

use api::crawler::v1::page_outcome::Kind;
use api::job::v1::crawl_config::Render;
use api::job::v1::{CrawlConfig, page};
use domain::Lane;

use crate::boot::Bed;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_needs_javascript_is_rendered() {
    let (mut bed, site) = (Bed::start("browser.sandbox = false").await, Site::start().await);
    let mut page = bed.page(&site.url("/app"), CrawlConfig { screenshot: true, ..CrawlConfig::default() });
    // The browser has to be up before the HTTP lane may count on it.
    bed.publish(Lane::Browser, &page).await;
    let outcome = bed.outcome(&page).await;
    assert_eq!((outcome.kind(), outcome.verdict()), (Kind::Final, page::Verdict::Ok), "{}", outcome.detail);
    assert_eq!(outcome.lane(), page::Lane::Browser);
    let stored = bed.stored(&page).unwrap();
    assert!(stored.header.document.unwrap().markdown.contains("# Rendered"));
    assert!(stored.artifacts["screenshot"].starts_with(b"\x89PNG"));
    assert!(String::from_utf8_lossy(&stored.artifacts["html"]).contains("<h1>Rendered</h1>"));

    page = bed.page(&site.url("/app"), CrawlConfig::default());
    let outcome = bed.work(&page).await;
    assert_eq!((outcome.kind(), outcome.stored), (Kind::Escalate, false));
    assert!(outcome.detail.starts_with("needs JavaScript: "), "{}", outcome.detail);

    page = bed.page(&site.url("/app"), CrawlConfig { render: Render::Http.into(), ..CrawlConfig::default() });
    assert_eq!(bed.work(&page).await.kind(), Kind::Final);
    bed.stop_crawler().await;
    assert_eq!(std::fs::read_dir(bed.browsers()).unwrap().count(), 0, "no profile outlives the crawler");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_browser_the_document_says_what_it_lacks() {
    let (bed, site) = (Bed::start("browser.executable = \"/nowhere\"").await, Site::start().await);
    let page = bed.page(&site.url("/app"), CrawlConfig::default());
    let outcome = bed.work(&page).await;
    assert_eq!((outcome.kind(), outcome.stored), (Kind::Final, true));
    let document = bed.stored(&page).unwrap().header.document.unwrap();
    let expected = "needs JavaScript, but there is no browser: no Chromium found";
    assert!(
        document.lane_reason.starts_with(expected) && outcome.detail.starts_with(expected),
        "{document:?}"
    );
}
