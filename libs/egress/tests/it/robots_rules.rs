//! robots.txt: which rules of a file count for a page (RFC 9309, section 2.2), as a site serves them.

use std::time::Duration;

use egress::Access;

use crate::robots::{ALLOWED, DENIED, config, robots};
use crate::site::{Site, response};

/// What a site with this file says of each path.
async fn check(file: impl AsRef<[u8]>, paths: &[(&str, bool)]) {
    let site = Site::fixed(response("content-type: text/plain\r\n", file.as_ref())).await;
    let robots = robots(&[]);
    for (path, allowed) in paths {
        let found = robots.allowed(&site.url(path)).await;
        let file = String::from_utf8_lossy(file.as_ref());
        assert_eq!(found, if *allowed { ALLOWED } else { DENIED }, "{path} by {:.300}", file);
    }
}

#[tokio::test]
async fn our_group_is_the_one_with_our_name() {
    for (file, a, b) in [
        // Ours, whatever its case, its place and who it is shared with.
        ("User-agent: crawlmesh\nDisallow: /a\n\nUser-agent: *\nDisallow: /b\n", false, true),
        ("User-agent: *\nDisallow: /b\n\nUser-agent: CrawlMesh\nDisallow: /a\n", false, true),
        ("user-agent: other\nUSER-AGENT: crawlmesh\nDISALLOW: /a\n", false, true),
        // A version or a comment after the name, as in our header.
        ("User-agent: crawlmesh/0.1\nDisallow: /a\n", false, true),
        ("User-agent:\tcrawlmesh/0.1 (+https://x.example)\nDisallow: /a\n", false, true),
        ("\u{feff}User-agent: CRAWLMESH 2\r\nDisallow: /a\r\n", false, true),
        ("User-agent: crawlmesh # us\nDisallow: /a # all of it\n", false, true),
        // Groups with our name are one group.
        (
            "User-agent: crawlmesh\nDisallow: /a\nUser-agent: x\nDisallow: /\nUser-agent: crawlmesh/9\nDisallow: /b\n",
            false,
            false,
        ),
        // Another crawler's name that begins or ends as ours.
        ("User-agent: crawlmesh-news\nDisallow: /a\n\nUser-agent: *\nDisallow: /b\n", true, false),
        ("User-agent: crawl\nDisallow: /a\n\nUser-agent: *\nDisallow: /b\n", true, false),
        ("User-agent: mycrawlmesh\nDisallow: /a\n\nUser-agent: *\nDisallow: /b\n", true, false),
        // No group of ours: that of everyone; none at all: nothing is forbidden.
        ("User-agent: other\nDisallow: /a\n\nUser-agent: *\nDisallow: /b\n", true, false),
        ("User-agent: other\nDisallow: /a\n", true, true),
        // Ours without rules lifts what is for everyone.
        ("User-agent: crawlmesh\nDisallow:\n\nUser-agent: *\nDisallow: /\n", true, true),
        // Rules without a group are nobody's.
        ("Disallow: /a\nUser-agent: *\nDisallow: /b\n", true, false),
        // Sitemaps and unknown lines do not end a list of names.
        (
            "User-agent: crawlmesh\nSitemap: https://x.example/s.xml\nHost: x\nUser-agent: x\nDisallow: /a\n",
            false,
            true,
        ),
    ] {
        check(file, &[("/a", a), ("/b", b)]).await;
    }
}

#[tokio::test]
async fn the_longest_rule_wins() {
    for (rules, path, allowed) in [
        ("Disallow: /p\nAllow: /p/open", "/p/open/x", true),
        ("Allow: /p/open\nDisallow: /p", "/p/shut", false),
        ("Disallow: /p/open/x\nAllow: /p/open", "/p/open/x", false),
        ("Disallow: /page\nAllow: /page", "/page", true),
        ("Allow: /page\nDisallow: /*.html", "/page.html", false),
        ("Allow: /$\nDisallow: /", "/", true),
        ("Allow: /$\nDisallow: /", "/a", false),
        ("Disallow: /fish", "/fishheads/y", false),
        ("Disallow: /fish", "/Fish", true),
        ("Disallow: /fish/", "/fish", true),
        ("Disallow: /*.php", "/a/b.php?x", false),
        ("Disallow: /*.php", "/a/b.PHP", true),
        ("Disallow: /*.php$", "/a/b.php", false),
        ("Disallow: /*.php$", "/a/b.php?x", true),
        ("Disallow: /a*c*e", "/abcde", false),
        ("Disallow: /a*c*e", "/aecd", true),
        ("Disallow: /a$b", "/a$b/c", false),
        ("Disallow: /a$b", "/a", true),
        ("Disallow: /*?*sid=", "/x?a=b&sid=1", false),
        ("Disallow: /*?*sid=", "/x/sid=1", true),
        ("Disallow: *", "/x", false),
        ("Disallow: secret", "/secret/x", false),
        ("Disallow: /x?", "/x", true),
        ("Disallow: /x?", "/x?", false),
        ("Disallow: /x#y", "/x", false),
        ("Dissallow: /x", "/x", false),
        ("Disallow /x", "/x", false),
    ] {
        check(format!("User-agent: *\n{rules}\n"), &[(path, allowed)]).await;
    }
}

#[tokio::test]
async fn a_rule_is_the_same_however_it_is_encoded() {
    for (rule, path, allowed) in [
        ("/%61dmin", "/admin", false),
        ("/admin", "/%61dmin", false),
        ("/ä", "/%C3%A4", false),
        ("/%c3%a4", "/ä", false),
        ("/a%3cd", "/a<d", false),
        ("/a<d", "/a%3Cd", false),
        ("/a b", "/a%20b", false),
        ("/~joe", "/%7Ejoe", false),
        // Reserved characters are not what their codes are.
        ("/a%2Fb", "/a/b", true),
        ("/a/b", "/a%2Fb", true),
        ("/a%2fb", "/a%2Fb", false),
        ("/file%2A", "/filename", true),
    ] {
        check(format!("User-agent: *\nDisallow: {rule}\n"), &[(path, allowed)]).await;
    }
}

#[tokio::test]
async fn any_bytes_are_a_file() {
    let rest = [("/x", false), ("/y", true)];
    for start in [
        &b"\xef\xbb\xbf"[..],
        b"\xef\xbb\xbf\r\n",
        b"\r\r\n\n",
        b"\xff\xfe\x00garbage\x80\x81: \xf0\n",
        b"<!DOCTYPE html><title>x</title>\n",
        b"User-agent: \xff\xfe\nDisallow: /\n",
        b"Disallow: /\xc3\n:\n::\n#\n",
        b"User-agent\nAllow\n",
    ] {
        for end in ["\n", "\r\n", "\r", "\r\r\n", "\0"] {
            let lines = format!("User-agent: *{end}Disallow: /x{end}");
            check([start, lines.as_bytes()].concat(), &rest).await;
        }
    }
    check("User-agent: *\nDisallow: /x", &rest).await;
    check("<html><body>User-agent of the month: /x</body></html>", &[("/x", true)]).await;
    check("", &[("/x", true)]).await;
}

#[tokio::test]
async fn nothing_after_500_kib_counts() {
    const LIMIT: usize = 500 * 1024;
    let up_to = |end: usize, last: &str| {
        let mut file = "User-agent: *\nDisallow: /first\n".to_owned();
        let comment = end - file.len() - last.len();
        file.push_str(&format!("#{}\n", "x".repeat(comment - 2)));
        file.push_str(last);
        assert_eq!(file.len(), end);
        file
    };
    // In reach, and just out of it.
    check(up_to(LIMIT, "Disallow: /a\n"), &[("/first", false), ("/a", false)]).await;
    let more = up_to(LIMIT, "Disallow: /a\n") + "Disallow: /b\n";
    check(&more, &[("/first", false), ("/a", false), ("/b", true)]).await;
    // Of the line at the limit nothing counts: cut, it would forbid everything.
    let cut = up_to(LIMIT, "Disallow: /") + "private\n";
    check(&cut, &[("/first", false), ("/private", true), ("/x", true)]).await;
    // The same where a version is blanked, which must not move the limit.
    let named = format!("User-agent: crawlmesh/1.0 ({})\nDisallow: /first\n", "y".repeat(100));
    let fill = format!("#{}\n", "x".repeat(LIMIT - named.len() - 2 - 11));
    let file = format!("{named}{fill}Disallow: /private\n");
    check(&file, &[("/first", false), ("/private", true), ("/x", true)]).await;
    // Far more than is read.
    let huge = up_to(LIMIT, "Disallow: /a\n") + &"Disallow: /b\n".repeat(200_000);
    check(&huge, &[("/first", false), ("/a", false), ("/b", true)]).await;
}

#[tokio::test]
async fn a_file_of_costly_rules_is_obeyed() {
    let rules: String = (0..500).map(|n| format!("Disallow: /*a*b{n}c\n")).collect();
    let file = format!("User-agent: *\n{rules}");
    let long = format!("/{}", "ab".repeat(3000));
    check(file, &[(&long, true), (&format!("{long}b499c"), false)]).await;
}

#[tokio::test]
async fn the_pause_is_told_and_capped() {
    for (line, seconds) in [
        ("Crawl-delay: 5", Some(5.0)),
        ("crawl-delay:0.5", Some(0.5)),
        ("Crawl-delay: 1e9", Some(60.0)),
        ("Crawl-delay: 10\nCrawl-delay: x", Some(10.0)),
        ("Crawl-delay: -1", None),
        ("Crawl-delay: NaN", None),
        ("Crawl-delay: inf", None),
        ("Crawl-delay: soon", None),
        ("Crawl-delay:", None),
        ("\nUser-agent: other\nCrawl-delay: 5", None),
    ] {
        let site = Site::fixed(response("", format!("User-agent: *\nDisallow: /x\n{line}\n"))).await;
        let robots = robots(&[]);
        let crawl_delay = seconds.map(Duration::from_secs_f64);
        assert_eq!(robots.allowed(&site.url("/y")).await, Access::Allowed { crawl_delay }, "{line}");
        assert_eq!(robots.allowed(&site.url("/x")).await, DENIED, "{line}");
    }
    // Without a rule beside it as well.
    let site = Site::fixed(response("", "User-agent: crawlmesh\nCrawl-delay: 2\n")).await;
    let two = Access::Allowed { crawl_delay: Some(Duration::from_secs(2)) };
    assert_eq!(robots(&[]).allowed(&site.url("/")).await, two);
    assert_eq!(config(&[]).max_crawl_delay, Duration::from_secs(60));
}
