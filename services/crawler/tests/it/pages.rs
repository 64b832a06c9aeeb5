//! Pages of the HTTP lane, from the queue to the outcome.

use api::crawler::v1::page_outcome::Kind;
use api::job::v1::{CrawlConfig, page};

use crate::boot::{Bed, seconds};
use crate::site::Site;

const NO_BROWSER: &str = "browser.enabled = false";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_becomes_a_document() {
    let (bed, site) = (Bed::start(NO_BROWSER).await, Site::start().await);
    let page = bed.page(&site.url("/moved"), CrawlConfig::default());
    let outcome = bed.work(&page).await;
    assert_eq!(
        (outcome.kind(), outcome.verdict(), outcome.http_status),
        (Kind::Final, page::Verdict::Ok, Some(200))
    );
    assert!(outcome.stored && outcome.wire_bytes > 0 && outcome.crashes == 0);
    assert_eq!((outcome.dispatch_sequence, outcome.lane()), (1, page::Lane::Http));
    assert!(outcome.start_time.is_some() && outcome.end_time.is_some());

    let stored = bed.stored(&page).expect("because it was stored");
    assert_eq!((stored.header.tenant, stored.header.dispatch_sequence), (page.task.tenant.clone(), 1));
    assert!(stored.header.expire_time.is_some());
    let document = stored.header.document.unwrap();
    assert_eq!((document.url.as_str(), &document.final_url), (page.task.url.as_str(), &site.url("/article")));
    assert_eq!((document.redirects, document.title.as_str()), (vec![site.url("/moved")], "Tea"));
    assert!(document.markdown.contains("# On tea") && document.text.contains("a great many people"));
    assert_eq!(document.links[0].url, site.url("/next"));
    assert_eq!((document.lane_reason.as_str(), document.http_status), ("http first", Some(200)));
    assert!(!document.response_headers.contains_key("set-cookie"));
    let html = &stored.artifacts["html"];
    assert_eq!(
        (document.artifacts[0].kind.as_str(), document.artifacts[0].size),
        ("html", html.len() as i64)
    );
    assert!(html.starts_with(b"<title>Tea"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_what_the_job_asked_for() {
    use api::job::v1::{Extraction, Patterns, Selection, extraction::Format, patterns::Custom};
    let (bed, site) = (Bed::start(NO_BROWSER).await, Site::start().await);
    let extraction = Extraction {
        formats: vec![Format::CleanedHtml.into(), Format::Citations.into(), Format::Chunks.into()],
        selection: Some(Selection { excluded_tags: vec!["h1".to_owned()], ..Selection::default() }),
        patterns: Some(Patterns {
            custom: vec![Custom { label: "drink".to_owned(), pattern: "pouring hot (water)".to_owned() }],
            ..Patterns::default()
        }),
        ..Extraction::default()
    };
    let config = CrawlConfig { extraction: Some(extraction), ..CrawlConfig::default() };
    let page = bed.page(&site.url("/article"), config);
    assert_eq!(bed.work(&page).await.verdict(), page::Verdict::Ok);
    let document = bed.stored(&page).unwrap().header.document.unwrap();
    assert!(document.markdown.is_empty() && document.text.is_empty() && document.links.is_empty());
    assert!(document.cleaned_html.contains("<main>") && !document.cleaned_html.contains("On tea"));
    assert!(document.markdown_with_citations.contains("next⟨1⟩"), "{}", document.markdown_with_citations);
    assert!(document.references_markdown.contains(&site.url("/next")), "{}", document.references_markdown);
    assert_eq!(document.chunks.len(), 1);
    let found = &document.matches[0];
    assert_eq!((found.label.as_str(), found.value.as_str(), found.end - found.start), ("drink", "water", 5));
    assert_eq!((document.title.as_str(), document.extracted), ("Tea", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_its_verdict() {
    use page::Verdict as V;
    let (bed, site) = (Bed::start(NO_BROWSER).await, Site::start().await);
    for (path, kind, verdict, status, stored) in [
        ("/gone", Kind::Final, V::HttpError, Some(410), false),
        ("/forbidden", Kind::Final, V::Blocked, Some(403), false),
        ("/busy", Kind::Retry, V::HttpError, Some(503), false),
        ("/image", Kind::Final, V::UnsupportedType, Some(200), false),
        ("/empty", Kind::Final, V::Empty, Some(200), true),
        ("/hang", Kind::Retry, V::Timeout, None, false),
        ("/inside", Kind::Final, V::NotAllowed, None, false),
    ] {
        let page =
            bed.page(&site.url(path), CrawlConfig { page_timeout: seconds(1), ..CrawlConfig::default() });
        let outcome = bed.work(&page).await;
        let found = (outcome.kind(), outcome.verdict(), outcome.http_status, outcome.stored);
        assert_eq!(found, (kind, verdict, status, stored), "{path}: {}", outcome.detail);
        assert_eq!(bed.stored(&page).is_some(), stored, "{path}");
        assert_eq!(outcome.retry_after_seconds, (path == "/busy").then_some(9), "{path}");
    }
    let page = bed.page("http://127.0.0.2/", CrawlConfig::default());
    assert_eq!(bed.work(&page).await.verdict(), V::NotAllowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_asked_for_once_and_obeyed() {
    let (bed, site) = (Bed::start(NO_BROWSER).await, Site::start().await);
    let first =
        bed.page(&site.url("/article"), CrawlConfig { keep_html: Some(false), ..CrawlConfig::default() });
    let mut pages = vec![first.clone()];
    for n in 0..20 {
        let mut page = first.clone();
        page.task.page = domain::id::page_name(page.job, domain::PageId::new());
        page.task.url = site.url(&format!("/article?{n}"));
        pages.push(page);
    }
    for page in &pages {
        bed.publish(domain::Lane::Http, page).await;
    }
    for page in &pages {
        assert_eq!(bed.outcome(page).await.verdict(), page::Verdict::Ok);
        assert!(bed.stored(page).unwrap().artifacts.is_empty());
    }
    assert_eq!(bed.ledger.asked.load(std::sync::atomic::Ordering::SeqCst), 1);
}
