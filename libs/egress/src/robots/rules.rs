//! The rules of one robots.txt file that concern us (RFC 9309, section 2.2). No I/O.
//!
//! Promises: any bytes are a file; what does not read as a rule is none. Of a file no more than 500 KiB are read, and
//! of the line at that limit nothing.

use std::time::Duration;

use domain::PageUrl;
use robotxt::Robots;
use url::{Position, Url};

use super::config::is_token;

/// What a rule takes in memory beside its text: itself, and the least that is allocated for a text.
const RULE_BYTES: usize = 64;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The rules for us of one file.
#[derive(Debug)]
pub(super) struct Rules {
    robots: Robots,
    /// Rules with a `*`, which are looked for all along a path.
    wildcards: usize,
}

impl Rules {
    /// Reads a file. `product` is our product token. Tens of milliseconds for a hostile file.
    pub(super) fn parse(mut file: Vec<u8>, product: &str) -> Self {
        blank_versions(&mut file, product);
        let robots = Robots::parse(&file, product);
        let wildcards = robots.rules().iter().filter(|rule| rule.pattern().contains('*')).count();
        Self { robots, wildcards }
    }

    /// Whether there is nothing for us in it.
    pub(super) fn is_empty(&self) -> bool {
        self.robots.always() == Some(true) && self.crawl_delay().is_none()
    }

    /// Whether the page may be fetched: by the longest rule that matches, and if two are as long, by the one that allows.
    pub(super) fn allow(&self, page: &PageUrl) -> bool {
        self.robots.is_url_allowed(page.as_url())
    }

    /// The bytes that [`Self::allow`] compares at most, about.
    pub(super) fn work(&self, page: &PageUrl) -> usize {
        let path = page.as_url()[Position::BeforePath..Position::AfterQuery].len();
        self.robots.rules().len() + self.wildcards.saturating_mul(path)
    }

    /// The pause between two fetches that is asked for.
    pub(super) const fn crawl_delay(&self) -> Option<Duration> {
        self.robots.crawl_delay()
    }

    /// The memory that this takes, about and rather too much.
    pub(super) fn bytes(&self) -> usize {
        let rules = self.robots.rules().iter().map(|rule| RULE_BYTES + rule.pattern().len());
        let sitemaps = self.robots.sitemaps().iter();
        let sitemaps = sitemaps.map(|url| size_of::<Url>() + RULE_BYTES + url.as_str().len());
        rules.chain(sitemaps).sum()
    }
}

/// Blanks what follows our product token in `User-agent: crawlmesh/1.0 (…)`.
///
/// Site owners copy the name from their logs. RFC 9309 knows no versions there and the parser compares whole values,
/// so that a group that means us would not reach us. The length stays, since the parser counts bytes.
fn blank_versions(file: &mut [u8], product: &str) {
    for line in file.split_mut(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (key, value) = line.split_at_mut(colon + 1);
        let key = key.strip_prefix(BOM).unwrap_or(key);
        if !key[..key.len() - 1].trim_ascii().eq_ignore_ascii_case(b"user-agent") {
            continue;
        }
        let start = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let end = start + product.len();
        let named = value.get(start..end).is_some_and(|name| name.eq_ignore_ascii_case(product.as_bytes()));
        if named && value.get(end).is_some_and(|next| !is_token(*next)) {
            value[end..].fill(b' ');
        }
    }
}
