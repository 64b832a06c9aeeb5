//! Crawl4AI's fields about what is read of a page, as `CrawlConfig.extraction` has them. Whether a selector, schema or
//! pattern is good is for the job service to say; [`renamed`] gives its words Crawl4AI's names.

use api::job::v1::{
    ContentFilter, Extraction, ExtractionSchema, Patterns, Selection,
    content_filter::{Bm25, Kind, Pruning},
    extraction::Format,
    extraction_schema::Language,
    patterns::{Custom, Input},
};
use mesh::Violations;
use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind as ProtoKind};
use serde_json::{Map, Value};
use tonic::Status;
use tonic_types::StatusExt;

use super::{fields::asks_nothing, submit::unwrap};

/// What a result of Crawl4AI shows of a document.
const SHOWN: [Format; 8] = [
    Format::Markdown,
    Format::FitMarkdown,
    Format::Citations,
    Format::CleanedHtml,
    Format::Links,
    Format::Images,
    Format::Tables,
    Format::Metadata,
];

/// The bits of `RegexExtractionStrategy.pattern`, lowest first.
const PATTERN_BITS: [&str; 21] = [
    "email",
    "phone_intl",
    "phone_us",
    "url",
    "ipv4",
    "ipv6",
    "uuid",
    "currency",
    "percentage",
    "number",
    "date_iso",
    "date_us",
    "time_24h",
    "postal_us",
    "postal_uk",
    "html_color_hex",
    "twitter_handle",
    "hashtag",
    "mac_addr",
    "iban",
    "credit_card",
];

/// Reads the fields one by one.
#[derive(Default)]
pub(super) struct Reader {
    selection: Selection,
    filter: Option<ContentFilter>,
    schema: Option<ExtractionSchema>,
    patterns: Option<Patterns>,
    social: Option<Vec<String>>,
}

/// Where mistakes and fields without effect are noted.
pub(super) struct Notes<'a> {
    pub(super) wrong: &'a mut Violations,
    pub(super) ignored: &'a mut Vec<String>,
}

impl Notes<'_> {
    pub(super) fn type_of(&mut self, path: &str, expected: &str) {
        self.wrong.add(path, "INVALID_TYPE", format!("must be {expected}"));
    }

    pub(super) fn unsupported(&mut self, path: String) {
        let description = "is not supported, and the result would be another without it";
        self.wrong.add(path, "UNSUPPORTED_FIELD", description);
    }

    pub(super) fn text(&mut self, path: &str, value: &Value) -> String {
        let text = value.as_str();
        if text.is_none() && !value.is_null() {
            self.type_of(path, "text");
        }
        text.unwrap_or_default().to_owned()
    }

    pub(super) fn bool(&mut self, path: &str, value: &Value) -> bool {
        let bool = value.as_bool();
        if bool.is_none() && !value.is_null() {
            self.type_of(path, "true or false");
        }
        bool.unwrap_or_default()
    }

    pub(super) fn whole(&mut self, path: &str, value: &Value) -> i32 {
        let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
        if number.is_none() && !value.is_null() {
            self.type_of(path, "a whole number");
        }
        number.unwrap_or_default()
    }

    pub(super) fn number(&mut self, path: &str, value: &Value) -> Option<f64> {
        if value.as_f64().is_none() && !value.is_null() {
            self.type_of(path, "a number");
        }
        value.as_f64()
    }

    fn texts(&mut self, path: &str, value: &Value) -> Vec<String> {
        match value {
            Value::Null => Vec::new(),
            Value::Array(items) => {
                let one = |(index, item)| self.text(&format!("{path}[{index}]"), item);
                items.iter().enumerate().map(one).collect()
            }
            // Clients of older servers write one as text.
            Value::String(text) if !text.is_empty() => vec![text.clone()],
            Value::String(_) => Vec::new(),
            _ => {
                self.type_of(path, "a list");
                Vec::new()
            }
        }
    }
}

impl Reader {
    /// Reads one of the fields of `CrawlerRunConfig` that are about extraction.
    pub(super) fn set(&mut self, name: &str, path: &str, value: &Value, notes: &mut Notes<'_>) {
        let inner = unwrap(value);
        let selection = &mut self.selection;
        match name {
            "css_selector" => selection.css_selector = notes.text(path, inner),
            "target_elements" => selection.target_elements = notes.texts(path, inner),
            "excluded_tags" => selection.excluded_tags = notes.texts(path, inner),
            "excluded_selector" => selection.excluded_selector = notes.text(path, inner),
            "word_count_threshold" => selection.word_count_threshold = notes.whole(path, inner),
            "only_text" => selection.only_text = notes.bool(path, inner),
            "exclude_external_links" => selection.exclude_external_links = notes.bool(path, inner),
            "exclude_internal_links" => selection.exclude_internal_links = notes.bool(path, inner),
            "exclude_social_media_links" => selection.exclude_social_media_links = notes.bool(path, inner),
            "exclude_social_media_domains" => self.social = Some(notes.texts(path, inner)),
            "exclude_domains" => selection.exclude_domains = notes.texts(path, inner),
            "exclude_external_images" => selection.exclude_external_images = notes.bool(path, inner),
            "exclude_all_images" => selection.exclude_all_images = notes.bool(path, inner),
            "extraction_strategy" => self.strategy(path, value, notes),
            "markdown_generator" => self.generator(path, value, notes),
            _ => notes.unsupported(path.to_owned()),
        }
    }

    /// The options of the job.
    pub(super) fn finish(self) -> Extraction {
        let mut selection = self.selection;
        // A list of one's own takes the place of the well-known networks.
        if let Some(social) =
            self.social.filter(|list| selection.exclude_social_media_links && !list.is_empty())
        {
            selection.exclude_social_media_links = false;
            selection.exclude_domains.extend(social);
        }
        Extraction {
            formats: SHOWN.iter().map(|format| i32::from(*format)).collect(),
            selection: (selection != Selection::default()).then_some(selection),
            filter: self.filter,
            schema: self.schema,
            patterns: self.patterns,
            chunking: None,
        }
    }

    fn strategy(&mut self, path: &str, value: &Value, notes: &mut Notes<'_>) {
        if asks_nothing(value) {
            return;
        }
        let Some((class, params)) = object(value) else {
            return notes.type_of(path, "an object `{\"type\", \"params\"}`");
        };
        match class {
            "NoExtractionStrategy" => {}
            "JsonCssExtractionStrategy" | "JsonLxmlExtractionStrategy" => {
                self.json(path, Language::Css, params, notes);
            }
            "JsonXPathExtractionStrategy" => self.json(path, Language::Xpath, params, notes),
            "RegexExtractionStrategy" => self.regex(path, params, notes),
            _ => notes.unsupported(path.to_owned()),
        }
    }

    fn json(&mut self, path: &str, language: Language, params: &Map<String, Value>, notes: &mut Notes<'_>) {
        let mut schema = None;
        for (name, value) in params {
            match (name.as_str(), plain(value)) {
                ("schema", Value::Object(object)) => schema = Some(fields(&object)),
                ("schema", _) => notes.type_of(&format!("{path}.schema"), "an object"),
                _ => notes.ignored.push(format!("{path}.{name}")),
            }
        }
        self.schema = Some(ExtractionSchema { language: language.into(), schema });
    }

    fn regex(&mut self, path: &str, params: &Map<String, Value>, notes: &mut Notes<'_>) {
        let mut patterns = Patterns { input: Input::CleanedHtml.into(), ..Patterns::default() };
        for (name, value) in params {
            let (path, value) = (format!("{path}.{name}"), plain(value));
            match (name.as_str(), &value) {
                (_, Value::Null) => {}
                ("pattern", Value::Number(bits)) => {
                    patterns.built_in = names(bits.as_u64().unwrap_or_default())
                }
                ("pattern", value) => {
                    let names = notes.texts(&path, value);
                    patterns.built_in = names.iter().map(|name| name.to_ascii_lowercase()).collect();
                }
                ("custom", Value::Object(own)) => {
                    for (label, pattern) in own {
                        let pattern = notes.text(&format!("{path}.{label}"), pattern);
                        patterns.custom.push(Custom { label: label.clone(), pattern });
                    }
                }
                ("custom", _) => notes.type_of(&path, "an object"),
                ("input_format", Value::String(format)) => match format.as_str() {
                    "html" | "cleaned_html" | "fit_html" => {}
                    "markdown" => patterns.set_input(Input::Markdown),
                    "fit_markdown" => patterns.set_input(Input::FitMarkdown),
                    "text" => patterns.set_input(Input::Text),
                    _ => notes.unsupported(path),
                },
                _ => notes.ignored.push(path),
            }
        }
        self.patterns = Some(patterns);
    }

    fn generator(&mut self, path: &str, value: &Value, notes: &mut Notes<'_>) {
        if asks_nothing(value) {
            return;
        }
        let Some(("DefaultMarkdownGenerator", params)) = object(value) else {
            return notes.unsupported(path.to_owned());
        };
        for (name, value) in params {
            let path = format!("{path}.{name}");
            match name.as_str() {
                _ if asks_nothing(unwrap(value)) => {}
                "content_filter" => self.content_filter(&path, value, notes),
                "content_source" if unwrap(value) == "fit_html" => notes.unsupported(path),
                _ => notes.ignored.push(path),
            }
        }
    }

    fn content_filter(&mut self, path: &str, value: &Value, notes: &mut Notes<'_>) {
        let Some((class, params)) = object(value) else {
            return notes.type_of(path, "an object `{\"type\", \"params\"}`");
        };
        let kind = match class {
            "PruningContentFilter" => {
                let mut pruning = Pruning::default();
                for (name, value) in params {
                    let (path, value) = (format!("{path}.{name}"), unwrap(value));
                    match name.as_str() {
                        "threshold" => pruning.threshold = notes.number(&path, value),
                        "threshold_type" => pruning.dynamic = value == "dynamic",
                        "min_word_threshold" => pruning.min_words = notes.whole(&path, value),
                        _ if asks_nothing(value) => {}
                        _ => notes.ignored.push(path),
                    }
                }
                Kind::Pruning(pruning)
            }
            "BM25ContentFilter" => {
                let mut bm25 = Bm25::default();
                for (name, value) in params {
                    let (path, value) = (format!("{path}.{name}"), unwrap(value));
                    match name.as_str() {
                        "user_query" => bm25.query = notes.text(&path, value),
                        "bm25_threshold" => bm25.threshold = notes.number(&path, value),
                        _ if asks_nothing(value) => {}
                        _ => notes.ignored.push(path),
                    }
                }
                Kind::Bm25(bm25)
            }
            _ => return notes.unsupported(path.to_owned()),
        };
        self.filter = Some(ContentFilter { kind: Some(kind) });
    }
}

/// Class and parameters of `{"type": …, "params": …}`.
fn object(value: &Value) -> Option<(&str, &Map<String, Value>)> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let object = value.as_object()?;
    let class = object.get("type")?.as_str()?;
    match object.get("params") {
        Some(params) => Some((class, unwrap(params).as_object()?)),
        None => Some((class, &NONE)),
    }
}

/// A value without the wrappers `{"type": "dict", "value": …}` and `{"type": …, "params": <no object>}`, at any depth. The
/// gateway reads no JSON deeper than 64 levels.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let dict = object.len() == 2 && object.get("type").is_some_and(|it| it == "dict");
            if let Some(inner) = object.get("value").filter(|_| dict) {
                return plain(inner);
            }
            let flag = object.len() == 2 && object.contains_key("type");
            if let Some(inner) = object.get("params").filter(|inner| flag && !inner.is_object()) {
                return plain(inner);
            }
            Value::Object(object.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn names(bits: u64) -> Vec<String> {
    let set = PATTERN_BITS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    set.map(|(_, name)| (*name).to_owned()).collect()
}

fn fields(object: &Map<String, Value>) -> Struct {
    Struct { fields: object.iter().map(|(name, value)| (name.clone(), proto(value))).collect() }
}

fn proto(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::Null => ProtoKind::NullValue(0),
        Value::Bool(bool) => ProtoKind::BoolValue(*bool),
        Value::Number(number) => ProtoKind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => ProtoKind::StringValue(text.clone()),
        Value::Array(items) => ProtoKind::ListValue(ListValue { values: items.iter().map(proto).collect() }),
        Value::Object(object) => ProtoKind::StructValue(fields(object)),
    };
    ProtoValue { kind: Some(kind) }
}

/// Our names of fields, and Crawl4AI's.
const NAMES: [(&str, &str); 4] = [
    ("config.extraction.selection.", "crawler_config."),
    ("config.extraction.filter", "crawler_config.markdown_generator.content_filter"),
    ("config.extraction.schema.schema", "crawler_config.extraction_strategy.schema"),
    ("config.extraction.patterns", "crawler_config.extraction_strategy.patterns"),
];

/// A refusal of the job service with Crawl4AI's names of fields.
pub(super) fn renamed(status: Status) -> Status {
    let mut details = status.get_error_details();
    let Some(bad) = details.bad_request().cloned() else { return status };
    let rename = |text: &str| {
        let named = NAMES
            .iter()
            .chain(&super::browser::NAMES)
            .find_map(|(ours, theirs)| Some(format!("{theirs}{}", text.strip_prefix(ours)?)));
        named.unwrap_or_else(|| text.to_owned())
    };
    let mut violations = bad.field_violations;
    for violation in &mut violations {
        violation.field = rename(&violation.field);
    }
    details.set_bad_request(violations);
    Status::with_error_details(status.code(), rename(status.message()), details)
}
