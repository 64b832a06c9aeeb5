//! `DeepCrawl`: read with every violation, and shown with every default filled in.

use api::job::v1::{self as pb, deep_crawl, url_pattern};
use domain::follow::{Follow, Pattern, Reach, Sitemaps, Strategy, Weights};
use mesh::Violations;

const MAX_DEPTH: i32 = 100;
const MAX_PATTERNS: usize = 100;
const MAX_DOMAINS: usize = 100;
const MAX_HOST: usize = 253;
const MAX_TYPES: usize = 50;
const MAX_KEYWORDS: usize = 100;
const MAX_KEYWORD_BYTES: usize = 100;
const MAX_WEIGHT: f64 = 1000.0;

struct Reader<'a> {
    field: &'a str,
    violations: &'a mut Violations,
}

/// Reads how links are followed, from a field. `max_pages` is the most that may be asked for.
pub(super) fn read(
    field: &str,
    message: pb::DeepCrawl,
    max_pages: u32,
    violations: &mut Violations,
) -> Follow {
    let mut reader = Reader { field, violations };
    let default = Follow::default();
    let follow = Follow {
        strategy: reader.strategy(message.strategy),
        max_depth: reader.number("max_depth", message.max_depth, default.max_depth, 0, MAX_DEPTH),
        max_pages: reader.number(
            "max_pages",
            message.max_pages,
            default.max_pages.min(max_pages),
            1,
            i32::try_from(max_pages).unwrap_or(i32::MAX),
        ),
        reach: reader.reach(message.scope),
        include: reader.patterns("include", message.include),
        exclude: reader.patterns("exclude", message.exclude),
        domains: reader.domains("domains", message.domains),
        exclude_domains: reader.domains("exclude_domains", message.exclude_domains),
        content_types: reader.content_types(message.content_types),
        keywords: reader.keywords(message.keywords),
        weights: reader.weights(message.weights.unwrap_or_default()),
        min_score: message.min_score,
        sitemaps: reader.sitemaps(message.sitemaps),
        near_duplicates: message.near_duplicates,
    };
    if follow.min_score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
        reader.add("min_score", "OUT_OF_RANGE", "must be from 0 to 1");
    }
    let Weights { keywords, path_depth, freshness, .. } = follow.weights;
    let blind = (follow.keywords.is_empty() || keywords == 0.0) && path_depth == 0.0 && freshness == 0.0;
    if follow.strategy == Strategy::BestFirst && blind {
        reader.add("strategy", "CONFLICT", "`BEST_FIRST` needs `keywords` or a weight");
    }
    follow
}

impl Reader<'_> {
    fn add(&mut self, field: &str, reason: &'static str, description: impl Into<String>) {
        self.violations.add(format!("{}.{field}", self.field), reason, description);
    }

    fn unknown(&mut self, field: &str) {
        self.add(field, "UNKNOWN_VALUE", "is not a known value");
    }

    fn strategy(&mut self, number: i32) -> Strategy {
        use deep_crawl::Strategy as Pb;
        match Pb::try_from(number) {
            Ok(Pb::Unspecified | Pb::Bfs) => return Strategy::Bfs,
            Ok(Pb::Dfs) => return Strategy::Dfs,
            Ok(Pb::BestFirst) => return Strategy::BestFirst,
            Err(_) => self.unknown("strategy"),
        }
        Strategy::Bfs
    }

    fn reach(&mut self, number: i32) -> Reach {
        use deep_crawl::Scope as Pb;
        match Pb::try_from(number) {
            Ok(Pb::Unspecified | Pb::Host) => return Reach::Host,
            Ok(Pb::Subdomains) => return Reach::Subdomains,
            Ok(Pb::Path) => return Reach::Path,
            Ok(Pb::Any) => return Reach::Any,
            Err(_) => self.unknown("scope"),
        }
        Reach::Host
    }

    fn sitemaps(&mut self, number: i32) -> Sitemaps {
        use deep_crawl::Sitemaps as Pb;
        match Pb::try_from(number) {
            Ok(Pb::Unspecified | Pb::Skip) => return Sitemaps::Skip,
            Ok(Pb::Include) => return Sitemaps::Include,
            Ok(Pb::Only) => return Sitemaps::Only,
            Err(_) => self.unknown("sitemaps"),
        }
        Sitemaps::Skip
    }

    fn number(&mut self, field: &str, value: Option<i32>, default: u32, least: i32, most: i32) -> u32 {
        let Some(value) = value else { return default };
        if !(least..=most).contains(&value) {
            self.add(field, "OUT_OF_RANGE", format!("must be from {least} to {most}"));
        }
        u32::try_from(value).unwrap_or(default)
    }

    /// Whether a list is short enough.
    fn fits(&mut self, field: &str, items: usize, most: usize) -> bool {
        if items > most {
            self.add(field, "TOO_MANY", format!("has {items} items, more than {most}"));
        }
        items <= most
    }

    fn patterns(&mut self, field: &str, messages: Vec<pb::UrlPattern>) -> Vec<Pattern> {
        if !self.fits(field, messages.len(), MAX_PATTERNS) {
            return Vec::new();
        }
        let mut patterns = Vec::with_capacity(messages.len());
        for (index, message) in messages.into_iter().enumerate() {
            let (kind, pattern) = match message.pattern {
                Some(url_pattern::Pattern::Glob(text)) => ("glob", Pattern::Glob(text)),
                Some(url_pattern::Pattern::Regex(text)) => ("regex", Pattern::Regex(text)),
                None => {
                    self.add(&format!("{field}[{index}]"), "REQUIRED", "must have a `glob` or a `regex`");
                    continue;
                }
            };
            if let Err(error) = pattern.check() {
                self.add(&format!("{field}[{index}].{kind}"), "INVALID_PATTERN", error.to_string());
            }
            patterns.push(pattern);
        }
        patterns
    }

    fn domains(&mut self, field: &str, names: Vec<String>) -> Vec<String> {
        if !self.fits(field, names.len(), MAX_DOMAINS) {
            return Vec::new();
        }
        let mut domains = Vec::with_capacity(names.len());
        for (index, name) in names.into_iter().enumerate() {
            // As the URL parser spells hosts: lower case, punycode.
            match domain::PageUrl::parse(&format!("http://{}/", name.trim())) {
                Ok(url)
                    if url.as_str().len() <= MAX_HOST + 8
                        && url.as_url().port().is_none()
                        && url.as_url().path() == "/" =>
                {
                    domains.push(url.host().to_owned());
                }
                _ => self.add(&format!("{field}[{index}]"), "INVALID_HOST", "is not a host name"),
            }
        }
        domains
    }

    fn content_types(&mut self, types: Vec<String>) -> Vec<String> {
        if !self.fits("content_types", types.len(), MAX_TYPES) {
            return Vec::new();
        }
        let token = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte))
        };
        for (index, name) in types.iter().enumerate() {
            let valid = name.len() <= 255
                && name.split_once('/').is_some_and(|(family, kind)| token(family) && token(kind));
            if !valid {
                self.add(
                    &format!("content_types[{index}]"),
                    "INVALID_CONTENT_TYPE",
                    "is not of the form `text/html` or `image/*`",
                );
            }
        }
        types.into_iter().map(|name| name.to_ascii_lowercase()).collect()
    }

    fn keywords(&mut self, words: Vec<String>) -> Vec<String> {
        if !self.fits("keywords", words.len(), MAX_KEYWORDS) {
            return Vec::new();
        }
        for (index, word) in words.iter().enumerate() {
            let field = format!("keywords[{index}]");
            if word.trim().is_empty() {
                self.add(&field, "REQUIRED", "is required");
            } else if word.len() > MAX_KEYWORD_BYTES {
                self.add(&field, "TOO_LONG", format!("is longer than {MAX_KEYWORD_BYTES} bytes"));
            }
        }
        words.into_iter().map(|word| word.trim().to_owned()).collect()
    }

    fn weights(&mut self, message: pb::ScoreWeights) -> Weights {
        let default = Weights::default();
        let mut weight = |field: &str, value: Option<f64>, default: f64| {
            let value = value.unwrap_or(default);
            if !(0.0..=MAX_WEIGHT).contains(&value) {
                self.add(
                    &format!("weights.{field}"),
                    "OUT_OF_RANGE",
                    format!("must be from 0 to {MAX_WEIGHT}"),
                );
                return default;
            }
            value
        };
        let keywords = weight("keywords", message.keywords, default.keywords);
        let path_depth = weight("path_depth", message.path_depth, default.path_depth);
        let freshness = weight("freshness", message.freshness, default.freshness);
        let best_path_depth = self.number(
            "weights.best_path_depth",
            message.best_path_depth,
            default.best_path_depth,
            0,
            MAX_DEPTH,
        );
        Weights { keywords, path_depth, best_path_depth, freshness }
    }
}

/// Shows how links are followed.
pub(super) fn write(follow: &Follow) -> pb::DeepCrawl {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let patterns = |patterns: &[Pattern]| patterns.iter().map(pattern).collect();
    pb::DeepCrawl {
        strategy: match follow.strategy {
            Strategy::Bfs => deep_crawl::Strategy::Bfs,
            Strategy::Dfs => deep_crawl::Strategy::Dfs,
            Strategy::BestFirst => deep_crawl::Strategy::BestFirst,
        }
        .into(),
        max_depth: Some(number(follow.max_depth)),
        max_pages: Some(number(follow.max_pages)),
        scope: match follow.reach {
            Reach::Host => deep_crawl::Scope::Host,
            Reach::Subdomains => deep_crawl::Scope::Subdomains,
            Reach::Path => deep_crawl::Scope::Path,
            Reach::Any => deep_crawl::Scope::Any,
        }
        .into(),
        include: patterns(&follow.include),
        exclude: patterns(&follow.exclude),
        domains: follow.domains.clone(),
        exclude_domains: follow.exclude_domains.clone(),
        content_types: follow.content_types.clone(),
        keywords: follow.keywords.clone(),
        weights: Some(pb::ScoreWeights {
            keywords: Some(follow.weights.keywords),
            path_depth: Some(follow.weights.path_depth),
            best_path_depth: Some(number(follow.weights.best_path_depth)),
            freshness: Some(follow.weights.freshness),
        }),
        min_score: follow.min_score,
        sitemaps: match follow.sitemaps {
            Sitemaps::Skip => deep_crawl::Sitemaps::Skip,
            Sitemaps::Include => deep_crawl::Sitemaps::Include,
            Sitemaps::Only => deep_crawl::Sitemaps::Only,
        }
        .into(),
        near_duplicates: follow.near_duplicates,
    }
}

fn pattern(pattern: &Pattern) -> pb::UrlPattern {
    let pattern = match pattern {
        Pattern::Glob(text) => url_pattern::Pattern::Glob(text.clone()),
        Pattern::Regex(text) => url_pattern::Pattern::Regex(text.clone()),
    };
    pb::UrlPattern { pattern: Some(pattern) }
}
