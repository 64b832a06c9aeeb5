//! Ads: what the lists name is not asked for, the rest is; with a list of the test's own, and with EasyList.

use std::io::Write;

use serde_json::Value;
use tempfile::NamedTempFile;

use super::super::options::{Block, Keep};
use super::*;

const LIST: &str =
    "[Adblock Plus 2.0]\n/tag.js?\n/adimage/\n/adframe$subdocument\n/beacon|\n/ads|$document\n/ads|\n";
const WAYS: [&str; 4] = ["/tag.js", "/adimage/1", "/adframe", "/beacon"];

fn list(text: &str) -> (NamedTempFile, String) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let overlay = format!("browser.ad_lists = [\"{}\"]\n", file.path().display());
    (file, overlay)
}

fn without_ads() -> Options {
    Options { block: Block { ads: true, ..Block::default() }, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_names_is_not_asked_for() {
    let (file, overlay) = list(LIST);
    let (mut bed, site) = (Bed::new(&overlay).await, Site::start("127.0.0.1").await);
    let keep = Keep { har: true, ..Keep::default() };
    let fetched = bed.ask(&site.url("/ads"), Options { keep, ..without_ads() }).await.unwrap();
    let body = String::from_utf8_lossy(&fetched.body);
    assert!(body.contains("words and data") && !body.contains("<title>broken"), "{body}");
    for way in WAYS {
        assert!(!site.was_asked(way), "{way}");
    }
    assert_eq!(fetched.ads_blocked, WAYS.len());
    let har: Value = serde_json::from_slice(&fetched.artifacts[0].bytes).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    let rule = |path: &str| {
        let url = site.url(path);
        let mut found = entries.iter().filter(|entry| entry["request"]["url"] == url.as_str());
        found.next().unwrap_or_else(|| panic!("{path} is not in {har}"))["_blocked_by"].clone()
    };
    let name = file.path().file_name().unwrap().to_string_lossy();
    let told = |rule: &str, line| Value::from(format!("{rule} ({name}:{line})"));
    assert_eq!((rule("/tag.js?q=1"), rule("/adimage/1")), (told("/tag.js?", 2), told("/adimage/", 3)));
    assert_eq!((rule("/ads"), rule("/data")), (Value::Null, Value::Null));

    bed.job = JobId::new();
    let fetched = bed.ask(&site.url("/ads"), Options { block: Block::default(), ..Options::default() }).await;
    assert_eq!(fetched.unwrap().ads_blocked, 0);
    for way in WAYS {
        assert!(site.was_asked(way), "{way}");
    }
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_of_a_tab_is_free_of_ads_too() {
    let (_file, overlay) = list(LIST);
    let (bed, site) = (Bed::new(&overlay).await, Site::start("127.0.0.1").await);
    for path in ["/plain", "/ads", "/redirect", "/ads"] {
        let fetched = bed.ask(&site.url(path), without_ads()).await.unwrap();
        assert_eq!((fetched.status, fetched.ads_blocked > 0), (200, path == "/ads"), "{path}");
    }
    assert!(!site.was_asked("/tag.js"));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_the_page_says_so() {
    let overlay = "browser.ad_lists = [\"/no/such/list.txt\"]\n";
    let (bed, site) = (Bed::new(overlay).await, Site::start("127.0.0.1").await);
    let judgement = bed.ask(&site.url("/ads"), without_ads()).await.unwrap_err().judgement();
    assert_eq!((judgement.kind, judgement.verdict), (Kind::Final, Some(Verdict::Interaction)));
    assert_eq!(judgement.detail, "block.ads: browser.ad_lists: /no/such/list.txt is not a file");
    assert_eq!(
        (site.hits(), bed.pool.ads_note()),
        (0, "browser.ad_lists: /no/such/list.txt is not a file".into())
    );
    assert!(bed.body(&site.url("/plain")).await.contains("hello"));
    bed.close().await;
}

/// EasyList as `tools/install test` puts it: scripts of an advertising network, on a page of somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn easylist_knows_the_networks() {
    if crate::find_ad_lists().is_empty() {
        eprintln!("not tested with EasyList: `tools/install test` installs it");
        return;
    }
    let site = Site::start("127.0.0.1").await;
    let port = site.url("").rsplit(':').next().unwrap().to_owned();
    let names = ["news.example", "securepubads.g.doubleclick.net"];
    let resolver = Resolver::fixed(names.map(|name| (name, vec!["127.0.0.1".parse().unwrap()])));
    let mut bed = Bed::resolving(resolver, "127.0.0.1/32", "").await;
    let url = format!("http://news.example:{port}/ads-from?to=http://securepubads.g.doubleclick.net:{port}");
    let fetched = bed.ask(&url, without_ads()).await.unwrap();
    assert!(String::from_utf8_lossy(&fetched.body).contains("words"));
    assert_eq!((fetched.ads_blocked, site.was_asked("/tag.js"), site.was_asked("/own.js")), (1, false, true));
    bed.job = JobId::new();
    bed.body(&url).await;
    assert!(site.was_asked("/tag.js"));
    bed.close().await;
}
