//! What of a page is wanted: the options of a job's `extraction`, as flags. They are read by the same code as a job's.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use api::job::v1::{
    ContentFilter, Extraction, Patterns, Selection,
    content_filter::{Bm25, Kind},
    extraction::Format,
    patterns::Custom,
};
use clap::Args;
use extract::{Options, Schema};
use serde_json::Value;

/// Flags beside what is written.
#[derive(Debug, Default, Args)]
pub(super) struct Wishes {
    /// Reads only what this CSS selector matches.
    #[arg(long, value_name = "CSS")]
    select: Option<String>,
    /// Leaves out what this CSS selector matches.
    #[arg(long, value_name = "CSS")]
    exclude: Option<String>,
    /// Makes main content (`fit`, `text`) of what has to do with these words.
    #[arg(long, value_name = "WORDS")]
    query: Option<String>,
    /// A JSON file with a schema of Crawl4AI's form; what it finds is `extracted` in `--format json`.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// The schema is written in XPath, not in CSS selectors.
    #[arg(long, requires = "schema")]
    xpath: bool,
    /// Values to find, in `matches` of `--format json`: a built-in pattern, `all`, or LABEL=REGEX. May be repeated.
    #[arg(long = "pattern", value_name = "PATTERN")]
    patterns: Vec<String>,
}

impl Wishes {
    /// The options of the extraction, with these parts of the document.
    pub(super) fn options(&self, formats: &[Format]) -> anyhow::Result<Options> {
        let request = Extraction {
            formats: formats.iter().map(|format| i32::from(*format)).collect(),
            selection: Some(Selection {
                css_selector: self.select.clone().unwrap_or_default(),
                excluded_selector: self.exclude.clone().unwrap_or_default(),
                ..Selection::default()
            }),
            filter: self.query.as_ref().map(|query| ContentFilter {
                kind: Some(Kind::Bm25(Bm25 { query: query.clone(), threshold: None })),
            }),
            patterns: (!self.patterns.is_empty()).then(|| self.patterns()),
            ..Extraction::default()
        };
        let mut options = extract::options(&request).map_err(|refusals| {
            let lines = refusals.iter().map(|it| format!("{}: {}", it.field, it.description));
            anyhow::anyhow!("{}", lines.collect::<Vec<_>>().join("; "))
        })?;
        options.schema = self.schema()?;
        Ok(options)
    }

    fn patterns(&self) -> Patterns {
        let mut patterns = Patterns::default();
        for pattern in &self.patterns {
            match pattern.split_once('=') {
                Some((label, regex)) => {
                    patterns.custom.push(Custom { label: label.to_owned(), pattern: regex.to_owned() });
                }
                None => patterns.built_in.push(pattern.clone()),
            }
        }
        patterns
    }

    fn schema(&self) -> anyhow::Result<Option<Schema>> {
        let Some(path) = &self.schema else { return Ok(None) };
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let json: Value = serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        let language = if self.xpath { extract::Language::XPath } else { extract::Language::Css };
        match Schema::parse(language, &json) {
            Ok(schema) => Ok(Some(schema)),
            Err(invalid) => bail!("{}: {invalid}", path.display()),
        }
    }
}
