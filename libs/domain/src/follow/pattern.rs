//! Patterns for URLs: globs and regular expressions, both matched in linear time.
//!
//! A glob that begins with `/` is held against path and query, one with `://` against the whole URL, any other against what
//! follows `://`. `*` and `?` stop at `/`, `**` does not, `[a-z]` and `{a,b}` are as in a shell; a glob matches the whole. A
//! regular expression is looked for anywhere in the whole URL.

use std::fmt;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

/// Longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;
/// Memory of one compiled pattern; `(a{1000}){1000}` would need more.
const MAX_COMPILED: usize = 1 << 20;
/// Memory of a compiled list, and of the automaton that is built while it is used.
const MAX_SET: usize = 16 << 20;
const MAX_AUTOMATON: usize = 4 << 20;

/// A pattern for URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// As in a shell.
    Glob(String),
    /// As the crate `regex` has it: no look-around, no back-references.
    Regex(String),
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing to match.
    #[error("is required")]
    Empty,
    /// Longer than 1024 bytes.
    #[error("is longer than 1024 bytes")]
    TooLong,
    /// Not a pattern, or one that takes too much memory.
    #[error("is not a pattern: {0}")]
    Invalid(String),
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob(text) => write!(f, "glob {text}"),
            Self::Regex(text) => write!(f, "regex {text}"),
        }
    }
}

impl Pattern {
    /// Whether it can be used.
    pub fn check(&self) -> Result<(), PatternError> {
        self.compile().map(|_| ())
    }

    fn compile(&self) -> Result<Regex, PatternError> {
        let (Self::Glob(text) | Self::Regex(text)) = self;
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong);
        }
        let regex = self.regex().map_err(|problem| PatternError::Invalid(problem.to_owned()))?;
        let built = RegexBuilder::new(&regex).size_limit(MAX_COMPILED).build();
        built.map_err(|error| {
            // The last line says what is wrong; those before draw it.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            PatternError::Invalid(last.trim_start_matches("error: ").to_owned())
        })
    }

    fn regex(&self) -> Result<String, &'static str> {
        match self {
            Self::Regex(text) => Ok(text.clone()),
            Self::Glob(text) if text.contains("://") => Ok(format!("^{}$", translate(text)?)),
            Self::Glob(text) if text.starts_with('/') => Ok(format!("^https?://[^/?]*{}$", translate(text)?)),
            Self::Glob(text) => Ok(format!("^https?://{}$", translate(text)?)),
        }
    }
}

/// Compiles a list. Fails with the place of the first pattern that is none.
pub(super) fn compile(patterns: &[Pattern]) -> Result<RegexSet, (usize, PatternError)> {
    let mut texts = Vec::with_capacity(patterns.len());
    for (index, pattern) in patterns.iter().enumerate() {
        let regex = pattern.compile().map_err(|error| (index, error))?;
        texts.push(regex.as_str().to_owned());
    }
    let set = RegexSetBuilder::new(texts).size_limit(MAX_SET).dfa_size_limit(MAX_AUTOMATON).build();
    set.map_err(|_| {
        (patterns.len().saturating_sub(1), PatternError::Invalid("the list takes too much memory".into()))
    })
}

/// A glob as a regular expression.
fn translate(glob: &str) -> Result<String, &'static str> {
    let mut regex = String::with_capacity(glob.len() * 2);
    let (mut rest, mut open) = (glob, false);
    while let Some(first) = rest.chars().next() {
        if rest == "/**" {
            regex.push_str("(?:[/?].*)?");
            break;
        }
        if let Some(after) = rest.strip_prefix("**") {
            regex.push_str(".*");
            rest = after;
            continue;
        }
        let mut used = first.len_utf8();
        match first {
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => {
                let end = rest.find(']').filter(|end| *end > 1).ok_or("`[` without `]`")?;
                let class = &rest[1..end];
                let (not, class) = class.strip_prefix(['!', '^']).map_or(("", class), |class| ("^", class));
                let class =
                    class.replace('\\', "\\\\").replace('[', "\\[").replace('&', "\\&").replace('~', "\\~");
                regex.push_str(&format!("[{not}{class}]"));
                used = end + 1;
            }
            '{' if open => return Err("`{` inside of `{`"),
            '{' => {
                regex.push_str("(?:");
                open = true;
            }
            ',' if open => regex.push('|'),
            '}' if open => {
                regex.push(')');
                open = false;
            }
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
        rest = &rest[used..];
    }
    if open { Err("`{` without `}`") } else { Ok(regex) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, url: &str) -> bool {
        compile(&[Pattern::Glob(glob.to_owned())]).expect("because it is a glob").is_match(url)
    }

    #[test]
    fn globs_match_what_a_shell_would() {
        for (glob, url, expected) in [
            ("/docs/*", "https://e.com/docs/a", true),
            ("/docs/*", "https://e.com/docs/a/b", false),
            ("/docs/*", "https://e.com/x/docs/a", false),
            ("/docs/**", "https://e.com/docs/a/b?x=1", true),
            ("/docs/**", "https://e.com/docs", true),
            ("/docs/**", "https://e.com/docs2", false),
            ("/**/print", "https://e.com/a/b/print", true),
            ("/a?c", "https://e.com/abc", true),
            ("/[0-9][!a]", "https://e.com/1b", true),
            ("/[0-9][!a]", "https://e.com/1a", false),
            ("/{en,de}/**", "https://e.com/de/x", true),
            ("/{en,de}/**", "https://e.com/fr/x", false),
            ("/a.b", "https://e.com/axb", false),
            ("*.e.com/**", "https://docs.e.com/x", true),
            ("*.e.com/**", "https://e.com/x", false),
            ("https://e.com/*", "http://e.com/a", false),
            ("**blog**", "https://e.com/a/blog/b", true),
        ] {
            assert_eq!(matches(glob, url), expected, "{glob} {url}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            Pattern::Glob(String::new()),
            Pattern::Glob("/[a".into()),
            Pattern::Glob("/{a".into()),
            Pattern::Glob("/{a,{b}}".into()),
            Pattern::Glob("x".repeat(2000)),
            Pattern::Regex("(".into()),
            Pattern::Regex("(?=a)".into()),
            Pattern::Regex("((a{100}){100}){100}".into()),
        ] {
            assert!(pattern.check().is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_refused(text in ".{0,60}", url in "[a-z/?*]{0,40}") {
            for pattern in [Pattern::Glob(text.clone()), Pattern::Regex(text)] {
                if let Ok(set) = compile(&[pattern]) {
                    let _ = set.is_match(&url);
                }
            }
        }
    }
}
