//! What a page of a job that follows links leads to: its links by the job's rules, and the keys under which it is known. Pure.
//!
//! Promises: each address once, in the order of the page; what is packed stays below the limits of the queue, and what does not
//! fit is counted.

use std::collections::{BTreeMap, HashMap, HashSet};

use api::{crawler::v1 as pb, job::v1::page};
use domain::{
    PageUrl,
    canonical::short_hash,
    follow::{Candidate, Decision, Rules, Sitemaps},
};
use extract::Document;
use prost::Message;
use time::OffsetDateTime;
use url::Url;

use crate::{dates, task::Task};

/// Bytes of packed links; an outcome must fit into a message of the queue, 1 MiB by default.
const MAX_PACKED: usize = 512 * 1024;
/// Bytes of links before they are packed; the job service unpacks no more.
const MAX_PLAIN: usize = 8 << 20;
const MAX_RULES: usize = 256;
const OTHER_RULES: &str = "other rules";
/// Words below which two pages with the same text need not be the same page.
const TELLING_WORDS: usize = 25;

/// A link of a page, before it is judged.
pub(crate) struct Lead<'a> {
    pub(crate) url: &'a str,
    pub(crate) text: &'a str,
    /// Whether the page asks crawlers not to follow it.
    pub(crate) nofollow: bool,
    /// Days since its target is known to have changed.
    pub(crate) age_days: Option<f64>,
    pub(crate) kind: page::Kind,
}

/// What a page leads to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Discovery {
    pub(crate) links: pb::FoundLinks,
    pub(crate) refused: BTreeMap<String, i64>,
    /// Links that were not looked at.
    pub(crate) dropped: usize,
    pub(crate) seed: String,
    pub(crate) identities: Vec<[u8; 16]>,
    pub(crate) text_key: Option<[u8; 16]>,
    pub(crate) simhash: Option<u64>,
}

/// What a document leads to.
pub(crate) fn document(
    task: &Task,
    rules: &Rules,
    respect_robots: bool,
    final_url: &Url,
    document: &Document,
    now: OffsetDateTime,
) -> Discovery {
    let answered = PageUrl::try_from(final_url.clone()).unwrap_or_else(|_| task.url.clone());
    // A crawl goes on whatever part of its pages is read.
    let links = document.all_links.as_ref().unwrap_or(&document.links);
    let mut discovery = Discovery {
        identities: identities(task, &answered, document.canonical.as_deref()),
        text_key: text_key(document),
        simhash: rules.follow().near_duplicates.then(|| extract::simhash(&document.text)).flatten(),
        ..Discovery::default()
    };
    // A seed that redirects stands where it leads.
    let seed = if task.depth == 0 { &answered } else { task.seed.as_ref().unwrap_or(&task.url) };
    if seed != &task.url {
        discovery.seed = seed.to_string();
    }
    if rules.follow().sitemaps == Sitemaps::Only {
        discovery.refuse("sitemaps only", links.len());
    } else if task.depth > 0 && !rules.follow().reach.covers(seed, &answered) {
        discovery.refuse("redirected away", links.len());
    } else {
        let page_says =
            respect_robots && document.metadata.get("robots").is_some_and(|words| says(words, "nofollow"));
        let leads = links.iter().map(|link| Lead {
            url: &link.url,
            text: &link.text,
            nofollow: page_says
                || respect_robots && link.rel.as_deref().is_some_and(|words| says(words, "nofollow")),
            age_days: age(rules, &link.url, None, now),
            kind: page::Kind::Page,
        });
        discovery.judge(rules, seed, task.depth + 1, leads);
    }
    discovery
}

/// Days since a page is known to have changed, by what a sitemap says or by its URL, where the rules ask for it.
pub(crate) fn age(rules: &Rules, url: &str, lastmod: Option<&str>, now: OffsetDateTime) -> Option<f64> {
    if rules.follow().weights.freshness <= 0.0 {
        return None;
    }
    let told = lastmod.and_then(|lastmod| dates::age_days(lastmod, now));
    told.or_else(|| dates::age_of_url(url, now))
}

impl Discovery {
    /// Judges links of a page that descends from `seed`; what they lead to has the depth `depth`.
    pub(crate) fn judge<'a>(
        &mut self,
        rules: &Rules,
        seed: &PageUrl,
        depth: u32,
        leads: impl Iterator<Item = Lead<'a>>,
    ) {
        let mut seen = HashSet::new();
        let mut names: HashMap<String, i32> = HashMap::new();
        for lead in leads {
            let Some(url) = PageUrl::parse(lead.url).ok().map(|url| url.cleaned()) else {
                self.refuse("invalid", 1);
                continue;
            };
            if lead.nofollow {
                self.refuse("nofollow", 1);
                continue;
            }
            if !seen.insert(url.normal_key()) {
                continue;
            }
            let (rule, score) = if lead.kind == page::Kind::Page {
                let candidate = Candidate { url: &url, text: lead.text, depth, age_days: lead.age_days };
                match rules.judge(seed, candidate) {
                    Decision::In { rule, score } => (rule, score),
                    Decision::Out { rule } => {
                        self.refuse(&rule, 1);
                        continue;
                    }
                }
            } else {
                ("sitemaps".into(), None)
            };
            let next = i32::try_from(names.len()).unwrap_or(i32::MAX);
            let number = *names.entry(rule.clone().into_owned()).or_insert_with(|| {
                self.links.rules.push(rule.into_owned());
                next
            });
            self.links.links.push(pb::FoundLink {
                url: url.to_string(),
                rule: number,
                score,
                kind: lead.kind.into(),
            });
        }
    }

    pub(crate) fn refuse(&mut self, rule: &str, links: usize) {
        if links == 0 {
            return;
        }
        let known = self.refused.contains_key(rule) || self.refused.len() < MAX_RULES - 1;
        let rule = if known { rule } else { OTHER_RULES };
        *self.refused.entry(rule.to_owned()).or_default() += i64::try_from(links).unwrap_or(i64::MAX);
    }

    /// The message for the ledger.
    pub(crate) fn encode(&self) -> pb::Discovery {
        let (links, dropped) = pack(self.links.clone());
        pb::Discovery {
            links,
            refused: self.refused.clone().into_iter().collect(),
            dropped: i64::try_from(dropped + self.dropped).unwrap_or(i64::MAX),
            seed: self.seed.clone(),
            identities: self.identities.iter().map(|key| key.to_vec()).collect(),
            text_key: self.text_key.map(|key| key.to_vec()).unwrap_or_default(),
            simhash: self.simhash,
        }
    }
}

/// Packs links, leaving out the last ones until the rest fits. Returns how many were left out.
fn pack(mut links: pb::FoundLinks) -> (Vec<u8>, usize) {
    let all = links.links.len();
    while !links.links.is_empty() {
        let plain = links.encode_to_vec();
        if plain.len() <= MAX_PLAIN
            && let Ok(packed) = zstd::bulk::compress(&plain, 3)
            && packed.len() <= MAX_PACKED
        {
            return (packed, all - links.links.len());
        }
        links.links.truncate(links.links.len() / 2);
    }
    (Vec::new(), all)
}

/// Whether a list of words, separated by commas or blanks, has this one. `none` stands for all.
fn says(words: &str, word: &str) -> bool {
    let mut words = words.split([',', ' ', '\t', '\n']);
    words.any(|other| other.eq_ignore_ascii_case(word) || other.eq_ignore_ascii_case("none"))
}

/// The page's own address, the one that answered, and the one that the page calls its own.
fn identities(task: &Task, answered: &PageUrl, canonical: Option<&str>) -> Vec<[u8; 16]> {
    let canonical = canonical.and_then(|text| PageUrl::parse(text).ok()).filter(|canonical| {
        // Sites whose every page calls the home page canonical are mistaken.
        canonical.as_url().path() != "/" || answered.as_url().path() == "/"
    });
    let mut keys = vec![task.url.normal_key(), answered.normal_key()];
    keys.extend(canonical.map(|url| url.normal_key()));
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(*key));
    keys
}

/// Key of the main text of a page, word by word: neither white space nor what surrounds the text makes another key.
pub(crate) fn content_key(document: &Document) -> [u8; 16] {
    let blank = document.text.trim().is_empty();
    let text = if blank { &document.markdown } else { &document.text };
    let mut words = String::with_capacity(text.len() + 16);
    words.push_str("content\n");
    for word in text.split_whitespace() {
        words.push_str(word);
        words.push(' ');
    }
    short_hash(words.as_bytes())
}

fn text_key(document: &Document) -> Option<[u8; 16]> {
    let words = document.text.split_whitespace();
    if words.clone().take(TELLING_WORDS).count() < TELLING_WORDS {
        return None;
    }
    let mut text = format!("text\n{}\n", document.title.as_deref().unwrap_or_default());
    for word in words {
        text.push_str(word);
        text.push(' ');
    }
    Some(short_hash(text.as_bytes()))
}

#[cfg(test)]
mod tests;
