//! The flags of `crawlmesh crawl` that follow links.

use api::job::v1::{
    DeepCrawl, UrlPattern,
    deep_crawl::{Scope, Sitemaps, Strategy},
    url_pattern::Pattern,
};
use clap::Args;

/// Pages of a crawl that follows links and does not say how many.
const MAX_PAGES: usize = 100;

/// How links are followed. Without any of these, only the URLs of the command are fetched.
#[derive(Debug, Args)]
pub(super) struct FollowArgs {
    /// Follows links, so many away from the URLs.
    #[arg(long, value_name = "N")]
    depth: Option<i32>,
    /// Follows links, and fetches so many pages at most. Default 100.
    #[arg(long, value_name = "N")]
    max_pages: Option<i32>,
    /// Follows URLs that match a glob: `/docs/**`. May be given several times; `regex:…` is a regular expression.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Does not follow URLs that match, of the same form.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// How far from the URLs it goes. Default: host.
    #[arg(long, value_enum)]
    scope: Option<ScopeArg>,
    /// In which order pages are fetched. Default: bfs.
    #[arg(long, value_enum)]
    strategy: Option<StrategyArg>,
    /// Words of promising links, for `--strategy best-first`.
    #[arg(long, value_name = "WORD")]
    keyword: Vec<String>,
    /// Whether sitemaps are read. Default: skip.
    #[arg(long, value_enum)]
    sitemaps: Option<SitemapsArg>,
}

/// How far from its seed a crawl goes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ScopeArg {
    /// The same host.
    Host,
    /// The same host and those below it.
    Subdomains,
    /// The same host and folder.
    Path,
    /// Anywhere.
    Any,
}

/// In which order pages are fetched.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum StrategyArg {
    /// By depth.
    Bfs,
    /// The deepest first.
    Dfs,
    /// The most promising first.
    BestFirst,
}

/// Whether sitemaps are read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SitemapsArg {
    /// No.
    Skip,
    /// Beside the links of pages.
    Include,
    /// Instead of them.
    Only,
}

impl FollowArgs {
    /// Whether links are followed.
    pub(super) fn asked(&self) -> bool {
        self.depth.is_some()
            || self.max_pages.is_some()
            || self.scope.is_some()
            || self.strategy.is_some()
            || self.sitemaps.is_some()
            || !(self.include.is_empty() && self.exclude.is_empty() && self.keyword.is_empty())
    }

    /// What to ask for, for a crawl of so many URLs.
    pub(super) fn deep_crawl(&self, urls: usize) -> anyhow::Result<Option<DeepCrawl>> {
        if !self.asked() {
            return Ok(None);
        }
        Ok(Some(DeepCrawl {
            max_depth: self.depth,
            max_pages: self
                .max_pages
                .map_or_else(|| i32::try_from(urls.max(MAX_PAGES)).map(Some), |pages| Ok(Some(pages)))?,
            include: self.include.iter().map(|text| pattern(text)).collect(),
            exclude: self.exclude.iter().map(|text| pattern(text)).collect(),
            keywords: self.keyword.clone(),
            scope: self.scope.map_or(Scope::Unspecified, ScopeArg::proto).into(),
            strategy: self.strategy.map_or(Strategy::Unspecified, StrategyArg::proto).into(),
            sitemaps: self.sitemaps.map_or(Sitemaps::Unspecified, SitemapsArg::proto).into(),
            ..DeepCrawl::default()
        }))
    }
}

fn pattern(text: &str) -> UrlPattern {
    let pattern = match text.strip_prefix("regex:") {
        Some(regex) => Pattern::Regex(regex.to_owned()),
        None => Pattern::Glob(text.to_owned()),
    };
    UrlPattern { pattern: Some(pattern) }
}

impl ScopeArg {
    fn proto(self) -> Scope {
        match self {
            Self::Host => Scope::Host,
            Self::Subdomains => Scope::Subdomains,
            Self::Path => Scope::Path,
            Self::Any => Scope::Any,
        }
    }
}

impl StrategyArg {
    fn proto(self) -> Strategy {
        match self {
            Self::Bfs => Strategy::Bfs,
            Self::Dfs => Strategy::Dfs,
            Self::BestFirst => Strategy::BestFirst,
        }
    }
}

impl SitemapsArg {
    fn proto(self) -> Sitemaps {
        match self {
            Self::Skip => Sitemaps::Skip,
            Self::Include => Sitemaps::Include,
            Self::Only => Sitemaps::Only,
        }
    }
}
