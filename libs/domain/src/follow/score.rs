//! What a link promises: a weighted mean of what its URL, its text and its date say.

use serde::{Deserialize, Serialize};

use super::Candidate;

/// Days after which a page is half as fresh.
const HALF_LIFE_DAYS: f64 = 180.0;
/// Freshness of a page whose date is not known.
const UNKNOWN_FRESHNESS: f64 = 0.5;

/// What counts how much; 0: not at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Share of the keywords that stand in the URL or the text. Without keywords it has no weight.
    pub keywords: f64,
    /// Nearness of the number of path segments to `best_path_depth`.
    pub path_depth: f64,
    /// The number of path segments that promises most.
    pub best_path_depth: u32,
    /// Youth of the page, where it is known.
    pub freshness: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { keywords: 1.0, path_depth: 0.0, best_path_depth: 2, freshness: 0.0 }
    }
}

/// The score of a link, 0 to 1. `keywords` are in lower case. None if nothing has weight.
pub(super) fn score(weights: &Weights, keywords: &[String], link: Candidate<'_>) -> Option<f64> {
    let mut parts: Vec<(f64, f64)> = Vec::with_capacity(3);
    if !keywords.is_empty() && weights.keywords > 0.0 {
        parts.push((weights.keywords, keyword_share(keywords, link)));
    }
    if weights.path_depth > 0.0 {
        let path = link.url.as_url().path();
        let segments = path.split('/').filter(|segment| !segment.is_empty()).count();
        let segments = u32::try_from(segments).unwrap_or(u32::MAX);
        parts.push((weights.path_depth, 1.0 / (1.0 + f64::from(segments.abs_diff(weights.best_path_depth)))));
    }
    if weights.freshness > 0.0 {
        let freshness = |age: f64| 0.5_f64.powf(age.max(0.0) / HALF_LIFE_DAYS);
        parts.push((weights.freshness, link.age_days.map_or(UNKNOWN_FRESHNESS, freshness)));
    }
    let sum: f64 = parts.iter().map(|(weight, _)| weight).sum();
    (sum > 0.0).then(|| parts.iter().map(|(weight, part)| weight * part).sum::<f64>() / sum)
}

fn keyword_share(keywords: &[String], link: Candidate<'_>) -> f64 {
    let url = link.url.as_str().to_lowercase();
    let text = link.text.to_lowercase();
    let found = keywords.iter().filter(|word| url.contains(*word) || text.contains(*word)).count();
    #[expect(clippy::cast_precision_loss, reason = "there are at most a hundred keywords")]
    let share = found as f64 / keywords.len() as f64;
    share
}
