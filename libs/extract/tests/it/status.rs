//! Honest outcomes: strong evidence only, and never against a page with much to read.

use extract::PageStatus;

use super::html;

fn status(page: &str) -> &'static str {
    match html(page).page_status {
        PageStatus::Ok => "ok",
        PageStatus::Empty => "empty",
        PageStatus::Soft404(_) => "soft404",
        PageStatus::Blocked(_) => "blocked",
        PageStatus::LoginWall(_) => "login",
    }
}

#[test]
fn pages_are_judged_by_strong_evidence() {
    let long = "<p>Enough sentences to make a page that someone wrote, about captchas and such things.</p>"
        .repeat(25);
    for (page, expected) in [
        ("<title>Just a moment...</title><p>Checking</p>".to_owned(), "blocked"),
        ("<title>x</title><p>Please verify you are human to go on.</p>".to_owned(), "blocked"),
        ("<title>x</title><div id='px-captcha'></div>".to_owned(), "blocked"),
        (
            "<title>Attention Required! | Cloudflare</title><h1>Sorry, you have been blocked</h1>".to_owned(),
            "blocked",
        ),
        (
            format!(
                "<title>How to verify you are human</title>{long}<p>verify you are human, page not found</p>"
            ),
            "ok",
        ),
        ("<title>404 Not Found</title><h1>Not Found</h1>".to_owned(), "soft404"),
        ("<title>Shop</title><h1>Page not found</h1><p>Sorry.</p>".to_owned(), "soft404"),
        ("<title>Oops</title><p>The page you are looking for doesn’t exist.</p>".to_owned(), "soft404"),
        (format!("<title>HTTP 404 explained</title>{long}"), "ok"),
        ("<title>404 ways to cook rice</title><h1>Rice</h1><p>Boil it.</p>".to_owned(), "ok"),
        (
            "<title>Sign in</title><form><input type=password><button>Sign in</button></form>".to_owned(),
            "login",
        ),
        (format!("<title>News</title>{long}<form><input type=password></form>"), "ok"),
        ("<title>Log in to win</title><p>A text about logs.</p>".to_owned(), "ok"),
        ("<body><script>x</script></body>".to_owned(), "empty"),
        ("<p>short but fine</p>".to_owned(), "ok"),
    ] {
        assert_eq!(status(&page), expected, "{}", &page[..page.len().min(100)]);
    }
}

#[test]
fn pages_that_render_themselves_are_known() {
    let menu = "<a href=/x>A place of the site</a> ".repeat(20);
    let around = format!("<nav>{menu}</nav><div id=root></div><script src=x></script>");
    for (page, needed) in [
        ("<div id=root></div><script src=x></script>", true),
        (
            "<noscript>You need to enable JavaScript to run this app.</noscript><div id=x></div><script src=x></script>",
            true,
        ),
        ("<body><app-root></app-root><script src=x></script></body>", true),
        (
            "<div id=root><p>Server rendered words, quite a few of them, so that nothing is missing here at all.</p></div><script src=x></script>",
            false,
        ),
        ("<div id=root></div>", false),
        (
            "<x-toolbar></x-toolbar><p>A short page that has all the words it will ever have.</p><script src=x></script>",
            false,
        ),
        ("<p>short</p><script src=x></script>", false),
        ("<noscript><img src=pixel></noscript><p>short page</p><script src=x></script>", false),
        // A few words that stand for themselves.
        (
            "<main><h1>Moved</h1><p>The archive is on the second floor, beside the stairs.</p></main><noscript>Enable JavaScript to view the comments.</noscript><script src=x></script>",
            false,
        ),
        // Much around it, and no content.
        (around.as_str(), true),
        (
            "<nav>Home About</nav><main id=content></main><footer>Imprint</footer><script src=x></script>",
            true,
        ),
        ("<nav>Home About</nav><main><h1>Search the sheets</h1></main><script src=x></script>", false),
        (
            "<div id=page><h1>{{ title }}</h1><p v-for='text in texts'>{{ text }}</p></div><script src=x></script>",
            true,
        ),
        ("<script src=x></script>", true),
        ("<img src=a.png><script src=x></script>", false),
    ] {
        assert_eq!(html(page).needs_javascript.is_some(), needed, "{page}");
    }
    let long = format!(
        "<noscript>Please enable JavaScript</noscript><script src=x></script><p>{}</p>",
        "words and ".repeat(60)
    );
    assert_eq!(html(&long).needs_javascript, None);
}
