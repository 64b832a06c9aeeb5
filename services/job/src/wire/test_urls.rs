//! The dry run: what the rules of a crawl say to URLs, without crawling.

use std::collections::HashMap;

use api::job::v1::{self as pb, test_urls_response::Result as Line};
use domain::{
    PageUrl,
    follow::{Candidate, Decision},
};
use mesh::Violations;
use tonic::Status;

use super::{Rules, deep_crawl};

const MAX_URLS: usize = 1000;

/// Answers `TestUrlsRequest`.
pub(crate) fn test_urls(request: pb::TestUrlsRequest, rules: &Rules) -> Result<pb::TestUrlsResponse, Status> {
    let mut violations = Violations::new();
    let seed = PageUrl::parse(&request.seed)
        .map_err(|error| violations.add("seed", error.reason(), error.to_string()))
        .ok();
    if request.urls.is_empty() {
        violations.add("urls", "REQUIRED", "is required");
    }
    if request.urls.len() > MAX_URLS {
        let description = format!("has {} URLs, more than {MAX_URLS}", request.urls.len());
        violations.add("urls", "TOO_MANY_URLS", description);
    }
    let message = request.deep_crawl.unwrap_or_default();
    let follow = deep_crawl::read("deep_crawl", message, rules.max_pages, &mut violations);
    let compiled = follow.rules().map_err(|(list, index, error)| {
        // Named already, unless it is the list as a whole.
        if violations.is_empty() {
            violations.add(format!("deep_crawl.{list}[{index}]"), "INVALID_PATTERN", error.to_string());
        }
    });
    violations.into_result()?;
    let (Some(seed), Ok(compiled)) = (seed, compiled) else { return Ok(pb::TestUrlsResponse::default()) };
    let mut known = HashMap::from([(seed.normal_key(), "the seed".to_owned())]);
    let test = |url: String| {
        let Ok(parsed) = PageUrl::parse(&url).map(|url| url.cleaned()) else {
            return Line { url, rule: "invalid".to_owned(), ..Line::default() };
        };
        let canonical_url = parsed.to_string();
        let line = Line { url, canonical_url, ..Line::default() };
        if let Some(first) = known.get(&parsed.normal_key()) {
            return Line { rule: "known".to_owned(), same_as: first.clone(), ..line };
        }
        match compiled.judge(&seed, Candidate { url: &parsed, text: "", depth: 1, age_days: None }) {
            Decision::In { rule, score } => {
                known.insert(parsed.normal_key(), line.url.clone());
                Line { admitted: true, rule: rule.into_owned(), score, ..line }
            }
            Decision::Out { rule } => Line { rule: rule.into_owned(), ..line },
        }
    };
    Ok(pb::TestUrlsResponse { results: request.urls.into_iter().map(test).collect() })
}
