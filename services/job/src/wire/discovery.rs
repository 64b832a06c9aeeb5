//! What a page led to, out of an outcome. Nothing is believed: bounds are enforced, and what cannot be read is counted as dropped.

use std::{collections::HashSet, io::Read};

use api::{crawler::v1 as pb, job::v1::page};
use domain::PageUrl;
use prost::Message;

use crate::discovery::{Discovery, Found, Key, Kind};

/// Bytes of links, unpacked.
const MAX_UNPACKED: u64 = 8 << 20;
const MAX_LINKS: usize = 50_000;
const MAX_RULES: usize = 256;
const MAX_RULE: usize = 1100;
const MAX_IDENTITIES: usize = 4;

/// Reads what a page led to.
pub(super) fn read(message: pb::Discovery) -> Discovery {
    let refused = message.refused.into_iter().take(MAX_RULES).filter(|(_, links)| *links > 0);
    let mut discovery = Discovery {
        refused: refused.map(|(rule, links)| (short(&rule), links)).collect(),
        dropped: message.dropped.max(0),
        seed: PageUrl::parse(&message.seed).ok().map(|url| url.as_str().to_owned()),
        identities: message.identities.iter().filter_map(|key| self::key(key)).take(MAX_IDENTITIES).collect(),
        text_key: key(&message.text_key),
        simhash: message.simhash,
        ..Discovery::default()
    };
    if let Some(found) = unpack(&message.links) {
        let rules: Vec<String> = found.rules.iter().take(MAX_RULES).map(|rule| short(rule)).collect();
        let (mut seen, links) = (HashSet::new(), found.links.into_iter().take(MAX_LINKS));
        for link in links {
            match read_link(link, &rules) {
                Some(link) if seen.insert(link.key) => discovery.links.push(link),
                Some(_) => {}
                None => discovery.dropped += 1,
            }
        }
    }
    discovery
}

fn unpack(bytes: &[u8]) -> Option<pb::FoundLinks> {
    if bytes.is_empty() {
        return None;
    }
    let mut unpacked = Vec::new();
    let reader = zstd::stream::read::Decoder::new(bytes).ok()?;
    reader.take(MAX_UNPACKED).read_to_end(&mut unpacked).ok()?;
    pb::FoundLinks::decode(unpacked.as_slice()).ok()
}

fn read_link(link: pb::FoundLink, rules: &[String]) -> Option<Found> {
    let url = PageUrl::parse(&link.url).ok()?;
    let kind = match page::Kind::try_from(link.kind).ok()? {
        page::Kind::Unspecified | page::Kind::Page => Kind::Page,
        page::Kind::RobotsFile => Kind::RobotsFile,
        page::Kind::Sitemap => Kind::Sitemap,
    };
    let rule = usize::try_from(link.rule).ok().and_then(|rule| rules.get(rule))?.clone();
    let score = link.score.filter(|score| score.is_finite());
    Some(Found { key: url.normal_key(), url, rule, score, kind })
}

fn key(bytes: &[u8]) -> Option<Key> {
    bytes.try_into().ok()
}

/// Postgres stores no NUL.
fn short(rule: &str) -> String {
    rule.chars().filter(|c| *c != '\0').take(MAX_RULE).collect()
}
