//! JSON to schema. Every refusal names the field by its path, such as `fields[2].fields[0].type`.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{Field, Kind, Language, Query, Schema, Step, Transform};
use crate::select::{Invalid, Selector, shown};
use crate::xpath::XPath;

/// Most fields of a schema, nested ones counted.
const MAX_FIELDS: usize = 128;
/// Deepest nesting of fields.
const MAX_DEPTH: usize = 8;
/// Longest pattern in bytes, and the most memory its compiled form may take.
const MAX_PATTERN_BYTES: usize = 1_024;
const MAX_COMPILED_BYTES: usize = 1 << 20;

const SCHEMA_KEYS: &[&str] = &["name", "baseSelector", "baseFields", "fields"];
const FIELD_KEYS: &[&str] = &[
    "name",
    "selector",
    "source",
    "type",
    "attribute",
    "pattern",
    "group",
    "transform",
    "default",
    "fields",
];

pub(super) fn schema(language: Language, source: &Value) -> Result<Schema, Invalid> {
    let object = object(source, "schema")?;
    known(object, SCHEMA_KEYS, "")?;
    let mut parser = Parser { language, selectors: Vec::new(), fields: 0 };
    let base = text(object, "baseSelector", "")?.ok_or_else(|| Invalid::new("baseSelector", "is missing"))?;
    let base = parser.query("baseSelector", base)?;
    let base_fields = parser.fields(object.get("baseFields"), "baseFields", 0)?;
    let fields = parser.fields(object.get("fields"), "fields", 0)?;
    if base_fields.is_empty() && fields.is_empty() {
        return Err(Invalid::new("fields", "is empty"));
    }
    Ok(Schema { language, source: source.clone(), selectors: parser.selectors, base, base_fields, fields })
}

/// Compiles a pattern within the limits of this crate.
pub(crate) fn pattern(path: &str, source: &str) -> Result<Regex, Invalid> {
    if source.len() > MAX_PATTERN_BYTES {
        return Err(Invalid::new(path, format!("is longer than {MAX_PATTERN_BYTES} bytes")));
    }
    RegexBuilder::new(source)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Invalid::new(path, "is too large a pattern"),
            _ if source.contains("(?=") || source.contains("(?!") || source.contains("(?<") => {
                let problem = "is not a pattern that needs linear time: no look-around, no back-references";
                Invalid::new(path, format!("{problem}: {}", shown(source)))
            }
            _ => Invalid::new(path, format!("is not a regular expression: {}", shown(source))),
        })
}

struct Parser {
    language: Language,
    selectors: Vec<Selector>,
    fields: usize,
}

impl Parser {
    fn query(&mut self, path: &str, source: &str) -> Result<Query, Invalid> {
        if self.language == Language::XPath {
            return XPath::parse(path, source).map(Query::XPath);
        }
        if let Some(at) = self.selectors.iter().position(|selector| selector.source() == source) {
            return Ok(Query::Css(at));
        }
        self.selectors.push(Selector::parse(path, source)?);
        Ok(Query::Css(self.selectors.len() - 1))
    }

    fn fields(&mut self, fields: Option<&Value>, path: &str, depth: usize) -> Result<Vec<Field>, Invalid> {
        let Some(fields) = fields else { return Ok(Vec::new()) };
        let fields = fields.as_array().ok_or_else(|| Invalid::new(path, "is no list"))?;
        if depth >= MAX_DEPTH {
            return Err(Invalid::new(path, format!("is nested deeper than {MAX_DEPTH}")));
        }
        self.fields += fields.len();
        if self.fields > MAX_FIELDS {
            return Err(Invalid::new(path, format!("goes beyond {MAX_FIELDS} fields in all")));
        }
        fields
            .iter()
            .enumerate()
            .map(|(at, field)| self.field(field, &format!("{path}[{at}]"), depth))
            .collect()
    }

    fn field(&mut self, field: &Value, path: &str, depth: usize) -> Result<Field, Invalid> {
        let object = object(field, path)?;
        known(object, FIELD_KEYS, path)?;
        let name =
            text(object, "name", path)?.ok_or_else(|| Invalid::new(&below(path, "name"), "is missing"))?;
        let selector = text(object, "selector", path)?.filter(|selector| !selector.is_empty());
        let query = selector.map(|selector| self.query(&below(path, "selector"), selector)).transpose()?;
        let sibling = text(object, "source", path)?.map(|source| self.sibling(source, path)).transpose()?;
        let kind = self.kind(object, path, depth)?;
        if matches!(kind, Kind::Nested(_) | Kind::List(_)) && query.is_none() {
            return Err(Invalid::new(&below(path, "selector"), "is missing"));
        }
        let transforms = transforms(object.get("transform"), &below(path, "transform"))?;
        let default = object.get("default").filter(|default| !default.is_null()).cloned();
        Ok(Field { name: name.to_owned(), query, sibling, kind, transforms, default })
    }

    fn sibling(&mut self, source: &str, path: &str) -> Result<Query, Invalid> {
        let path = below(path, "source");
        let selector = source.trim().strip_prefix('+').map(str::trim).filter(|selector| !selector.is_empty());
        let selector = selector
            .ok_or_else(|| Invalid::new(&path, "is not of the form `+ selector`, the next sibling"))?;
        match self.language {
            Language::Css => self.query(&path, selector),
            // The sibling of a schema in XPath is a name in Crawl4AI too: `+ tr`.
            Language::XPath => self.query(&path, &format!("following-sibling::{selector}")),
        }
    }

    fn kind(&mut self, object: &Map<String, Value>, path: &str, depth: usize) -> Result<Kind, Invalid> {
        let (path_of_type, path_of_fields) = (below(path, "type"), below(path, "fields"));
        let names: Vec<&str> = match object.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().map(|name| name.as_str().unwrap_or_default()).collect(),
            _ => return Err(Invalid::new(&path_of_type, "is missing")),
        };
        let nested = match names[..] {
            ["nested"] => Some(Kind::Nested as fn(Vec<Field>) -> Kind),
            ["list" | "nested_list"] => Some(Kind::List as fn(Vec<Field>) -> Kind),
            _ => None,
        };
        if let Some(kind) = nested {
            let fields = self.fields(object.get("fields"), &path_of_fields, depth + 1)?;
            if fields.is_empty() {
                return Err(Invalid::new(&path_of_fields, "is empty"));
            }
            return Ok(kind(fields));
        }
        if names.is_empty() || names.len() > MAX_DEPTH {
            return Err(Invalid::new(&path_of_type, format!("has not 1 to {MAX_DEPTH} steps")));
        }
        names.iter().map(|name| step(name, object, path)).collect::<Result<_, _>>().map(Kind::Single)
    }
}

fn step(name: &str, object: &Map<String, Value>, path: &str) -> Result<Step, Invalid> {
    let needed = |key: &str| {
        let missing = || Invalid::new(&below(path, key), format!("is missing: type {name} needs it"));
        text(object, key, path)?.ok_or_else(missing)
    };
    match name {
        "text" => Ok(Step::Text),
        "html" => Ok(Step::Html),
        "attribute" => Ok(Step::Attribute(needed("attribute")?.to_ascii_lowercase())),
        "regex" => {
            let regex = pattern(&below(path, "pattern"), needed("pattern")?)?;
            let group = match object.get("group") {
                Some(group) => group.as_u64().and_then(|group| usize::try_from(group).ok()),
                // As in Crawl4AI, but a pattern without groups gives all of the match.
                None => Some(usize::from(regex.captures_len() > 1)),
            };
            let group = group.filter(|group| *group < regex.captures_len());
            let group =
                group.ok_or_else(|| Invalid::new(&below(path, "group"), "is no group of the pattern"))?;
            Ok(Step::Regex(regex, group))
        }
        "computed" => Err(Invalid::new(
            &below(path, "type"),
            "is `computed`: expressions of a programming language are not supported",
        )),
        other => Err(Invalid::new(&below(path, "type"), format!("is not a known type: {}", shown(other)))),
    }
}

fn transforms(value: Option<&Value>, path: &str) -> Result<Vec<Transform>, Invalid> {
    let names: Vec<&Value> = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(names)) => names.iter().collect(),
        Some(name) => vec![name],
    };
    let transform = |name: &Value| match name.as_str() {
        Some("lowercase") => Ok(Transform::Lowercase),
        Some("uppercase") => Ok(Transform::Uppercase),
        Some("strip") => Ok(Transform::Strip),
        _ => Err(Invalid::new(path, "is not lowercase, uppercase or strip")),
    };
    names.into_iter().take(MAX_DEPTH).map(transform).collect()
}

fn object<'v>(value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, Invalid> {
    value.as_object().ok_or_else(|| Invalid::new(path, "is no object"))
}

fn known(object: &Map<String, Value>, keys: &[&str], path: &str) -> Result<(), Invalid> {
    match object.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(Invalid::new(&below(path, &key[..key.floor_char_boundary(64)]), "is not supported")),
        None => Ok(()),
    }
}

fn text<'v>(object: &'v Map<String, Value>, key: &str, path: &str) -> Result<Option<&'v str>, Invalid> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Invalid::new(&below(path, key), "is no text")),
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
