//! Frames of other origins: those of the same site, which share the page's process, and those of other sites, which may have their own.

use tokio::net::TcpListener;

use super::*;

/// Two sites that are one to a browser, at two ports, and a third that is another.
async fn sites() -> (Site, Site, Site) {
    (Site::start("127.0.0.1").await, Site::start("127.0.0.1").await, Site::start("127.0.0.2").await)
}

fn flat() -> Options {
    Options { flatten_frames: true, ..Options::default() }
}

async fn flattened(bed: &Bed, url: &str) -> String {
    let fetched = bed.ask(url, flat()).await.expect("because the page works");
    String::from_utf8(fetched.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_other_origins_are_read_where_a_job_asks_for_frames() {
    for isolated in [false, true] {
        frames_are_read(isolated).await;
    }
}

async fn frames_are_read(isolated: bool) {
    let bed = Bed::reaching("127.0.0.0/8", &format!("browser.isolate_sites = {isolated}")).await;
    let (page, near, far) = sites().await;
    for there in [&near, &far] {
        let url = page.url(&format!("/framing?to={}", there.url("/plain")));
        assert!(!bed.body(&url).await.contains("hello"), "nobody asked");
        let body = flattened(&bed, &url).await;
        let frame = format!("<div data-frame=\"{}\">", there.url("/plain"));
        assert!(body.contains(&frame) && body.contains("<h1>hello</h1>"), "{body}");
        assert!(body.contains("<h1>framing</h1>") && body.contains("<p>after the frames</p>"), "{body}");
    }
    // Frames in frames, of the one in the other, and back.
    let deep = far.url(&format!("/framing?to={}", near.url(&format!("/framing?to={}", page.url("/plain")))));
    let body = flattened(&bed, &page.url(&format!("/framing?to={deep}"))).await;
    assert_eq!(
        (body.matches("<h1>framing</h1>").count(), body.matches("<h1>hello</h1>").count()),
        (3, 1),
        "{body}"
    );
    // Nothing that a frame holds takes the page around it along.
    let body = flattened(&bed, &page.url(&format!("/framing?to={}", far.url("/swallow")))).await;
    assert!(body.contains("in the frame") && !body.contains("<plaintext"), "{body}");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_read_within_their_bounds() {
    let (page, near, far) = sites().await;
    let hello = |bounds: &'static str, url: String| async move {
        let bed = Bed::reaching("127.0.0.0/8", bounds).await;
        let body = flattened(&bed, &url).await;
        bed.close().await;
        (body.matches("<h1>framing</h1>").count(), body.matches("<h1>hello</h1>").count())
    };
    let four = [&near, &far, &near, &far].map(|site| site.url("/plain")).join("|");
    let wide = page.url(&format!("/framing?to={four}"));
    assert_eq!(hello("", wide.clone()).await, (1, 4));
    assert_eq!(hello("browser.max_frames = 3", wide.clone()).await, (1, 3));
    assert_eq!(hello("browser.max_frames = 0", wide.clone()).await, (1, 0));
    assert_eq!(hello("browser.max_frame_bytes = \"10B\"", wide).await, (1, 0));
    let deep = far.url(&format!("/framing?to={}", near.url("/plain")));
    let deep = page.url(&format!("/framing?to={deep}"));
    assert_eq!(hello("browser.max_frame_depth = 2", deep.clone()).await, (2, 1));
    assert_eq!(hello("browser.max_frame_depth = 1", deep).await, (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_hangs_does_not_hold_the_page() {
    let bed = Bed::reaching("127.0.0.0/8", "browser.isolate_sites = true\nbrowser.settle_cap = \"2s\"").await;
    let (page, near, far) = sites().await;
    let frames = [far.url("/loop"), near.url("/plain"), far.url("/hang"), near.url("/plain?again")].join("|");
    let body = flattened(&bed, &page.url(&format!("/framing?to={frames}"))).await;
    assert_eq!(body.matches("<h1>hello</h1>").count(), 2, "{body}");
    assert!(body.contains("<p>after the frames</p>"), "{body}");
    assert!(flattened(&bed, &page.url("/plain")).await.contains("hello"), "and no other page");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_from_where_nothing_is_allowed_is_neither_asked_nor_shown() {
    let (bed, page) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let canary = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let there = format!("127.0.0.2:{}", canary.local_addr().unwrap().port());
    for scheme in ["http", "https"] {
        let body = flattened(&bed, &page.url(&format!("/framing?to={scheme}://{there}/"))).await;
        assert!(body.contains("<p>after the frames</p>"), "{body}");
        let inside = body.split("<iframe").nth(1).expect("because the frame is as it was");
        assert!(inside.split("<p>").next().is_some_and(|frame| frame.ends_with("></iframe>")), "{body}");
    }
    let heard = tokio::time::timeout(Duration::from_millis(300), canary.accept()).await;
    assert!(heard.is_err(), "the canary was reached");
    bed.close().await;
}
