//! Pages that do not behave: each has its verdict by its deadline, and the next page works.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn row_35_pages_that_hang_end_by_their_deadline() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let first = bed.pid().await;
    for path in ["/loop", "/alerts", "/hang", "/jsloop"] {
        let started = Instant::now();
        let result = bed.pool.fetch(&bed.order(&site.url(path), Duration::from_secs(2))).await;
        assert!(started.elapsed() < Duration::from_secs(12), "{path} took {:?}", started.elapsed());
        let expected = match path {
            "/jsloop" => (Kind::Final, Verdict::HttpError),
            _ => (Kind::Retry, Verdict::Timeout),
        };
        assert_eq!(verdict(result), expected, "{path}");
        assert!(bed.body(&site.url("/plain")).await.contains("hello"), "after {path}");
    }
    assert_eq!(bed.pid().await, first, "a page that hangs does not cost the browser");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_runs_on_in_its_tab_does_not_get_in_the_way_of_the_next_one() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    for path in ["/leaves-at-its-end", "/asks-at-its-end", "/leaves-always", "/busy", "/js"] {
        // Where it goes by itself, it may have gone before it was read.
        let _ = bed.fetch(&site.url(path)).await;
        let next = bed.fetch(&site.url("/slow")).await.expect("because it works");
        assert_eq!(next.body, "slow answer", "after {path}");
        assert_eq!((next.redirects, next.final_url.path()), (Vec::<String>::new(), "/slow"), "after {path}");
    }
    for path in ["/plain#there", "/js#there"] {
        let before = site.hits();
        assert_eq!(bed.body(&site.url(path)).await, bed.body(&site.url(path)).await);
        assert!(site.hits() >= before + 2, "{path} is asked for again");
    }
    bed.body(&site.url("/hangs-at-its-end")).await;
    let next = bed.pool.fetch(&bed.order(&site.url("/slow"), Duration::from_secs(4))).await;
    assert_eq!(
        verdict(next),
        (Kind::Infra, Verdict::Infra),
        "it pays for the page before, and is tried again"
    );
    assert!(bed.body(&site.url("/slow")).await.contains("slow answer"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_does_not_run_on_for_long_in_a_tab_that_nobody_asks_for() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    assert!(bed.body(&site.url("/beats")).await.contains("beats"));
    let mut before = site.hits();
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        // Three of its beats.
        tokio::time::sleep(Duration::from_millis(1800)).await;
        match site.hits() {
            hits if hits == before => break,
            hits => before = hits,
        }
        assert!(Instant::now() < patience, "it runs on");
    }
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_pages_and_hanging_assets_settle_at_the_cap() {
    let bed = Bed::new("browser.settle_cap = \"2s\"").await;
    let site = Site::start("127.0.0.1").await;
    for path in ["/busy", "/asset-hangs"] {
        let started = Instant::now();
        assert!(bed.body(&site.url(path)).await.contains("<h1>x</h1>"), "{path}");
        assert!(started.elapsed() < Duration::from_secs(20), "{path} took {:?}", started.elapsed());
    }
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_38_dialogs_popups_and_downloads_are_turned_away() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    assert!(bed.body(&site.url("/alert")).await.contains("after"));
    assert!(bed.body(&site.url("/leave")).await.contains("leave"));
    let before = site.hits();
    assert!(bed.body(&site.url("/popups")).await.contains("popups"));
    assert!(site.hits() - before < 10, "popups were loaded: {}", site.hits() - before);
    assert_eq!(verdict(bed.fetch(&site.url("/download")).await), (Kind::Final, Verdict::UnsupportedType));
    assert!(bed.body(&site.url("/later-download")).await.contains("stays"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_39_what_is_too_large_is_refused() {
    let bed = Bed::new("browser.max_dom = \"2MiB\"\nbrowser.max_requests = 200").await;
    let site = Site::start("127.0.0.1").await;
    for path in ["/bigdom", "/manynodes", "/requests"] {
        assert_eq!(verdict(bed.fetch(&site.url(path)).await), (Kind::Final, Verdict::TooLarge), "{path}");
    }
    assert!(
        bed.body(&site.url("/canvas")).await.contains("canvas"),
        "100 MB of pixels are the renderer's business"
    );
    let (kind, _) = verdict(bed.fetch(&site.url("/memory")).await);
    assert_eq!(kind, Kind::Retry, "a renderer that runs out of memory takes only its page along");
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_be_dropped_at_any_time() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let browser = bed.pool.browser().await.unwrap();
    for wait in [1, 10, 40, 100, 300] {
        let order = bed.order(&site.url("/loop"), Duration::from_secs(60));
        let dropped = tokio::time::timeout(Duration::from_millis(wait), bed.pool.fetch(&order)).await;
        assert!(dropped.is_err());
    }
    let patience = Instant::now() + Duration::from_secs(15);
    while browser.busy() > 0 {
        assert!(Instant::now() < patience, "tabs were left open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    bed.close().await;
}
