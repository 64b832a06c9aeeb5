//! What is followed and what is not, by which rule.

use proptest::prelude::*;

use super::*;
use crate::follow::Strategy;

fn url(text: &str) -> PageUrl {
    PageUrl::parse(text).expect("because it is a URL")
}

fn judge(follow: &Follow, seed: &str, link: &str) -> String {
    let rules = follow.rules().expect("because the patterns are valid");
    let link = url(link);
    match rules.judge(&url(seed), Candidate { url: &link, text: "", depth: 1, age_days: None }) {
        Decision::In { rule, .. } => format!("in: {rule}"),
        Decision::Out { rule } => format!("out: {rule}"),
    }
}

#[test]
fn the_scope_is_that_of_the_seed() {
    let seed = "https://www.example.com/docs/intro";
    for (reach, link, expected) in [
        (Reach::Host, "http://example.com/x", "in: same host"),
        (Reach::Host, "https://docs.example.com/", "out: other host"),
        (Reach::Host, "https://example.com:8443/", "out: other host"),
        (Reach::Subdomains, "https://docs.example.com/", "in: same domain"),
        (Reach::Subdomains, "https://badexample.com/", "out: other domain"),
        (Reach::Path, "https://example.com/docs/a/b", "in: same path"),
        (Reach::Path, "https://example.com/docs2", "out: other path"),
        (Reach::Any, "https://example.org/", "in: any"),
    ] {
        let follow = Follow { reach, ..Follow::default() };
        assert_eq!(judge(&follow, seed, link), expected, "{reach:?} {link}");
    }
    let address = Follow { reach: Reach::Subdomains, ..Follow::default() };
    assert_eq!(judge(&address, "http://10.0.0.1/", "http://1.10.0.0.1.example/"), "out: other domain");
}

#[test]
fn the_first_rule_that_keeps_out_is_named() {
    let follow = Follow {
        include: vec![Pattern::Glob("/docs/**".into())],
        exclude: vec![Pattern::Regex(r"[?&]print=1".into()), Pattern::Glob("/docs/old/**".into())],
        exclude_domains: vec!["ads.example.com".into()],
        reach: Reach::Subdomains,
        ..Follow::default()
    };
    for (link, expected) in [
        ("https://example.com/docs/a", "in: include glob /docs/**"),
        ("https://example.com/blog/", "out: not included"),
        ("https://example.com/docs/a?print=1", r"out: exclude regex [?&]print=1"),
        ("https://example.com/docs/old/a", "out: exclude glob /docs/old/**"),
        ("https://x.ads.example.com/docs/a", "out: in exclude_domains"),
        ("https://example.com/docs/a.jpg", "out: file type"),
        ("https://example.com/docs/a/a/a/a/b", "out: trap"),
    ] {
        assert_eq!(judge(&follow, "https://example.com/", link), expected, "{link}");
    }
    let domains = Follow { reach: Reach::Any, domains: vec!["example.org".into()], ..Follow::default() };
    assert_eq!(judge(&domains, "https://example.com/", "https://a.example.org/"), "in: any");
    assert_eq!(judge(&domains, "https://example.com/", "https://example.net/"), "out: not in domains");
    let shallow = Follow { max_depth: 0, ..Follow::default() };
    assert_eq!(judge(&shallow, "https://example.com/", "https://example.com/a"), "out: max_depth");
}

#[test]
fn scores_are_weighted_means() {
    let follow = Follow {
        keywords: vec!["Rust".into(), "async".into()],
        weights: Weights { keywords: 3.0, path_depth: 1.0, best_path_depth: 1, freshness: 0.0 },
        min_score: Some(0.3),
        ..Follow::default()
    };
    let rules = follow.rules().unwrap();
    let score = |link: &str, text: &str| {
        let link = url(link);
        match rules.judge(&url("https://e.com/"), Candidate { url: &link, text, depth: 1, age_days: None }) {
            Decision::In { score, .. } => score,
            Decision::Out { rule } => panic!("{rule}"),
        }
    };
    assert_eq!(score("https://e.com/rust", "ASYNC io"), Some(1.0));
    assert_eq!(score("https://e.com/rust", ""), Some((3.0 * 0.5 + 1.0) / 4.0));
    assert_eq!(judge(&follow, "https://e.com/", "https://e.com/a/b/c"), "out: min_score");
}

#[test]
fn ranks_order_as_the_strategy_says() {
    let rank = |strategy, depth, score| Follow { strategy, ..Follow::default() }.rank(depth, score);
    assert!(rank(Strategy::Bfs, 1, None) < rank(Strategy::Bfs, 2, Some(1.0)));
    assert!(rank(Strategy::Dfs, 2, None) < rank(Strategy::Dfs, 1, None));
    assert!(rank(Strategy::BestFirst, 5, Some(0.9)) < rank(Strategy::BestFirst, 1, Some(0.8)));
    assert!(rank(Strategy::BestFirst, 0, None) < rank(Strategy::BestFirst, 1, Some(1.0)));
}

proptest! {
    #[test]
    fn every_link_gets_an_answer_and_a_bounded_name(path in "(/[a-z.0-9]{0,9}){0,50}", depth in 0_u32..20) {
        let follow = Follow { exclude: vec![Pattern::Glob("/a*/**".into())], ..Follow::default() };
        let Ok(link) = PageUrl::parse(&format!("https://example.com{path}")) else { return Ok(()) };
        let rules = follow.rules().unwrap();
        let link = Candidate { url: &link, text: "", depth, age_days: Some(1.0) };
        let (Decision::In { rule, .. } | Decision::Out { rule }) = rules.judge(&url("https://example.com/"), link);
        let known = ["same host", "exclude glob /a*/**", "file type", "trap", "max_depth"];
        prop_assert!(known.contains(&rule.as_ref()), "{}", rule);
        if depth > follow.max_depth {
            prop_assert!(rule != "same host");
        }
    }
}
