//! What a job may ask of a page: waits, scripts, actions, scrolling, clearing away, identity, and what is kept.

use serde_json::Value;

use super::*;
use crate::browser::options::{
    Action, Area, Arrival, Block, Cookie, Identity, Keep, Place, Scan, Viewport, VirtualScroll, WaitFor,
};

fn none() -> Options {
    Options::default()
}

fn text(fetched: &Fetched) -> String {
    String::from_utf8(fetched.body.to_vec()).unwrap()
}

fn pixels(png: &[u8]) -> (u32, u32) {
    let at = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (at(16), at(20))
}

fn failure(result: Result<Fetched, Failure>) -> (Kind, Verdict, String) {
    let judgement = result.expect_err("because it fails").judgement();
    (judgement.kind, judgement.verdict.unwrap(), judgement.detail.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_waited_for() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let late = site.url("/late");
    assert!(
        !text(&bed.ask(&late, none()).await.unwrap()).contains("<p id=\"late\">"),
        "nothing waits by itself"
    );
    for wait in ["#late", "js:window.ready", "js:() => window.ready", "js:async () => window.ready"] {
        let wait_for = Some(match wait.strip_prefix("js:") {
            Some(code) => WaitFor::Js(code.into()),
            None => WaitFor::Css(wait.into()),
        });
        let fetched = bed.ask(&late, Options { wait_for, ..none() }).await.unwrap();
        assert!(text(&fetched).contains("late words"), "{wait}");
    }
    let delayed = Options { arrival: Arrival::Load, delay: Duration::from_secs(2), ..none() };
    assert!(text(&bed.ask(&late, delayed).await.unwrap()).contains("late words"));
    let parsed = Options { arrival: Arrival::Parsed, ..none() };
    assert!(
        text(
            &bed.ask(&site.url("/asset-hangs"), Options { block: Block::default(), ..parsed }).await.unwrap()
        )
        .contains("<h1>x")
    );
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_about_is_told_and_is_no_success() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let plain = site.url("/plain");
    let soon = Some(Duration::from_millis(300));
    let css = |selector: &str| Some(WaitFor::Css(selector.into()));
    let script = |code: &str| Options { scripts: vec![code.into()], ..none() };
    let act = |action: Action| Options { actions: vec![action], wait_timeout: soon, ..none() };
    for (options, kind, verdict, detail) in [
        (
            Options { wait_for: css("#never"), wait_timeout: soon, ..none() },
            Kind::Retry,
            Verdict::Timeout,
            "wait_for",
        ),
        (
            Options { wait_for: css(">>"), ..none() },
            Kind::Final,
            Verdict::Interaction,
            "wait_for: SyntaxError",
        ),
        (
            Options { wait_for: Some(WaitFor::Js("nothing.here".into())), ..none() },
            Kind::Final,
            Verdict::Interaction,
            "wait_for: ReferenceError",
        ),
        (script("throw new Error('no')"), Kind::Final, Verdict::Interaction, "js_code[0]: Error: no"),
        (script("}"), Kind::Final, Verdict::Interaction, "js_code[0]: SyntaxError"),
        (act(Action::Click("#never".into())), Kind::Retry, Verdict::Timeout, "click"),
        (
            act(Action::Click("title".into())),
            Kind::Final,
            Verdict::Interaction,
            "actions[0]: the element cannot be seen",
        ),
        (
            Options {
                identity: Identity { timezone: Some("No/Where".into()), ..Identity::default() },
                ..none()
            },
            Kind::Final,
            Verdict::Interaction,
            "timezone: ",
        ),
    ] {
        let (found, why, told) = failure(bed.ask(&plain, options).await);
        assert!(
            (found, why) == (kind, verdict) && told.starts_with(detail),
            "{detail}: {found:?} {why:?} {told}"
        );
    }
    let order = bed.order(&plain, Duration::from_secs(2));
    let order = Order { browser: Arc::new(script("while (true) {}")), ..order };
    assert_eq!(failure(bed.pool.fetch(&order).await), (Kind::Retry, Verdict::Timeout, "js_code".into()));
    let fetched = bed.ask(&site.url("/404"), Options { wait_for: css("#never"), ..none() }).await.unwrap();
    assert_eq!(fetched.status, 404, "a page that is not there is not waited for");
    assert!(bed.body(&plain).await.contains("hello"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_and_actions_are_done_in_order_and_their_effects_waited_for() {
    let (mut bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let actions = vec![
        Action::Type { selector: "#q".into(), text: "typed".into() },
        Action::Press("Enter".into()),
        Action::Click("#b".into()),
    ];
    let options = Options {
        scripts_before: vec!["document.body.dataset.order = 'a'".into()],
        wait_for: Some(WaitFor::Js("document.body.dataset.order === 'a'".into())),
        scripts: vec!["await null; document.body.dataset.order += 'b'; return window".into()],
        actions,
        ..none()
    };
    let body = text(&bed.ask(&site.url("/form"), options).await.unwrap());
    assert!(body.contains("typed: slow answer") && body.contains("data-order=\"ab\""), "{body}");
    assert!(body.contains("<title>entered</title>"), "{body}");
    bed.job = JobId::new();
    let away = Options { scripts: vec!["location = '/fetches'".into()], ..none() };
    let fetched = bed.ask(&site.url("/plain"), away).await.unwrap();
    assert!(text(&fetched).contains("slow answer") && fetched.final_url.path() == "/fetches", "{fetched:?}");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_scrolled_through() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let scan = Some(Scan { steps: 40, pause: Duration::from_millis(50) });
    let body = text(&bed.ask(&site.url("/lazy"), Options { scan, ..none() }).await.unwrap());
    assert!(body.contains("part 3"), "{body}");
    let scroll =
        VirtualScroll { container: "#list".into(), steps: 30, step: None, pause: Duration::from_millis(200) };
    let body = text(
        &bed.ask(&site.url("/virtual"), Options { virtual_scroll: Some(scroll), ..none() }).await.unwrap(),
    );
    let missing: Vec<usize> = (0..100).filter(|n| body.matches(&format!("item {n}.")).count() != 1).collect();
    assert!(missing.is_empty(), "{missing:?}");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overlays_go_and_frames_and_shadows_are_read() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let clear = Options { remove_overlays: true, remove_consent: true, ..none() };
    let body = text(&bed.ask(&site.url("/overlay"), clear).await.unwrap());
    assert!(body.contains("words") && body.contains("menu") && body.contains("<title>1</title>"), "{body}");
    assert!(!body.contains("subscribe") && !body.contains("cookies"), "{body}");
    let plain = text(&bed.ask(&site.url("/nested"), none()).await.unwrap());
    assert!(!plain.contains("from the shadow") || plain.contains("<script>"));
    let flat = Options { flatten_frames: true, flatten_shadow: true, ..none() };
    let body = text(&bed.ask(&site.url("/nested"), flat).await.unwrap());
    assert!(body.contains("<p>from the shadow: <b>slotted</b> &amp; more</p>"), "{body}");
    assert!(body.contains("<h1>hello</h1>"), "{body}");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_is_who_the_job_says() {
    let (mut bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let origin = site.url("");
    let cookie = Cookie {
        name: "c".into(),
        value: "v".into(),
        domain: "127.0.0.1".into(),
        path: "/".into(),
        secure: false,
        http_only: true,
    };
    let identity = Identity {
        viewport: Some(Viewport { width: 500, height: 300, scale: 2.0 }),
        locale: Some("de-DE".into()),
        timezone: Some("Asia/Tokyo".into()),
        place: Some(Place { latitude: 52.5, longitude: 13.25, accuracy: 10.0 }),
        user_agent: Some("named/1".into()),
        headers: vec![("x-test".into(), "yes".into())],
        cookies: vec![cookie],
        storage: vec![(origin, vec![("k".into(), "kept".into())])],
    };
    let options = Options { identity, ..none() };
    for round in 0..2 {
        let echo = text(&bed.ask(&site.url("/echo"), options.clone()).await.unwrap());
        for expected in ["user-agent=named/1", "x-test=yes", "cookie=c=v", "accept-language=de-DE"] {
            assert!(echo.contains(expected), "{round} {expected}: {echo}");
        }
        let env = text(&bed.ask(&site.url("/env"), options.clone()).await.unwrap());
        for expected in
            ["zone Asia/Tokyo", "language de-DE 1,5", "size 500x300@2", "stored kept", "place 52.5 13.25"]
        {
            assert!(env.contains(expected), "{round} {expected}: {env}");
        }
    }
    bed.job = JobId::new();
    let echo = bed.body(&site.url("/echo")).await;
    assert!(!echo.contains("x-test") && !echo.contains("cookie") && echo.contains("test/1"), "{echo}");
    assert!(bed.body(&site.url("/env")).await.contains("size 1280x800@1"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_not_loaded_where_only_text_is_wanted() {
    let (mut bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let block = Block { stylesheets: true, ..Block::TEXT };
    let body = text(&bed.ask(&site.url("/pictures"), Options { block, ..none() }).await.unwrap());
    assert!(body.contains("pictures") && !body.contains("<title>broken"), "{body}");
    for path in ["/pixel", "/film", "/style.css"] {
        assert!(!site.was_asked(path), "{path}");
    }
    bed.job = JobId::new();
    bed.body(&site.url("/pictures")).await;
    assert!(site.was_asked("/pixel") && site.was_asked("/style.css"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_logs_are_kept() {
    let (bed, site) = (Bed::new("").await, Site::start("127.0.0.1").await);
    let full = Keep { screenshot: Some(Area::FullPage), pdf: true, mhtml: true, ..Keep::default() };
    let fetched = bed.ask(&site.url("/tall"), Options { keep: full, ..none() }).await.unwrap();
    let kinds: Vec<&str> = fetched.artifacts.iter().map(|artifact| artifact.kind).collect();
    assert_eq!(kinds, ["screenshot", "pdf", "mhtml"]);
    assert_eq!(pixels(&fetched.artifacts[0].bytes), (1280, 4000));
    assert!(fetched.artifacts[1].bytes.starts_with(b"%PDF-"));
    assert!(String::from_utf8_lossy(&fetched.artifacts[2].bytes).contains("multipart/related"));
    let huge = Keep { screenshot: Some(Area::FullPage), ..Keep::default() };
    let fetched = bed.ask(&site.url("/huge"), Options { keep: huge, ..none() }).await.unwrap();
    assert_eq!(pixels(&fetched.artifacts[0].bytes), (1280, 16_384));

    let logs = Keep { har: true, console: true, ..Keep::default() };
    let fetched = bed.ask(&site.url("/noisy"), Options { keep: logs, ..none() }).await.unwrap();
    let json = |index: usize| serde_json::from_slice::<Value>(&fetched.artifacts[index].bytes).unwrap();
    let har = json(0);
    let entries = har["log"]["entries"].as_array().unwrap();
    let urls: Vec<&str> = entries.iter().filter_map(|entry| entry["request"]["url"].as_str()).collect();
    assert!(
        urls.contains(&site.url("/noisy").as_str()) && urls.contains(&site.url("/plain?q=1").as_str()),
        "{har}"
    );
    assert!(entries.iter().any(|entry| entry["response"]["status"] == 200), "{har}");
    let console = json(1);
    assert!(
        console["messages"][0]["text"].as_str().is_some_and(|text| text.starts_with("hello")),
        "{console}"
    );
    assert!(console.to_string().contains("Error: thrown"), "{console}");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screenshot_may_be_taken_on_the_way_and_is_bounded() {
    let bed = Bed::new("browser.max_artifact = \"64KiB\"").await;
    let site = Site::start("127.0.0.1").await;
    let keep = Keep { screenshot: Some(Area::FullPage), ..Keep::default() };
    let grow = "document.body.style.height = '50px'; document.body.innerHTML = 'small'";
    let options = Options {
        keep,
        scripts: vec![grow.into()],
        actions: vec![Action::Screenshot, Action::ScrollBy(10)],
        ..none()
    };
    let fetched = bed.ask(&site.url("/plain"), options).await.unwrap();
    assert_eq!(pixels(&fetched.artifacts[0].bytes), (1280, 800));
    let pdf = Keep { pdf: true, mhtml: true, ..Keep::default() };
    let fill = "document.body.innerHTML = Array.from({length: 5e4}, () => Math.random()).join(' ')";
    let options = Options { keep: pdf, scripts: vec![fill.into()], ..none() };
    assert_eq!(failure(bed.ask(&site.url("/plain"), options).await).1, Verdict::TooLarge);
    bed.close().await;
}
