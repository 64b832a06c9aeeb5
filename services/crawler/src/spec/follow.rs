//! How a job follows links, as the job service tells it with every default filled in.

use api::job::v1::{self as pb, deep_crawl, url_pattern};
use domain::follow::{Follow, Pattern, Reach, Rules, Sitemaps, Strategy, Weights};

/// Reads the rules of a job. `None`: the job service would never have accepted them.
pub(super) fn read(message: &pb::DeepCrawl) -> Option<Rules> {
    let number = |value: Option<i32>, default: u32| {
        value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default)
    };
    let default = Follow::default();
    let weights = message.weights.unwrap_or_default();
    let follow = Follow {
        strategy: match message.strategy() {
            deep_crawl::Strategy::Unspecified | deep_crawl::Strategy::Bfs => Strategy::Bfs,
            deep_crawl::Strategy::Dfs => Strategy::Dfs,
            deep_crawl::Strategy::BestFirst => Strategy::BestFirst,
        },
        max_depth: number(message.max_depth, default.max_depth),
        max_pages: number(message.max_pages, default.max_pages),
        reach: reach(message.scope()),
        include: patterns(&message.include),
        exclude: patterns(&message.exclude),
        domains: message.domains.clone(),
        exclude_domains: message.exclude_domains.clone(),
        content_types: message.content_types.clone(),
        keywords: message.keywords.clone(),
        weights: Weights {
            keywords: weights.keywords.unwrap_or(default.weights.keywords),
            path_depth: weights.path_depth.unwrap_or(default.weights.path_depth),
            best_path_depth: number(weights.best_path_depth, default.weights.best_path_depth),
            freshness: weights.freshness.unwrap_or(default.weights.freshness),
        },
        min_score: message.min_score,
        sitemaps: match message.sitemaps() {
            deep_crawl::Sitemaps::Unspecified | deep_crawl::Sitemaps::Skip => Sitemaps::Skip,
            deep_crawl::Sitemaps::Include => Sitemaps::Include,
            deep_crawl::Sitemaps::Only => Sitemaps::Only,
        },
        near_duplicates: message.near_duplicates,
    };
    follow.rules().ok()
}

/// Reads patterns; those that are none are left out.
pub(crate) fn patterns(patterns: &[pb::UrlPattern]) -> Vec<Pattern> {
    let pattern = |pattern: &pb::UrlPattern| {
        Some(match pattern.pattern.clone()? {
            url_pattern::Pattern::Glob(text) => Pattern::Glob(text),
            url_pattern::Pattern::Regex(text) => Pattern::Regex(text),
        })
    };
    patterns.iter().filter_map(pattern).collect()
}

/// Reads how far from its seed a crawl goes.
pub(crate) fn reach(scope: deep_crawl::Scope) -> Reach {
    match scope {
        deep_crawl::Scope::Unspecified | deep_crawl::Scope::Host => Reach::Host,
        deep_crawl::Scope::Subdomains => Reach::Subdomains,
        deep_crawl::Scope::Path => Reach::Path,
        deep_crawl::Scope::Any => Reach::Any,
    }
}
