//! What pages of a job that follows links led to. No I/O.

use std::collections::BTreeMap;

use domain::PageUrl;
use serde::{Deserialize, Serialize};

/// Rules that a job counts apart; what more there are is counted together.
const MAX_RULES: usize = 300;
const OTHER_RULES: &str = "other rules";

/// A key of 16 bytes: of a URL, or of a text.
pub(crate) type Key = [u8; 16];

/// What a line of the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A page.
    Page,
    /// The robots.txt file of a host, read for its sitemaps.
    RobotsFile,
    /// A sitemap.
    Sitemap,
}

impl Kind {
    /// The word for it in tables.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::RobotsFile => "robots_file",
            Self::Sitemap => "sitemap",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = domain::lane::UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Page, Self::RobotsFile, Self::Sitemap]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| domain::lane::UnknownWord(text.to_owned(), "Kind"))
    }
}

/// What one page led to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Discovery {
    /// The links that the rules let in, in the order of the page, each once.
    pub(crate) links: Vec<Found>,
    /// Links that they kept out, by rule.
    pub(crate) refused: BTreeMap<String, i64>,
    /// Links that were not looked at.
    pub(crate) dropped: i64,
    /// The URL that stands for the seed.
    pub(crate) seed: Option<String>,
    /// Keys under which no other page of the job is kept.
    pub(crate) identities: Vec<Key>,
    /// Key of the text, under which no other page is kept either.
    pub(crate) text_key: Option<Key>,
    /// SimHash of the text.
    pub(crate) simhash: Option<u64>,
}

/// A link that the rules let in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) url: PageUrl,
    pub(crate) key: Key,
    pub(crate) rule: String,
    pub(crate) score: Option<f64>,
    pub(crate) kind: Kind,
}

/// What became of the links of a whole job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Discovered {
    /// Links that are not followed, by rule.
    pub(crate) refused: BTreeMap<String, i64>,
    /// Links that were not looked at.
    pub(crate) dropped: i64,
    /// Pages of the ledger that are no pages: robots.txt files and sitemaps.
    pub(crate) sources: i64,
    /// Those of them that were read. They are successes without a document.
    #[serde(default)]
    pub(crate) read: i64,
}

impl Discovered {
    /// Counts links that are not followed.
    pub(crate) fn refuse(&mut self, rule: &str, links: i64) {
        if links <= 0 {
            return;
        }
        let known = self.refused.contains_key(rule) || self.refused.len() < MAX_RULES;
        let rule = if known { rule } else { OTHER_RULES };
        *self.refused.entry(rule.to_owned()).or_default() += links;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_counted_in_a_bounded_map() {
        let mut discovered = Discovered::default();
        for n in 0..1000 {
            discovered.refuse(&format!("rule {n}"), 2);
        }
        discovered.refuse("rule 1", 1);
        discovered.refuse("nothing", 0);
        assert_eq!(discovered.refused.len(), MAX_RULES + 1);
        assert_eq!(discovered.refused["rule 1"], 3);
        assert_eq!(discovered.refused.values().sum::<i64>(), 2001);
    }
}
