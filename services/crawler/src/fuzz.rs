//! Answers of sites, broken: whatever a page holds it is judged, what it leads to fits into an outcome, and nothing panics.

use domain::PageUrl;
use domain::follow::Follow;
use extract::{Input, Options};
use fuzz::Fuzz;
use time::macros::datetime;
use url::Url;

use crate::classify::{self, Kind};
use crate::discover;
use crate::tests::task;

const WORDS: &[&str] = &[
    "<a href=",
    "<a rel=nofollow href='/2026/11/20/x'>",
    "<base href=//example.org/>",
    "<meta name=robots content=nofollow>",
    "<meta http-equiv=refresh content='0;url=/x'>",
    "<link rel=canonical href=",
    "<title>404 not found</title>",
    "<form action=/login><input type=password>",
    "checking your browser captcha",
    "<noscript>enable JavaScript",
    "<script src=/app.js></script>",
    "<div id=root></div>",
    "http://",
    "%ff",
    "\u{202e}",
    "\0",
    "é",
];

#[test]
fn pages() {
    let seeds = [
        "<html lang=en><title>Words</title><body><main><h1>Words</h1><p>Some <a href='/a'>words</a>, <a href='//b.example/?q=1#f'>more</a>.</main>",
        "<title>Just a moment...</title><div id=challenge-form>Checking your browser before accessing</div><script src=/cdn-cgi/challenge-platform/x.js></script>",
        "<div id=root></div><script src=/static/js/main.js></script><noscript>You need to enable JavaScript to run this app.</noscript>",
        "<title>Sign in</title><form method=post><input name=user><input type=password name=pass></form>",
        "<h1>Page not found</h1>",
    ];
    let task = task("https://example.com/a", 0);
    let answered = Url::parse("https://example.com/b").expect("because it is a URL");
    let (rules, now) =
        (Follow::default().rules().expect("because the defaults are sound"), datetime!(2026-11-21 12:00 UTC));
    Fuzz::new("judged", seeds.map(Vec::from).into(), WORDS).run(|bytes| {
        let input = Input { bytes, content_type: Some("text/html"), url: &answered };
        let document = match extract::extract(input, &Options::default()) {
            Ok(document) => document,
            Err(error) => return assert_eq!(classify::unreadable(&error).kind, Kind::Final),
        };
        let judgement = classify::content(&document.page_status);
        assert!(judgement.kind == Kind::Final && judgement.verdict.is_some() && judgement.shows_content());
        assert!(judgement.detail.chars().count() <= 200 && !judgement.detail.contains(char::is_control));
        let once = discover::document(&task, &rules, true, &answered, &document, now);
        assert_eq!(once, discover::document(&task, &rules, true, &answered, &document, now));
        for link in &once.links.links {
            assert!(PageUrl::parse(&link.url).is_ok(), "{} is found and cannot be fetched", link.url);
        }
    });
}

#[test]
fn retry_after() {
    let seeds = [
        "7",
        "Wed, 21 Oct 2099 07:28:00 GMT",
        "99999999999999999999",
        "-1",
        "Wednesday, 21-Oct-15 07:28:00 GMT",
    ];
    let now = datetime!(2026-11-21 12:00 UTC);
    Fuzz::new("retry_after", seeds.map(Vec::from).into(), &["GMT", "Feb", "30", "-", "00", ",", " "]).run(
        |bytes| {
            let wait = classify::retry_after(&String::from_utf8_lossy(bytes), now);
            assert!(wait.is_none_or(|wait| wait.as_secs() <= 24 * 3600), "a wait of {wait:?}");
        },
    );
}
