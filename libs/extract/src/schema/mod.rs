//! Structured data by schema: Crawl4AI's `JsonCssExtractionStrategy` and `JsonXPathExtractionStrategy`, field by field.
//! A schema is checked whole before any page is read; what is not supported is refused by name, `computed` above all.

mod parse;
mod read;

use regex::Regex;
use serde::Serialize;
use serde_json::Value;

use crate::select::{Invalid, Selector};
use crate::xpath::XPath;

pub(crate) use parse::pattern;

/// What a schema found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Extracted {
    /// An object for each element that the base selector matches, in document order; empty objects are left out.
    pub items: Vec<Value>,
    /// Whether the page held more than the limits let through, or was too much for a selector with `~`.
    pub truncated: bool,
}

/// How the selectors of a schema are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// CSS selectors.
    Css,
    /// XPath 1.0. Inside an element of the base, `/` and `//` start at that element.
    XPath,
}

/// A schema, ready to be applied to any number of pages.
#[derive(Debug, Clone)]
pub struct Schema {
    language: Language,
    source: Value,
    /// All CSS selectors of the schema, each once.
    selectors: Vec<Selector>,
    base: Query,
    base_fields: Vec<Field>,
    fields: Vec<Field>,
}

impl Schema {
    /// Reads a schema in Crawl4AI's JSON: `{"name", "baseSelector", "baseFields": [], "fields": []}`.
    ///
    /// A field is `{"name", "type", "selector", "source", "attribute", "pattern", "group", "transform", "default",
    /// "fields"}`; a list of types is applied one after the other.
    pub fn parse(language: Language, schema: &Value) -> Result<Self, Invalid> {
        parse::schema(language, schema)
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.language == other.language && self.source == other.source
    }
}

impl Eq for Schema {}

#[derive(Debug, Clone)]
enum Query {
    /// Index into the selectors of the schema.
    Css(usize),
    XPath(XPath),
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    query: Option<Query>,
    /// The element is not this one but the next sibling that matches.
    sibling: Option<Query>,
    kind: Kind,
    transforms: Vec<Transform>,
    default: Option<Value>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// One text, made by one step after the other.
    Single(Vec<Step>),
    /// An object from the first element.
    Nested(Vec<Field>),
    /// An object from each element.
    List(Vec<Field>),
}

#[derive(Debug, Clone)]
enum Step {
    Text,
    Attribute(String),
    Html,
    Regex(Regex, usize),
}

#[derive(Debug, Clone, Copy)]
enum Transform {
    Lowercase,
    Uppercase,
    Strip,
}
