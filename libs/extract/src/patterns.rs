//! Values found by regular expressions, as Crawl4AI's `RegexExtractionStrategy` does: built-in patterns by name, and the
//! caller's own. Every pattern runs in linear time; look-around is refused when the pattern is compiled.

use std::ops::Range;

use regex::Regex;
use serde::Serialize;

use crate::schema::pattern;
use crate::select::{Invalid, shown};

/// Most patterns of one set.
const MAX_PATTERNS: usize = 64;
/// Longest label, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// The built-in patterns: Crawl4AI's names, and what they match.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("email", r"\b[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
    ("phone_intl", r"\+\d{1,3}[\s.-]?(?:\(\d{1,4}\)[\s.-]?)?\d{1,4}(?:[\s.-]?\d{2,4}){1,4}\b"),
    ("phone_us", r"(?:\+?1[\s.-]?)?(?:\(\d{3}\)\s?|\b\d{3}[\s.-])\d{3}[\s.-]\d{4}\b"),
    ("url", r#"\bhttps?://[^\s"'<>()\[\]{}]*[^\s"'<>()\[\]{}.,;:!?]"#),
    ("ipv4", r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"),
    (
        "ipv6",
        r"\b(?:[A-Fa-f0-9]{1,4}:){7}[A-Fa-f0-9]{1,4}\b|\b(?:[A-Fa-f0-9]{1,4}:){1,6}(?::[A-Fa-f0-9]{1,4}){1,6}\b",
    ),
    ("uuid", r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[1-8][0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}\b"),
    (
        "currency",
        r"(?:\b(?:USD|EUR|GBP|JPY|CNY|INR|CHF)|RM|[$€£¥₹])\s?\d+(?:[.,]\d{3})*(?:[.,]\d{1,2})?\b|\b\d+(?:[.,]\d{3})*(?:[.,]\d{1,2})?\s?(?:€|£|¥|₹|(?:USD|EUR|GBP|JPY|CNY|INR|CHF)\b)",
    ),
    ("percentage", r"\b\d+(?:[.,]\d+)?\s?%"),
    ("number", r"\b\d{1,3}(?:[,.\u{a0}]\d{3})+(?:\.\d+)?\b|\b\d+(?:\.\d+)?\b"),
    ("date_iso", r"\b\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])\b"),
    ("date_us", r"\b(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])/(?:\d{4}|\d{2})\b"),
    ("time_24h", r"\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?\b"),
    ("postal_us", r"\b\d{5}(?:-\d{4})?\b"),
    ("postal_uk", r"\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b"),
    ("html_color_hex", r"#(?:[0-9A-Fa-f]{6}|[0-9A-Fa-f]{3})\b"),
    ("twitter_handle", r"(?:^|[^\w@/.])(@\w{1,15})\b"),
    ("hashtag", r"(?:^|[^\w#&/])(#\p{L}[\w-]*)"),
    ("mac_addr", r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b"),
    ("iban", r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?\b"),
    (
        "credit_card",
        r"\b(?:4\d{3}|5[1-5]\d{2}|6(?:011|5\d{2})|3[47]\d{2})[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,4}\b|\b3[47]\d{2}[ -]?\d{6}[ -]?\d{5}\b",
    ),
];

/// A set of patterns, ready for any number of texts.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<(String, Regex)>,
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        let sources = |patterns: &Self| -> Vec<(String, String)> {
            patterns
                .patterns
                .iter()
                .map(|(label, regex)| (label.clone(), regex.as_str().to_owned()))
                .collect()
        };
        sources(self) == sources(other)
    }
}

/// A value that a pattern found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Label of the pattern.
    pub label: String,
    /// What it matched: its first group, or all of the match if it has none.
    pub value: String,
    /// Where in the text, in bytes.
    pub span: Range<usize>,
}

impl Patterns {
    /// Compiles built-in patterns by their names, and patterns of the caller by `(label, pattern)`.
    ///
    /// An own pattern replaces a built-in one of the same name.
    pub fn parse(built_in: &[&str], own: &[(&str, &str)]) -> Result<Self, Invalid> {
        if built_in.len() + own.len() > MAX_PATTERNS {
            return Err(Invalid::new("patterns", format!("are more than {MAX_PATTERNS}")));
        }
        let mut patterns: Vec<(String, Regex)> = Vec::new();
        for name in built_in {
            let field =
                format!("patterns.{}", &name[..name.floor_char_boundary(MAX_LABEL_BYTES.min(name.len()))]);
            let known = BUILT_IN.iter().find(|(known, _)| known == name);
            let (_, source) =
                known.ok_or_else(|| Invalid::new(&field, format!("is not built in: {}", shown(name))))?;
            patterns.push(((*name).to_owned(), pattern(&field, source)?));
        }
        for (label, source) in own {
            let field =
                format!("custom.{}", &label[..label.floor_char_boundary(MAX_LABEL_BYTES.min(label.len()))]);
            if label.is_empty() || label.len() > MAX_LABEL_BYTES {
                return Err(Invalid::new(&field, format!("has not a label of 1 to {MAX_LABEL_BYTES} bytes")));
            }
            patterns.retain(|(known, _)| known != label);
            patterns.push(((*label).to_owned(), pattern(&field, source)?));
        }
        Ok(Self { patterns })
    }

    /// What the patterns find in a text, pattern by pattern, at most `limit` values in all.
    #[must_use]
    pub fn find(&self, text: &str, limit: usize) -> Vec<Match> {
        let mut found = Vec::new();
        for (label, regex) in &self.patterns {
            for captures in regex.captures_iter(text) {
                if found.len() >= limit {
                    return found;
                }
                let Some(value) =
                    captures.get(1).or_else(|| captures.get(0)).filter(|value| !value.is_empty())
                else {
                    continue;
                };
                found.push(Match {
                    label: label.clone(),
                    value: value.as_str().to_owned(),
                    span: value.range(),
                });
            }
        }
        found
    }
}
