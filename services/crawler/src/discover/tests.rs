//! Which links a page leads to, and under which keys it is known.

use domain::follow::{Follow, Pattern};
use time::macros::datetime;

use super::*;
use crate::tests::task;

fn url(text: &str) -> PageUrl {
    PageUrl::parse(text).unwrap()
}

fn linked(links: &[&str]) -> Document {
    let link = |url: &&str| extract::Link {
        url: (*url).to_owned(),
        text: String::new(),
        title: None,
        rel: url.ends_with("secret").then(|| "external nofollow".to_owned()),
        internal: true,
    };
    Document { links: links.iter().map(link).collect(), ..Document::default() }
}

/// What a document leads to on a day in 2026.
fn document(task: &Task, rules: &Rules, robots: bool, answered: &Url, page: &Document) -> Discovery {
    super::document(task, rules, robots, answered, page, datetime!(2026-11-21 12:00 UTC))
}

fn found(discovery: &Discovery) -> Vec<&str> {
    discovery.links.links.iter().map(|link| link.url.as_str()).collect()
}

#[test]
fn the_date_in_a_url_makes_a_link_fresh() {
    let weights = domain::follow::Weights { freshness: 1.0, ..Default::default() };
    let rules = Follow { weights, ..Follow::default() }.rules().unwrap();
    let page = linked(&[
        "https://example.com/2020/01/old",
        "https://example.com/2026/11/20/new",
        "https://example.com/undated",
    ]);
    let answered = Url::parse("https://example.com/").unwrap();
    let discovery = document(&task("https://example.com/", 0), &rules, true, &answered, &page);
    let scores: Vec<f64> = discovery.links.links.iter().map(|link| link.score()).collect();
    assert!(scores[0] < 0.01 && scores[1] > 0.99 && (scores[2] - 0.5).abs() < 1e-6, "{scores:?}");
}

#[test]
fn links_are_cleaned_judged_and_counted() {
    let follow = Follow { exclude: vec![Pattern::Glob("/old/**".into())], ..Follow::default() };
    let rules = follow.rules().unwrap();
    let page = linked(&[
        "https://example.com/a?utm_source=x#top",
        "https://example.com/a/",
        "https://example.com/old/1",
        "https://example.org/",
        "https://example.com/secret",
        "https://example.com/b",
    ]);
    let answered = Url::parse("https://www.example.com/home").unwrap();
    let discovery = document(&task("https://example.com/", 0), &rules, true, &answered, &page);
    assert_eq!(found(&discovery), ["https://example.com/a", "https://example.com/b"]);
    let refused: Vec<(&str, i64)> = discovery.refused.iter().map(|(rule, n)| (rule.as_str(), *n)).collect();
    assert_eq!(refused, [("exclude glob /old/**", 1), ("nofollow", 1), ("other host", 1)]);
    assert_eq!(discovery.seed, "https://www.example.com/home", "a seed that redirects stands where it leads");
    let free = document(&task("https://example.com/", 0), &rules, false, &answered, &page);
    assert!(found(&free).contains(&"https://example.com/secret"));
}

#[test]
fn a_page_that_redirected_away_leads_nowhere() {
    let rules = Follow::default().rules().unwrap();
    let page = linked(&["https://example.org/a", "https://example.com/a"]);
    let answered = Url::parse("https://example.org/").unwrap();
    let discovery = document(&task("https://example.com/go", 1), &rules, true, &answered, &page);
    assert!(found(&discovery).is_empty());
    assert_eq!(discovery.refused["redirected away"], 2);
}

#[test]
fn a_page_is_known_by_its_addresses_and_its_text() {
    let text = "word ".repeat(40);
    let mut page = Document { text, canonical: Some("https://example.com/c".into()), ..Document::default() };
    let answered = Url::parse("https://example.com/b").unwrap();
    let rules = Follow::default().rules().unwrap();
    let task = task("https://example.com/a", 1);
    let known = |page: &Document| document(&task, &rules, true, &answered, page);
    let expected = ["a", "b", "c"].map(|path| url(&format!("https://example.com/{path}")).normal_key());
    assert_eq!(known(&page).identities, expected);
    assert!(known(&page).text_key.is_some() && known(&page).simhash.is_none());
    page.canonical = Some("https://example.com/".into());
    assert_eq!(known(&page).identities, expected[..2], "not every page is the home page");
    page.text = "too short".into();
    assert_eq!(known(&page).text_key, None);
}

#[test]
fn what_does_not_fit_is_counted() {
    const LINKS: u32 = 10_000;
    let link = |n: u32| {
        // Hardly to be packed.
        let noise = |part: u32| {
            short_hash(&[n.to_le_bytes(), part.to_le_bytes()].concat()).map(|byte| format!("{byte:02x}"))
        };
        let noise: String = (0..4).flat_map(noise).collect();
        pb::FoundLink { url: format!("https://example.com/{noise}"), ..Default::default() }
    };
    let all = pb::FoundLinks { rules: vec!["same host".into()], links: (0..LINKS).map(link).collect() };
    let (packed, dropped) = pack(all);
    assert!(
        packed.len() <= MAX_PACKED && dropped > 0 && dropped < LINKS as usize,
        "{} {dropped}",
        packed.len()
    );
    let unpacked = zstd::bulk::decompress(&packed, MAX_PLAIN).unwrap();
    assert_eq!(pb::FoundLinks::decode(unpacked.as_slice()).unwrap().links.len(), LINKS as usize - dropped);
    assert_eq!(pack(pb::FoundLinks::default()), (Vec::new(), 0));
}
