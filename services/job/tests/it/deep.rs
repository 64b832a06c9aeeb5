//! Crawls that follow links: the budget, the order, what is the same, and what is told about it. The test is the crawler.

use std::collections::HashMap;

use api::{
    crawler::v1::{Discovery, FoundLink, FoundLinks, PageOutcome, PageTask},
    job::v1::{self as pb, deep_crawl::Strategy, job::State, page::Verdict},
};
use domain::{Lane, PageUrl, Scope};
use prost::Message;
use queue::Bus;

use crate::bench::{Bench, eventually, ok, on_both, owned, read, reason, request, state};

const SEED: &str = "https://example.com/";
const ALL: [Scope; 4] = [Scope::JobsRead, Scope::JobsWrite, Scope::CrawlDeep, Scope::CrawlExternal];

fn crawl(deep: pb::DeepCrawl) -> pb::CreateCrawlJobRequest {
    let config = pb::CrawlConfig { deep_crawl: Some(deep), ..Default::default() };
    pb::CreateCrawlJobRequest { urls: owned(&[SEED]), config: Some(config), ..Default::default() }
}

async fn submit(bench: &Bench, deep: pb::DeepCrawl) -> pb::Job {
    let ask = request(bench.tenant, &ALL, crawl(deep));
    bench.client().create_crawl_job(ask).await.unwrap().into_inner()
}

/// An outcome with links; a link may say its score.
fn leading(task: &PageTask, links: &[(&str, Option<f64>)]) -> PageOutcome {
    let link = |(path, score): &(&str, Option<f64>)| FoundLink {
        url: format!("{SEED}{path}"),
        score: *score,
        ..Default::default()
    };
    let found = FoundLinks { rules: vec!["same host".into()], links: links.iter().map(link).collect() };
    let key = PageUrl::parse(&task.url).unwrap().normal_key();
    let discovery = Discovery {
        links: zstd::bulk::compress(&found.encode_to_vec(), 3).unwrap(),
        refused: HashMap::from([("other host".to_owned(), 2)]),
        identities: vec![key.to_vec()],
        ..Default::default()
    };
    PageOutcome { discovery: Some(discovery), ..ok(task) }
}

fn path(url: &str) -> &str {
    url.strip_prefix(SEED).unwrap()
}

/// Crawls page by page, so that the order is that of the frontier. Returns the order.
async fn one_by_one(
    bench: &Bench,
    job: &str,
    links: impl Fn(&str) -> Vec<(String, Option<f64>)>,
) -> Vec<String> {
    let mut order = Vec::new();
    while bench.job(job).await.end_time.is_none() {
        let delivery = bench.tasks(Lane::Http, 1).await.remove(0);
        let task = read(&delivery);
        order.push(path(&task.url).to_owned());
        let links = links(path(&task.url));
        let links: Vec<(&str, Option<f64>)> =
            links.iter().map(|(path, score)| (path.as_str(), *score)).collect();
        bench.answer(&leading(&task, &links), &format!("{}:{}", task.page, task.dispatch_sequence)).await;
        delivery.ack().await.unwrap();
        let done = i64::try_from(order.len()).unwrap();
        let settled = |job: &pb::Job| {
            let counts = job.counts.unwrap();
            counts.succeeded + counts.failed + counts.running >= done + counts.running
        };
        eventually(|| bench.job(job), settled).await;
    }
    order
}

/// Every page leads to two more: `1`, `2`, `11`, `12`, `21` …
fn tree(path: &str) -> Vec<(String, Option<f64>)> {
    (1..=2).map(|n| (format!("{path}{n}"), None)).collect()
}

async fn on_both_one_at_a_time<F: Future<Output = ()>>(test: impl Fn(Bench) -> F) {
    crate::bench::with(&[("dispatch.queue_depth", "1")], test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn breadth_first_goes_by_depth_and_stops_at_the_budget() {
    on_both_one_at_a_time(async |bench: Bench| {
        let deep = pb::DeepCrawl { max_depth: Some(9), max_pages: Some(7), ..Default::default() };
        let job = submit(&bench, deep).await;
        let order = one_by_one(&bench, &job.name, tree).await;
        assert_eq!(order, ["", "1", "2", "11", "12", "21", "22"]);
        let job = bench.ended(&job.name).await;
        let counts = job.counts.unwrap();
        assert_eq!((state(&job), counts.succeeded, counts.skipped), (State::Succeeded, 7, 8));
        assert_eq!(job.verdicts["budget"], 8);
        assert_eq!(job.discovery.as_ref().unwrap().refused["other host"], 14);
        bench.check(&job.name).await;

        let pages = bench.pages(&job.name).await;
        let page = pages.iter().find(|page| page.url.ends_with("/12")).unwrap();
        let parent = pages.iter().find(|page| page.url.ends_with("/1")).unwrap();
        assert_eq!((page.depth, page.rule.as_str(), parent.new_links), (2, "same host", 2));
        assert_eq!((&page.found_on, &page.found_on_url), (&parent.name, &parent.url));
        assert!(page.found_time.is_some() && page.waited.is_some());
        assert_eq!((pages[0].depth, pages[0].rule.as_str(), pages[0].found_on.as_str()), (0, "seed", ""));
        let over = pages.iter().find(|page| page.verdict() == Verdict::Budget).unwrap();
        assert_eq!((over.depth, over.detail.as_str()), (3, "max_pages is reached"));
        assert!(over.waited.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_first_lets_deeper_pages_displace_others() {
    on_both_one_at_a_time(async |bench: Bench| {
        let deep = pb::DeepCrawl {
            strategy: Strategy::Dfs.into(),
            max_depth: Some(9),
            max_pages: Some(4),
            ..Default::default()
        };
        let job = submit(&bench, deep).await;
        let order = one_by_one(&bench, &job.name, tree).await;
        assert_eq!(order, ["", "1", "11", "111"]);
        let job = bench.ended(&job.name).await;
        assert_eq!((job.counts.unwrap().succeeded, job.verdicts["budget"]), (4, 5));
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn best_first_takes_the_best_of_all_and_the_lines_are_bounded() {
    let settings = [("dispatch.queue_depth", "1"), ("deep_crawl.budget_lines", "3")];
    crate::bench::with(&settings, async |bench: Bench| {
        let deep = pb::DeepCrawl {
            strategy: Strategy::BestFirst.into(),
            keywords: owned(&["x"]),
            max_depth: Some(9),
            max_pages: Some(4),
            ..Default::default()
        };
        let job = submit(&bench, deep).await;
        let links = |path: &str| match path {
            "" => vec![("a", 0.1), ("b", 0.9), ("c", 0.2), ("d", 0.15)],
            "b" => vec![("e", 0.8), ("f", 0.05), ("g", 0.04)],
            _ => vec![],
        };
        let links = |path: &str| {
            links(path).into_iter().map(|(path, score)| (path.to_owned(), Some(score))).collect()
        };
        let order = one_by_one(&bench, &job.name, links).await;
        assert_eq!(order, ["", "b", "e", "c"], "`e` was found last and is second");
        let job = bench.ended(&job.name).await;
        assert_eq!((job.counts.unwrap().succeeded, job.verdicts["budget"]), (4, 3));
        assert_eq!(job.discovery.as_ref().unwrap().refused["budget"], 1, "counted, but no line");
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cycles_end_and_spellings_are_one_page() {
    on_both(async |bench: Bench| {
        let job = submit(&bench, pb::DeepCrawl::default()).await;
        let round = |links: &'static [&'static str]| {
            move |task: &PageTask| leading(task, &links.iter().map(|link| (*link, None)).collect::<Vec<_>>())
        };
        bench.crawl(Lane::Http, 1, round(&["a", "a/", "a?utm_source=x", "", "b"])).await;
        bench.crawl(Lane::Http, 2, round(&["", "a", "b"])).await;
        let job = bench.ended(&job.name).await;
        assert_eq!(job.counts.unwrap().found, 3);
        assert_eq!(job.discovery.as_ref().unwrap().refused["known"], 7);
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_page_under_another_address_is_a_duplicate() {
    on_both(async |bench: Bench| {
        let deep = pb::DeepCrawl { near_duplicates: true, ..Default::default() };
        let job = submit(&bench, deep).await;
        let links = ["first", "canonical", "text", "near", "other", "failed"].map(|path| (path, None));
        bench.crawl(Lane::Http, 1, |task| leading(task, &links)).await;
        let key = PageUrl::parse(&format!("{SEED}first")).unwrap().normal_key().to_vec();
        // `first` goes first: nobody else is settled before it.
        let tasks = bench.tasks(Lane::Http, 6).await;
        let mut later = Vec::new();
        for delivery in tasks {
            let task = read(&delivery);
            let mut outcome = leading(&task, &[("trap", None)]);
            let discovery = outcome.discovery.as_mut().unwrap();
            discovery.text_key = vec![7; 16];
            discovery.simhash = Some(0xff);
            match path(&task.url) {
                "canonical" => discovery.identities.push(key.clone()),
                "text" => {}
                "near" => (discovery.text_key, discovery.simhash) = (vec![8; 16], Some(0xfc)),
                "other" => (discovery.text_key, discovery.simhash) = (vec![9; 16], Some(0xff00)),
                "failed" => {
                    outcome.verdict = Verdict::Soft404.into();
                }
                _ => {
                    discovery.links.clear();
                    bench.answer(&outcome, "first").await;
                    eventually(|| bench.job(&job.name), |job| job.counts.unwrap().succeeded == 2).await;
                    continue;
                }
            }
            later.push((task.page.clone(), outcome));
        }
        for (id, outcome) in &later {
            bench.answer(outcome, id).await;
        }
        let found = |job: &pb::Job| {
            job.counts.unwrap().running == 0 && job.counts.unwrap().pending == 0
                || job.counts.unwrap().found == 8
        };
        eventually(|| bench.job(&job.name), found).await;
        bench.crawl(Lane::Http, 1, ok).await;
        let job = bench.ended(&job.name).await;
        assert_eq!((job.verdicts["ok"], job.verdicts["duplicate"], job.verdicts["soft_404"]), (4, 3, 1));
        let pages = bench.pages(&job.name).await;
        let page = |path: &str| pages.iter().find(|page| page.url == format!("{SEED}{path}")).unwrap();
        let first = &page("first").name;
        assert_eq!(page("canonical").detail, format!("duplicate of {first}"));
        assert_eq!(page("text").detail, format!("duplicate of {first}"));
        assert_eq!(page("near").detail, format!("nearly a duplicate of {first}"));
        assert_eq!(page("text").new_links, 0, "the links of a copy are not followed");
        bench.check(&job.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_needs_scopes_and_bad_settings_are_named() {
    on_both(async |bench: Bench| {
        let refuse = async |scopes: &[Scope], deep: pb::DeepCrawl| {
            let ask = request(bench.tenant, scopes, crawl(deep));
            bench.client().create_crawl_job(ask).await.unwrap_err()
        };
        let any = pb::DeepCrawl { scope: pb::deep_crawl::Scope::Any.into(), ..Default::default() };
        assert_eq!(reason(&refuse(&ALL[..2], pb::DeepCrawl::default()).await), "MISSING_PERMISSION");
        assert_eq!(reason(&refuse(&ALL[..3], any).await), "MISSING_PERMISSION");
        let glob = |text: &str| pb::UrlPattern { pattern: Some(pb::url_pattern::Pattern::Glob(text.into())) };
        let wrong = pb::DeepCrawl {
            max_depth: Some(-1),
            max_pages: Some(0),
            strategy: Strategy::BestFirst.into(),
            include: vec![glob("/a/**"), glob("/[a"), pb::UrlPattern::default()],
            domains: owned(&["example.com", "a/b"]),
            content_types: owned(&["html"]),
            keywords: owned(&[" "]),
            min_score: Some(2.0),
            weights: Some(pb::ScoreWeights { keywords: Some(-1.0), ..Default::default() }),
            sitemaps: 9,
            ..Default::default()
        };
        let wrong = pb::DeepCrawl { keywords: owned(&[" "]), ..wrong };
        let refused = refuse(&ALL, wrong).await;
        let violations = tonic_types::StatusExt::get_details_bad_request(&refused).unwrap().field_violations;
        let mut fields: Vec<&str> = violations
            .iter()
            .map(|violation| violation.field.strip_prefix("config.deep_crawl.").unwrap_or("urls"))
            .collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "content_types[0]",
                "domains[1]",
                "include[1].glob",
                "include[2]",
                "keywords[0]",
                "max_depth",
                "max_pages",
                "max_pages",
                "min_score",
                "sitemaps",
                "weights.keywords"
            ]
        );
    })
    .await;
}

/// Answers every page with five more, whatever happens around it.
async fn work(bus: Bus) {
    let mut puller = bus.pull(Lane::Http);
    loop {
        for delivery in puller.pull(8).await.unwrap_or_default() {
            let task = read(&delivery);
            let links: Vec<String> = (0..5).map(|n| format!("{}{n}", path(&task.url))).collect();
            let links: Vec<(&str, Option<f64>)> = links.iter().map(|link| (link.as_str(), None)).collect();
            let outcome = leading(&task, &links).encode_to_vec();
            bus.publish_outcome(format!("{}:{}", task.page, task.dispatch_sequence), outcome.into())
                .await
                .unwrap();
            let _ = delivery.ack().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_is_exact_with_many_pages_out_at_a_time() {
    on_both(async |bench: Bench| {
        let deep = pb::DeepCrawl { max_depth: Some(50), max_pages: Some(150), ..Default::default() };
        let job = submit(&bench, deep).await;
        let job = tokio::select! {
            job = bench.ended(&job.name) => job,
            () = async { tokio::join!(work(bench.bus.clone()), work(bench.bus.clone())); } => unreachable!("they work for ever"),
        };
        assert_eq!(job.counts.unwrap().succeeded, 150);
        bench.check(&job.name).await;
    })
    .await;
}
