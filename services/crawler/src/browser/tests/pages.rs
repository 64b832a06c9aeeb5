//! Pages that behave.

use super::*;
use crate::browser::options::{Area, Keep};

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_run_and_waited_for() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    assert!(bed.body(&site.url("/plain")).await.contains("<h1>hello</h1>"));
    assert!(bed.body(&site.url("/js")).await.contains("rendered"));
    assert!(bed.body(&site.url("/fetches")).await.contains("slow answer"));
    assert!(bed.body(&site.url("/tamper")).await.contains("<h1>real</h1>"));
    assert!(bed.body(&site.url("/frames")).await.contains("frames"));
    assert!(bed.body(&site.url("/websocket")).await.contains("ws"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screenshot_is_a_png_of_the_viewport() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let keep = Keep { screenshot: Some(Area::Viewport), ..Keep::default() };
    let fetched = bed.ask(&site.url("/js"), Options { keep, ..Options::default() }).await.unwrap();
    let png = fetched.artifacts[0].bytes.clone();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let pixels = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((pixels(16), pixels(20)), (1280, 800));
    assert!(fetched.wire_bytes > 0 && fetched.status == 200);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_types_and_redirects_are_told() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    for (path, status, body, kind) in [
        ("/404", 404, "", None),
        ("/404empty", 404, "", None),
        ("/500empty", 500, "", None),
        ("/429", 429, "", None),
        ("/204", 204, "", None),
        ("/json", 200, "{\"a\": [1, 2]}", Some("application/json; charset=utf-8")),
        ("/text", 200, "a < b", Some("text/plain; charset=utf-8")),
        ("/image", 200, "\0", Some("image/png")),
    ] {
        let fetched =
            bed.fetch(&site.url(path)).await.unwrap_or_else(|failure| panic!("{path}: {failure:?}"));
        let found = (fetched.status, fetched.body.as_ref(), fetched.content_type.as_deref());
        assert_eq!(found, (status, body.as_bytes(), kind), "{path}");
    }
    let slow_down = bed.fetch(&site.url("/429")).await.unwrap();
    assert_eq!(slow_down.header("retry-after"), Some("7"));
    for path in ["/redirect", "/jsredirect", "/metaredirect"] {
        let fetched = bed.fetch(&site.url(path)).await.unwrap();
        assert_eq!(
            (fetched.final_url.path(), &fetched.redirects),
            ("/plain", &vec![site.url(path)]),
            "{path}"
        );
    }
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_do_not_share_cookies_and_pages_of_a_job_do() {
    let (mut bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    bed.body(&site.url("/cookie")).await;
    assert!(bed.body(&site.url("/cookies")).await.contains("cookie a=1"));
    bed.job = JobId::new();
    assert!(bed.body(&site.url("/cookies")).await.contains("cookie none"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_lanes_of_a_job_have_the_same_cookies() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let order =
        |path: &str| Order { both_lanes: true, ..bed.order(&site.url(path), Duration::from_secs(60)) };
    let text = |fetched: Fetched| String::from_utf8_lossy(&fetched.body).into_owned();
    bed.http.fetch(&order("/login")).await.unwrap();
    let shown = text(bed.pool.fetch(&order("/cookies")).await.unwrap());
    assert!(shown.contains("session=1"), "what plain HTTP has learned: {shown}");
    bed.pool.fetch(&order("/cookie")).await.unwrap();
    let plain = text(bed.http.fetch(&order("/cookies")).await.unwrap());
    assert!(plain.contains("session=1") && plain.contains("a=1"), "what a page has set: {plain}");
    // What the site sets while the context is open comes after.
    bed.http.fetch(&order("/login?again")).await.unwrap();
    let shown = text(bed.pool.fetch(&order("/cookies")).await.unwrap());
    assert!(shown.contains("session=2"), "{shown}");

    let other = Order { job: JobId::new(), ..order("/cookies") };
    assert!(
        text(bed.pool.fetch(&other).await.unwrap()).contains("cookie none"),
        "no job has those of another"
    );
    let alone = |path: &str| Order { job: other.job, both_lanes: false, ..order(path) };
    bed.http.fetch(&alone("/login")).await.unwrap();
    assert!(text(bed.pool.fetch(&alone("/cookies")).await.unwrap()).contains("cookie none"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pages_at_once_come_out_right() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let paths: Vec<String> = (0..24).map(|n| site.url(&format!("/cookies?{n}"))).collect();
    let jobs = [JobId::new(), JobId::new(), JobId::new()];
    let pages = paths.iter().zip(jobs.into_iter().cycle()).map(|(url, job)| {
        let order = Order { job, ..bed.order(url, Duration::from_secs(30)) };
        let pool = bed.pool.clone();
        async move { pool.fetch(&order).await.unwrap().final_url.to_string() }
    });
    let found: Vec<String> =
        futures::StreamExt::collect(futures::StreamExt::buffered(futures::stream::iter(pages), 4)).await;
    assert_eq!(found, paths);
    bed.close().await;
}
