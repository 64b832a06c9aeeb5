//! `MapSite` in and out.

use api::crawler::v1 as pb;
use api::job::v1::{deep_crawl, page};
use domain::{PageUrl, follow::Follow};
use mesh::Violations;
use tokio::time::Instant;
use tonic::Status;

use super::{Map, Plan};
use crate::outcome;
use crate::spec::follow;

const DEFAULT_LIMIT: i32 = 5_000;
const MAX_LIMIT: i32 = 10_000;
const MAX_PATTERNS: usize = 100;
/// Characters of a link's text that are told.
const MAX_TEXT: usize = 200;
/// Bytes of URLs in one answer.
const MAX_BYTES: usize = 3 << 20;

/// Reads a request.
pub(crate) fn plan(request: &pb::MapSiteRequest, deadline: Instant) -> Result<Plan, Status> {
    let mut wrong = Violations::new();
    let start =
        PageUrl::parse(&request.url).map_err(|error| wrong.add("url", error.reason(), error.to_string()));
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        wrong.add("limit", "OUT_OF_RANGE", format!("must be from 1 to {MAX_LIMIT}"));
    }
    let unknown = "is not a known value";
    let scope = deep_crawl::Scope::try_from(request.scope);
    if scope.is_err() {
        wrong.add("scope", "UNKNOWN_VALUE", unknown);
    }
    let sitemaps = deep_crawl::Sitemaps::try_from(request.sitemaps);
    if sitemaps.is_err() {
        wrong.add("sitemaps", "UNKNOWN_VALUE", unknown);
    }
    let patterns = [("include", &request.include), ("exclude", &request.exclude)];
    let [include, exclude] = patterns.map(|(field, list)| {
        if list.len() > MAX_PATTERNS {
            wrong.add(field, "TOO_MANY", format!("has {} items, more than {MAX_PATTERNS}", list.len()));
            return Vec::new();
        }
        let read = follow::patterns(list);
        if read.len() < list.len() {
            wrong.add(field, "REQUIRED", "each must have a `glob` or a `regex`");
        }
        for (index, pattern) in read.iter().enumerate() {
            if let Err(error) = pattern.check() {
                wrong.add(format!("{field}[{index}]"), "INVALID_PATTERN", error.to_string());
            }
        }
        read
    });
    wrong.into_result()?;
    let reach = follow::reach(scope.unwrap_or(deep_crawl::Scope::Host));
    let settings = Follow { reach, include, exclude, ..Follow::default() };
    // Each pattern was checked; together they may still take too much memory.
    let rules = settings.rules().map_err(|(field, _, error)| refusal(field, &error.to_string()))?;
    let start = start.map_err(|()| refusal("url", "is not a URL"))?;
    let sitemaps = sitemaps.unwrap_or(deep_crawl::Sitemaps::Include);
    Ok(Plan {
        start,
        rules,
        limit: usize::try_from(limit).unwrap_or(1),
        links: sitemaps != deep_crawl::Sitemaps::Only,
        sitemaps: sitemaps != deep_crawl::Sitemaps::Skip,
        deadline,
    })
}

fn refusal(field: &str, description: &str) -> Status {
    let mut wrong = Violations::new();
    wrong.add(field, "INVALID_PATTERN", description);
    wrong.into_result().err().unwrap_or_else(|| Status::invalid_argument(field))
}

/// Shows a map, as far as it fits into an answer.
pub(crate) fn reply(map: Map) -> pb::MapSiteResponse {
    let sources = map.files.iter().map(|file| pb::map_site_response::Source {
        url: file.url.to_string(),
        kind: file.kind.into(),
        verdict: file.judgement.verdict.map_or(page::Verdict::Unspecified, outcome::verdict).into(),
        detail: file.judgement.detail.to_string(),
        http_status: file.http_status.map(i32::from),
        urls: i32::try_from(file.urls).unwrap_or(i32::MAX),
    });
    let (sources, all) = (sources.collect::<Vec<_>>(), map.places.len());
    let mut bytes = 0;
    let urls: Vec<_> = map
        .places
        .into_iter()
        .map(|place| pb::map_site_response::Url {
            url: place.url.to_string(),
            text: place.text.chars().take(MAX_TEXT).collect(),
            lastmod: place.lastmod.unwrap_or_default(),
            sources: place.files.iter().map(|file| i32::try_from(*file).unwrap_or(i32::MAX)).collect(),
        })
        .take_while(|url| {
            bytes += prost::Message::encoded_len(url) + 8;
            bytes <= MAX_BYTES
        })
        .collect();
    let truncated = map.truncated || urls.len() < all;
    pb::MapSiteResponse { urls, sources, refused: map.refused.into_iter().collect(), truncated }
}
