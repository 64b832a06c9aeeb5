//! `crawler_config.deep_crawl_strategy`: Crawl4AI's strategies, filters and scorers as a deep crawl of ours.
//!
//! What would crawl other pages is refused by name: filters and scorers that read pages, callbacks, thresholds over several scorers.

use api::job::v1::{
    DeepCrawl, ScoreWeights, UrlPattern,
    deep_crawl::{Scope, Strategy},
    url_pattern::Pattern,
};
use mesh::Violations;
use serde_json::{Map, Value};

struct Reader<'a> {
    wrong: &'a mut Violations,
    deep: DeepCrawl,
    /// Weight of the one scorer; None: there is none, or there are several.
    weight: Option<f64>,
}

/// Reads `{"type": "BFSDeepCrawlStrategy", "params": {…}}`.
pub(super) fn read(path: &str, value: &Value, wrong: &mut Violations) -> DeepCrawl {
    let mut reader = Reader { wrong, deep: DeepCrawl::default(), weight: None };
    let Some((name, params)) = reader.typed(path, value) else { return reader.deep };
    let strategy = match name {
        "BFSDeepCrawlStrategy" => Strategy::Bfs,
        "DFSDeepCrawlStrategy" => Strategy::Dfs,
        "BestFirstCrawlingStrategy" => Strategy::BestFirst,
        _ => {
            reader.refuse(&format!("{path}.type"));
            return reader.deep;
        }
    };
    reader.deep.set_strategy(strategy);
    // A subdomain is no external link for Crawl4AI.
    reader.deep.set_scope(Scope::Subdomains);
    let path = format!("{path}.params");
    // The scorer first: the threshold is in its unit.
    if let Some(scorer) = params.get("url_scorer").filter(|scorer| !scorer.is_null()) {
        reader.scorer(&format!("{path}.url_scorer"), scorer);
    }
    for (name, value) in params {
        reader.setting(&format!("{path}.{name}"), name, value);
    }
    reader.deep
}

impl Reader<'_> {
    fn refuse(&mut self, path: &str) {
        let text = "is not supported, and other pages would be crawled without it";
        self.wrong.add(path, "UNSUPPORTED_FIELD", text);
    }

    fn invalid(&mut self, path: &str, text: &str) {
        self.wrong.add(path, "INVALID_TYPE", text);
    }

    /// `{"type": …, "params": {…}}`.
    fn typed<'v>(&mut self, path: &str, value: &'v Value) -> Option<(&'v str, &'v Map<String, Value>)> {
        static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let name = value.get("type").and_then(Value::as_str);
        let params = match value.get("params") {
            None => Some(&*NOTHING),
            Some(params) => params.as_object(),
        };
        let typed = name.zip(params);
        if typed.is_none() {
            self.invalid(path, "must be an object with `type` and `params`");
        }
        typed
    }

    fn setting(&mut self, path: &str, name: &str, value: &Value) {
        let whole = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
        match (name, value) {
            (_, Value::Null) | ("url_scorer", _) => {}
            ("max_depth", value) => match whole(value) {
                Some(depth) => self.deep.max_depth = Some(depth),
                None => self.invalid(path, "must be a whole number"),
            },
            // Crawl4AI writes infinity as a text, and means no limit: then ours holds.
            ("max_pages" | "score_threshold", Value::String(text)) if text.contains("inf") => {}
            ("max_pages", value) => match whole(value) {
                Some(pages) => self.deep.max_pages = Some(pages),
                None => self.invalid(path, "must be a whole number"),
            },
            ("include_external", Value::Bool(external)) => {
                self.deep.set_scope(if *external { Scope::Any } else { Scope::Subdomains });
            }
            ("score_threshold", value) => self.threshold(path, value),
            ("filter_chain", value) => self.filters(path, value),
            ("include_external", _) => self.invalid(path, "must be true or false"),
            ("logger", _) => {}
            ("resume_state" | "on_state_change" | "should_cancel", value)
                if super::fields::asks_nothing(value) => {}
            ("resume_state" | "on_state_change" | "should_cancel", _) => self.refuse(path),
            _ => self.wrong.add(path, "UNKNOWN_FIELD", "is not a field"),
        }
    }

    /// Crawl4AI compares weight times score; ours is the score alone.
    fn threshold(&mut self, path: &str, value: &Value) {
        match (value.as_f64(), self.weight) {
            (None, _) => self.invalid(path, "must be a number"),
            (Some(threshold), _) if threshold <= 0.0 => {}
            (Some(threshold), Some(weight)) if weight > 0.0 => {
                self.deep.min_score = Some((threshold / weight).min(1.0))
            }
            (Some(_), _) => self.refuse(path),
        }
    }

    fn filters(&mut self, path: &str, value: &Value) {
        let Some((name, params)) = self.typed(path, value) else { return };
        if name != "FilterChain" {
            return self.refuse(&format!("{path}.type"));
        }
        let path = format!("{path}.params.filters");
        match params.get("filters") {
            None | Some(Value::Null) => {}
            Some(Value::Array(filters)) => {
                for (index, filter) in filters.iter().enumerate() {
                    self.filter(&format!("{path}[{index}]"), filter);
                }
            }
            Some(_) => self.invalid(&path, "must be a list"),
        }
    }

    fn filter(&mut self, path: &str, value: &Value) {
        let Some((name, params)) = self.typed(path, value) else { return };
        for (field, value) in params {
            let at = format!("{path}.params.{field}");
            match (name, field.as_str()) {
                ("URLPatternFilter", "patterns") => self.patterns(path, &at, value, params.get("reverse")),
                ("URLPatternFilter", "use_glob") if value != &Value::Bool(false) => {}
                ("URLPatternFilter", "reverse") => {}
                ("DomainFilter", "allowed_domains") => {
                    let names = self.texts(&at, value);
                    self.deep.domains.extend(names);
                }
                ("DomainFilter", "blocked_domains") => {
                    let names = self.texts(&at, value);
                    self.deep.exclude_domains.extend(names);
                }
                ("ContentTypeFilter", "allowed_types") => {
                    let types = self.texts(&at, value);
                    self.deep.content_types.extend(types);
                }
                ("ContentTypeFilter", "check_extension" | "ext_map") => {}
                ("URLPatternFilter" | "DomainFilter" | "ContentTypeFilter", _) => self.refuse(&at),
                _ => {}
            }
        }
        if !matches!(name, "URLPatternFilter" | "DomainFilter" | "ContentTypeFilter") {
            self.refuse(&format!("{path}.type"));
        }
    }

    fn patterns(&mut self, filter: &str, path: &str, value: &Value, reverse: Option<&Value>) {
        let patterns = self.texts(path, value).into_iter().map(|text| pattern(&text)).collect::<Vec<_>>();
        if reverse == Some(&Value::Bool(true)) {
            self.deep.exclude.extend(patterns);
        } else if self.deep.include.is_empty() {
            self.deep.include = patterns;
        } else {
            // A chain of filters is all of them; our list is one of them.
            self.refuse(filter);
        }
    }

    /// One text, or a list of texts.
    fn texts(&mut self, path: &str, value: &Value) -> Vec<String> {
        let items = match value {
            Value::Null => return Vec::new(),
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let texts: Vec<String> = items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if texts.len() < items.len() {
            self.invalid(path, "must be a text or a list of texts");
        }
        texts
    }

    fn scorer(&mut self, path: &str, value: &Value) {
        let Some((name, params)) = self.typed(path, value) else { return };
        if name == "CompositeScorer" {
            let path = format!("{path}.params.scorers");
            match params.get("scorers") {
                Some(Value::Array(scorers)) => {
                    for (index, scorer) in scorers.iter().enumerate() {
                        self.scorer(&format!("{path}[{index}]"), scorer);
                    }
                    self.weight = None;
                }
                _ => self.invalid(&path, "must be a list"),
            }
            return;
        }
        let weight = match params.get("weight") {
            None | Some(Value::Null) => 1.0,
            Some(value) => value.as_f64().unwrap_or_else(|| {
                self.invalid(&format!("{path}.params.weight"), "must be a number");
                1.0
            }),
        };
        self.weight = Some(weight);
        let none = ScoreWeights { keywords: Some(0.0), ..ScoreWeights::default() };
        let mut weights = self.deep.weights.take().unwrap_or(none);
        match name {
            "KeywordRelevanceScorer" => {
                self.deep.keywords = params
                    .get("keywords")
                    .map(|value| self.texts(&format!("{path}.params.keywords"), value))
                    .unwrap_or_default();
                weights.keywords = Some(weight);
            }
            "PathDepthScorer" => {
                let best = params.get("optimal_depth").and_then(Value::as_i64);
                weights.best_path_depth = best.and_then(|depth| i32::try_from(depth).ok()).or(Some(3));
                weights.path_depth = Some(weight);
            }
            // Its `current_year` is the clock's.
            "FreshnessScorer" => weights.freshness = Some(weight),
            _ => self.refuse(&format!("{path}.type")),
        }
        self.deep.weights = Some(weights);
    }
}

/// A pattern of Crawl4AI: a regular expression if it has an anchor or a class, else a glob whose `*` does not stop at `/`.
fn pattern(text: &str) -> UrlPattern {
    let regex = if text.starts_with('^') || text.ends_with('$') || text.contains("\\d") {
        text.to_owned()
    } else {
        let start = if text.starts_with('/') { "^https?://[^/?]*" } else { "^" };
        let mut regex = start.to_owned();
        for c in text.chars() {
            match c {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                c if c.is_alphanumeric() || matches!(c, '/' | '_' | '%' | '=' | ':' | ',' | '@') => {
                    regex.push(c)
                }
                c => {
                    regex.push('\\');
                    regex.push(c);
                }
            }
        }
        regex.push('$');
        regex
    };
    UrlPattern { pattern: Some(Pattern::Regex(regex)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn violations(value: &Value) -> Vec<String> {
        let mut wrong = Violations::new();
        read("s", value, &mut wrong);
        let Err(status) = wrong.into_result() else { return Vec::new() };
        let details =
            tonic_types::StatusExt::get_details_bad_request(&status).expect("because it lists fields");
        details.field_violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_strategy_with_its_filters_and_scorers_is_understood() {
        let strategy = json!({"type": "BestFirstCrawlingStrategy", "params": {
            "max_depth": 2, "max_pages": 25, "include_external": false, "score_threshold": 0.35, "logger": null,
            "filter_chain": {"type": "FilterChain", "params": {"filters": [
                {"type": "URLPatternFilter", "params": {"patterns": ["*core*", "/docs/*", "^https://x"]}},
                {"type": "URLPatternFilter", "params": {"patterns": "*.pdf", "reverse": true}},
                {"type": "DomainFilter", "params": {"allowed_domains": ["docs.example.com"], "blocked_domains": "old.example.com"}},
                {"type": "ContentTypeFilter", "params": {"allowed_types": ["text/html"], "check_extension": true}}]}},
            "url_scorer": {"type": "KeywordRelevanceScorer", "params": {"keywords": ["crawl", "async"], "weight": 0.7}}}});
        let mut wrong = Violations::new();
        let deep = read("s", &strategy, &mut wrong);
        assert!(wrong.into_result().is_ok());
        assert_eq!((deep.strategy(), deep.scope()), (Strategy::BestFirst, Scope::Subdomains));
        assert_eq!((deep.max_depth, deep.max_pages, deep.min_score), (Some(2), Some(25), Some(0.5)));
        let texts = |patterns: &[UrlPattern]| -> Vec<String> {
            patterns
                .iter()
                .map(|pattern| match &pattern.pattern {
                    Some(Pattern::Regex(text) | Pattern::Glob(text)) => text.clone(),
                    None => String::new(),
                })
                .collect()
        };
        assert_eq!(texts(&deep.include), ["^.*core.*$", "^https?://[^/?]*/docs/.*$", "^https://x"]);
        assert_eq!(texts(&deep.exclude), [r"^.*\.pdf$"]);
        assert_eq!((deep.domains.len(), deep.exclude_domains.len(), deep.content_types.len()), (1, 1, 1));
        assert_eq!(deep.keywords, ["crawl", "async"]);
        assert_eq!(deep.weights.and_then(|weights| weights.keywords), Some(0.7));
    }

    #[test]
    fn scorers_are_weighed_together() {
        let scorers = json!([
            {"type": "PathDepthScorer", "params": {"optimal_depth": 2, "weight": 0.5}},
            {"type": "FreshnessScorer", "params": {"weight": 0.25, "current_year": 2026}},
        ]);
        let strategy = json!({"type": "BestFirstCrawlingStrategy", "params": {
            "max_depth": 2, "url_scorer": {"type": "CompositeScorer", "params": {"scorers": scorers}}}});
        let mut wrong = Violations::new();
        let weights = read("s", &strategy, &mut wrong).weights.expect("because there are scorers");
        assert!(wrong.into_result().is_ok());
        let all = (weights.keywords, weights.path_depth, weights.best_path_depth, weights.freshness);
        assert_eq!(all, (Some(0.0), Some(0.5), Some(2), Some(0.25)));
    }

    #[test]
    fn what_would_crawl_other_pages_is_refused_by_name() {
        let with = |params: Value| json!({"type": "BFSDeepCrawlStrategy", "params": params});
        let chain = |filter: &str| {
            with(
                json!({"filter_chain": {"type": "FilterChain", "params": {"filters": [{"type": filter, "params": {}}]}}}),
            )
        };
        for (value, field) in [
            (json!({"type": "AdaptiveStrategy", "params": {}}), "s.type"),
            (json!("bfs"), "s"),
            (with(json!({"max_depth": "2"})), "s.params.max_depth"),
            (with(json!({"nope": 1})), "s.params.nope"),
            (with(json!({"resume_state": {"visited": []}})), "s.params.resume_state"),
            (with(json!({"score_threshold": 0.5})), "s.params.score_threshold"),
            (chain("SEOFilter"), "s.params.filter_chain.params.filters[0].type"),
            (chain("ContentRelevanceFilter"), "s.params.filter_chain.params.filters[0].type"),
            (
                with(json!({"url_scorer": {"type": "DomainAuthorityScorer", "params": {}}})),
                "s.params.url_scorer.type",
            ),
        ] {
            assert_eq!(violations(&value), [field], "{value}");
        }
    }
}
