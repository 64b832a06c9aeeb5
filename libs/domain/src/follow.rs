//! Which links of a page a crawl follows, and how much each promises. Pure; the same rules in the crawler that applies them, in
//! the job service that checks them at submit, and in the dry run.
//!
//! Promises: time linear in the length of the URL (patterns are compiled by `regex`); the answer names the rule; the number of
//! different names is bounded by the settings.

mod kind;
mod pattern;
mod reach;
mod score;

use std::borrow::Cow;

use regex::RegexSet;
use serde::{Deserialize, Serialize};

use crate::PageUrl;
pub use kind::allows;
pub use pattern::{Pattern, PatternError};
pub use reach::Reach;
pub use score::Weights;

/// Longest URL that is followed; the same as what sitemaps and servers agree on.
pub const MAX_FOUND_URL_BYTES: usize = 2048;
/// Path segments beyond which a URL is taken for a trap.
const MAX_SEGMENTS: usize = 40;
/// How often one segment may stand in a path; beyond, relative links of the site lead in a circle.
const MAX_REPEATS: usize = 3;

/// In which order pages are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// By depth.
    Bfs,
    /// The deepest first.
    Dfs,
    /// The most promising first.
    BestFirst,
}

/// Whether the sitemaps of the seeds' hosts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sitemaps {
    /// No.
    Skip,
    /// Their URLs are pages, too.
    Include,
    /// Their URLs are pages, and links of pages are not followed.
    Only,
}

/// How a job follows links, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Follow {
    /// In which order.
    pub strategy: Strategy,
    /// Links from a seed to the farthest page.
    pub max_depth: u32,
    /// Pages of the job, seeds included.
    pub max_pages: u32,
    /// How far from the seed.
    pub reach: Reach,
    /// If there are any, one of them must match.
    pub include: Vec<Pattern>,
    /// None of them may match.
    pub exclude: Vec<Pattern>,
    /// If there are any, the host must be one of them or below it.
    pub domains: Vec<String>,
    /// The host must be none of them, nor below it.
    pub exclude_domains: Vec<String>,
    /// Content types that are pages, `text/html` or `image/*`. Empty: all that crawlmesh reads.
    pub content_types: Vec<String>,
    /// Words that a promising link has in its URL or its text.
    pub keywords: Vec<String>,
    /// What counts how much.
    pub weights: Weights,
    /// Links that promise less are not followed.
    pub min_score: Option<f64>,
    /// Whether sitemaps are read.
    pub sitemaps: Sitemaps,
    /// Whether pages with nearly the same text as another one are duplicates.
    pub near_duplicates: bool,
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            strategy: Strategy::Bfs,
            max_depth: 3,
            max_pages: 100,
            reach: Reach::Host,
            include: Vec::new(),
            exclude: Vec::new(),
            domains: Vec::new(),
            exclude_domains: Vec::new(),
            content_types: Vec::new(),
            keywords: Vec::new(),
            weights: Weights::default(),
            min_score: None,
            sitemaps: Sitemaps::Skip,
            near_duplicates: false,
        }
    }
}

/// A link that may be followed.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Where it leads, cleaned.
    pub url: &'a PageUrl,
    /// What it says.
    pub text: &'a str,
    /// Depth of the page that it leads to.
    pub depth: u32,
    /// Days since the page is known to have changed.
    pub age_days: Option<f64>,
}

/// What becomes of a link.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It is followed.
    In {
        /// The rule that let it in.
        rule: Cow<'static, str>,
        /// What it promises, 0 to 1; None where nothing was asked about.
        score: Option<f64>,
    },
    /// It is not.
    Out {
        /// The rule that kept it out.
        rule: Cow<'static, str>,
    },
}

/// The rules of a job, ready to be applied.
#[derive(Debug, Clone)]
pub struct Rules {
    follow: Follow,
    include: RegexSet,
    exclude: RegexSet,
    /// The keywords in lower case.
    keywords: Vec<String>,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.follow == other.follow
    }
}

impl Follow {
    /// Makes the rules. Fails with the first pattern that is not one: its list (`include` or `exclude`) and its place in it.
    pub fn rules(&self) -> Result<Rules, (&'static str, usize, PatternError)> {
        let set = |list: &'static str, patterns: &[Pattern]| {
            pattern::compile(patterns).map_err(|(index, error)| (list, index, error))
        };
        Ok(Rules {
            include: set("include", &self.include)?,
            exclude: set("exclude", &self.exclude)?,
            keywords: self.keywords.iter().map(|word| word.to_lowercase()).collect(),
            follow: self.clone(),
        })
    }

    /// The place of a page in the order of its job: lower is earlier. Pages of one place go in the order they were found.
    #[must_use]
    pub fn rank(&self, depth: u32, score: Option<f64>) -> i64 {
        match self.strategy {
            Strategy::Bfs => i64::from(depth),
            Strategy::Dfs => -i64::from(depth),
            // Seeds first: without them there is nothing to choose from.
            Strategy::BestFirst if depth == 0 => i64::from(i32::MIN),
            #[expect(clippy::cast_possible_truncation, reason = "a score is from 0 to 1")]
            Strategy::BestFirst => -((score.unwrap_or(0.0).clamp(0.0, 1.0) * 1e9) as i64),
        }
    }
}

impl Rules {
    /// The settings that these rules are made of.
    #[must_use]
    pub fn follow(&self) -> &Follow {
        &self.follow
    }

    /// Judges a link of a page that descends from `seed`. The first rule that keeps it out is the one that is named.
    #[must_use]
    pub fn judge(&self, seed: &PageUrl, link: Candidate<'_>) -> Decision {
        if let Some(rule) = self.keeps_out(seed, link) {
            return Decision::Out { rule };
        }
        let url = link.url.as_str();
        let included = self.include.matches(url).iter().next();
        let rule = match included {
            Some(index) => Cow::Owned(format!("include {}", self.follow.include[index])),
            None if !self.follow.include.is_empty() => return Decision::Out { rule: "not included".into() },
            None => self.follow.reach.rule().into(),
        };
        let score = score::score(&self.follow.weights, &self.keywords, link);
        if let (Some(least), Some(score)) = (self.follow.min_score, score)
            && score < least
        {
            return Decision::Out { rule: "min_score".into() };
        }
        Decision::In { rule, score }
    }

    /// Whether the content type of an answer is one of those wanted.
    #[must_use]
    pub fn wants(&self, content_type: &str) -> bool {
        allows(&self.follow.content_types, content_type)
    }

    fn keeps_out(&self, seed: &PageUrl, link: Candidate<'_>) -> Option<Cow<'static, str>> {
        let Follow { reach, domains, exclude_domains, content_types, max_depth, .. } = &self.follow;
        if !reach.covers(seed, link.url) {
            return Some(reach.outside().into());
        }
        let below = |names: &[String]| names.iter().any(|name| reach::below(link.url.host(), name));
        if !domains.is_empty() && !below(domains) {
            return Some("not in domains".into());
        }
        if below(exclude_domains) {
            return Some("in exclude_domains".into());
        }
        if let Some(index) = self.exclude.matches(link.url.as_str()).iter().next() {
            return Some(format!("exclude {}", self.follow.exclude[index]).into());
        }
        if !kind::may_be_page(link.url.as_url().path(), content_types) {
            return Some("file type".into());
        }
        if trap(link.url) {
            return Some("trap".into());
        }
        (link.depth > *max_depth).then(|| "max_depth".into())
    }
}

/// Whether a URL looks like one of endlessly many: very long, very deep, or with the same segment over and over.
fn trap(url: &PageUrl) -> bool {
    if url.as_str().len() > MAX_FOUND_URL_BYTES {
        return true;
    }
    let mut segments: Vec<&str> =
        url.as_url().path().split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.len() > MAX_SEGMENTS {
        return true;
    }
    segments.sort_unstable();
    segments.chunk_by(|a, b| a == b).any(|same| same.len() > MAX_REPEATS)
}

#[cfg(test)]
mod tests;
