//! The options of a job, as the protocol has them, to ours. The job service refuses here what a crawler could not do, and
//! the crawler reads here what it shall do, so that the two cannot disagree.
//!
//! Promises: every mistake is found at once, with the path of its field below the message.

use api::job::v1 as pb;
use prost_types::{Struct, Value as ProtoValue, value::Kind as ProtoKind};
use serde_json::{Map, Number, Value};

use crate::select::Invalid;
use crate::{
    BUILT_IN, ChunkOptions, Chunking, Exclude, Filter, Language, Options, Part, Parts, Patterns,
    SOCIAL_MEDIA_DOMAINS, Schema, Searched, Selection, Selector,
};

const MAX_TARGETS: usize = 32;
const MAX_TAGS: usize = 64;
const MAX_TAG_BYTES: usize = 64;
const MAX_DOMAINS: usize = 256;
const MAX_DOMAIN_BYTES: usize = 253;
const MAX_WORDS: i32 = 10_000;
const MAX_QUERY: usize = 1_024;
const MAX_SCHEMA_BYTES: usize = 64 * 1024;
const CHUNK_TOKENS: std::ops::RangeInclusive<i32> = 16..=8_192;
const PRUNING_THRESHOLD: f64 = 0.48;
const BM25_THRESHOLD: f64 = 1.0;

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its path below the message, such as `selection.css_selector`.
    pub field: String,
    /// A word for programs, such as `INVALID_SELECTOR`.
    pub reason: &'static str,
    /// What is wrong, in one line.
    pub description: String,
}

/// Reads the options of a job.
pub fn options(request: &pb::Extraction) -> Result<Options, Vec<Refusal>> {
    let mut reader = Reader::default();
    let options = Options {
        parts: reader.parts(&request.formats),
        selection: request.selection.as_ref().map(|it| reader.selection(it)).unwrap_or_default(),
        filter: request.filter.as_ref().and_then(|it| reader.filter(it)),
        schema: request.schema.as_ref().and_then(|it| reader.schema(it)),
        patterns: request.patterns.as_ref().and_then(|it| reader.patterns(it)),
        chunking: request.chunking.as_ref().map(|it| reader.chunking(it)).unwrap_or_default(),
        ..Options::default()
    };
    if request.chunking.is_some() && !options.parts.has(Part::Chunks) {
        reader.refuse("chunking", "CONFLICT", "needs `CHUNKS` among `formats`");
    }
    if reader.refusals.is_empty() { Ok(options) } else { Err(reader.refusals) }
}

#[derive(Default)]
struct Reader {
    refusals: Vec<Refusal>,
}

impl Reader {
    fn refuse(&mut self, field: impl Into<String>, reason: &'static str, description: impl Into<String>) {
        self.refusals.push(Refusal { field: field.into(), reason, description: description.into() });
    }

    /// A value that was parsed; a mistake is noted under `prefix` and the path that the parser found.
    fn parsed<T>(&mut self, prefix: &str, reason: &'static str, found: Result<T, Invalid>) -> Option<T> {
        match found {
            Ok(value) => Some(value),
            Err(Invalid { field, problem }) => {
                self.refuse(format!("{prefix}{field}"), reason, problem);
                None
            }
        }
    }

    fn at_most(&mut self, field: &str, count: usize, most: usize) {
        if count > most {
            self.refuse(field, "TOO_MANY", format!("has {count} entries, more than {most}"));
        }
    }

    fn words(&mut self, field: &str, words: i32) -> u32 {
        if !(0..=MAX_WORDS).contains(&words) {
            self.refuse(field, "OUT_OF_RANGE", format!("must be from 0 to {MAX_WORDS}"));
        }
        u32::try_from(words).unwrap_or_default()
    }

    fn threshold(&mut self, field: &str, threshold: Option<f64>, default: f64, most: f64) -> f32 {
        let threshold = threshold.unwrap_or(default);
        if !(0.0..=most).contains(&threshold) {
            self.refuse(field, "OUT_OF_RANGE", format!("must be from 0 to {most}"));
        }
        threshold as f32
    }

    fn parts(&mut self, formats: &[i32]) -> Parts {
        if formats.is_empty() {
            return Parts::default();
        }
        self.at_most("formats", formats.len(), pb::extraction::Format::Chunks as usize);
        let mut parts = Parts::NONE;
        for (index, format) in formats.iter().enumerate() {
            match part(*format) {
                Some(part) if parts.has(part) => {
                    self.refuse(format!("formats[{index}]"), "DUPLICATE", "is there twice");
                }
                Some(part) => parts = parts.with(part),
                None => self.refuse(format!("formats[{index}]"), "UNKNOWN_VALUE", "is not a known value"),
            }
        }
        parts
    }

    fn selection(&mut self, selection: &pb::Selection) -> Selection {
        const OF_SELECTOR: &str = "INVALID_SELECTOR";
        let selector = |reader: &mut Self, field: &str, source: &str| {
            let parsed = (!source.is_empty()).then(|| Selector::parse(field, source))?;
            reader.parsed("selection.", OF_SELECTOR, parsed)
        };
        let css_selector = selector(self, "css_selector", &selection.css_selector);
        let excluded_selector = selector(self, "excluded_selector", &selection.excluded_selector);
        self.at_most("selection.target_elements", selection.target_elements.len(), MAX_TARGETS);
        let mut target_elements = Vec::new();
        for (index, source) in selection.target_elements.iter().take(MAX_TARGETS).enumerate() {
            let parsed = Selector::parse(&format!("target_elements[{index}]"), source);
            target_elements.extend(self.parsed("selection.", OF_SELECTOR, parsed));
        }
        Selection {
            css_selector,
            target_elements,
            excluded_tags: self.tags(&selection.excluded_tags),
            excluded_selector,
            word_count_threshold: self
                .words("selection.word_count_threshold", selection.word_count_threshold),
            exclude: self.exclude(selection),
            only_text: selection.only_text,
        }
    }

    fn tags(&mut self, tags: &[String]) -> Vec<String> {
        self.at_most("selection.excluded_tags", tags.len(), MAX_TAGS);
        for (index, tag) in tags.iter().take(MAX_TAGS).enumerate() {
            let good = (1..=MAX_TAG_BYTES).contains(&tag.len())
                && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
            if !good {
                let field = format!("selection.excluded_tags[{index}]");
                self.refuse(field, "INVALID_TAG", "is not the name of an element");
            }
        }
        tags.iter().map(|tag| tag.to_ascii_lowercase()).collect()
    }

    fn exclude(&mut self, selection: &pb::Selection) -> Exclude {
        self.at_most("selection.exclude_domains", selection.exclude_domains.len(), MAX_DOMAINS);
        let mut domains = Vec::new();
        for (index, domain) in selection.exclude_domains.iter().take(MAX_DOMAINS).enumerate() {
            let host = url::Host::parse(domain.trim()).ok();
            match host.filter(|_| domain.len() <= MAX_DOMAIN_BYTES) {
                Some(host) => domains.push(host.to_string()),
                None => {
                    let field = format!("selection.exclude_domains[{index}]");
                    self.refuse(field, "INVALID_DOMAIN", "is not the name of a host");
                }
            }
        }
        if selection.exclude_social_media_links {
            domains.extend(SOCIAL_MEDIA_DOMAINS.iter().map(|domain| (*domain).to_owned()));
        }
        Exclude {
            external_links: selection.exclude_external_links,
            internal_links: selection.exclude_internal_links,
            domains,
            external_images: selection.exclude_external_images,
            all_images: selection.exclude_all_images,
        }
    }

    fn filter(&mut self, filter: &pb::ContentFilter) -> Option<Filter> {
        use pb::content_filter::Kind;
        match &filter.kind {
            Some(Kind::Pruning(pruning)) => Some(Filter::Pruning {
                threshold: self.threshold(
                    "filter.pruning.threshold",
                    pruning.threshold,
                    PRUNING_THRESHOLD,
                    10.0,
                ),
                dynamic: pruning.dynamic,
                min_words: self.words("filter.pruning.min_words", pruning.min_words),
            }),
            Some(Kind::Bm25(bm25)) => {
                if bm25.query.chars().count() > MAX_QUERY {
                    let description = format!("has more than {MAX_QUERY} characters");
                    self.refuse("filter.bm25.query", "TOO_LONG", description);
                }
                let threshold =
                    self.threshold("filter.bm25.threshold", bm25.threshold, BM25_THRESHOLD, 100.0);
                Some(Filter::Bm25 { query: bm25.query.clone(), threshold })
            }
            None => {
                self.refuse("filter", "REQUIRED", "must be `pruning` or `bm25`");
                None
            }
        }
    }

    fn schema(&mut self, schema: &pb::ExtractionSchema) -> Option<Schema> {
        use pb::extraction_schema::Language as Wire;
        let language = match Wire::try_from(schema.language) {
            Ok(Wire::Unspecified | Wire::Css) => Language::Css,
            Ok(Wire::Xpath) => Language::XPath,
            Err(_) => {
                self.refuse("schema.language", "UNKNOWN_VALUE", "is not a known value");
                return None;
            }
        };
        let Some(source) = &schema.schema else {
            self.refuse("schema.schema", "REQUIRED", "is required");
            return None;
        };
        if prost::Message::encoded_len(source) > MAX_SCHEMA_BYTES {
            self.refuse(
                "schema.schema",
                "TOO_LONG",
                format!("is larger than {} KiB", MAX_SCHEMA_BYTES >> 10),
            );
            return None;
        }
        let parsed = Schema::parse(language, &Value::Object(object(source)));
        self.parsed("schema.schema.", "INVALID_SCHEMA", parsed)
    }

    fn patterns(&mut self, patterns: &pb::Patterns) -> Option<(Patterns, Searched)> {
        use pb::patterns::Input;
        let searched = match Input::try_from(patterns.input) {
            Ok(Input::Unspecified | Input::Markdown) => Searched::Markdown,
            Ok(Input::FitMarkdown) => Searched::FitMarkdown,
            Ok(Input::Text) => Searched::Text,
            Ok(Input::CleanedHtml) => Searched::CleanedHtml,
            Err(_) => {
                self.refuse("patterns.input", "UNKNOWN_VALUE", "is not a known value");
                Searched::default()
            }
        };
        if patterns.built_in.is_empty() && patterns.custom.is_empty() {
            self.refuse("patterns", "REQUIRED", "must name a pattern, built in or custom");
            return None;
        }
        let all = patterns.built_in.iter().any(|name| name == "all");
        let named: Vec<&str> = match all {
            true => BUILT_IN.iter().map(|(name, _)| *name).collect(),
            false => patterns.built_in.iter().map(String::as_str).collect(),
        };
        let custom: Vec<(&str, &str)> =
            patterns.custom.iter().map(|it| (it.label.as_str(), it.pattern.as_str())).collect();
        // One after the other first, so that every mistake is told.
        let before = self.refusals.len();
        for (index, name) in named.iter().enumerate() {
            if let Err(invalid) = Patterns::parse(&[name], &[]) {
                self.refuse(format!("patterns.built_in[{index}]"), "INVALID_PATTERN", invalid.problem);
            }
        }
        for (index, own) in custom.iter().enumerate() {
            if let Err(invalid) = Patterns::parse(&[], &[*own]) {
                self.refuse(format!("patterns.custom[{index}]"), "INVALID_PATTERN", invalid.problem);
            }
        }
        if self.refusals.len() > before {
            return None;
        }
        match Patterns::parse(&named, &custom) {
            Ok(patterns) => Some((patterns, searched)),
            Err(invalid) => {
                self.refuse("patterns", "TOO_MANY", invalid.problem);
                None
            }
        }
    }

    fn chunking(&mut self, chunking: &pb::Chunking) -> Chunking {
        let default = ChunkOptions::default();
        let max_tokens = match chunking.max_tokens {
            Some(tokens) if !CHUNK_TOKENS.contains(&tokens) => {
                let (least, most) = (CHUNK_TOKENS.start(), CHUNK_TOKENS.end());
                let description = format!("must be from {least} to {most}");
                self.refuse("chunking.max_tokens", "OUT_OF_RANGE", description);
                default.max_tokens
            }
            tokens => tokens.and_then(|it| u32::try_from(it).ok()).unwrap_or(default.max_tokens),
        };
        Chunking { size: ChunkOptions { max_tokens, ..default }, whole_page: chunking.whole_page }
    }
}

fn part(format: i32) -> Option<Part> {
    use pb::extraction::Format;
    Some(match Format::try_from(format).ok()? {
        Format::Unspecified => return None,
        Format::Markdown => Part::Markdown,
        Format::FitMarkdown => Part::FitMarkdown,
        Format::Citations => Part::Citations,
        Format::Text => Part::Text,
        Format::CleanedHtml => Part::CleanedHtml,
        Format::Links => Part::Links,
        Format::Images => Part::Images,
        Format::Tables => Part::Tables,
        Format::Metadata => Part::Metadata,
        Format::Headings => Part::Headings,
        Format::Chunks => Part::Chunks,
    })
}

/// The decoder of protobuf refuses what is nested deeper than 100 messages, so this recursion is bounded.
fn object(object: &Struct) -> Map<String, Value> {
    object.fields.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

fn json(value: &ProtoValue) -> Value {
    match &value.kind {
        None | Some(ProtoKind::NullValue(_)) => Value::Null,
        Some(ProtoKind::BoolValue(value)) => Value::Bool(*value),
        Some(ProtoKind::NumberValue(number)) => number_of(*number),
        Some(ProtoKind::StringValue(text)) => Value::String(text.clone()),
        Some(ProtoKind::ListValue(list)) => list.values.iter().map(json).collect(),
        Some(ProtoKind::StructValue(inner)) => Value::Object(object(inner)),
    }
}

/// A `Struct` has fractions only; whole numbers were written without a point.
fn number_of(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        return Value::Number(Number::from(number as i64));
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}
