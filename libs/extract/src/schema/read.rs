//! A schema on a page. Every selector is evaluated once for the whole page, and fields look up what lies inside their
//! element. Promises bounded work and output: when a bound is met, the rest is left out and `truncated` says so.

use std::cell::Cell;

use dom_query::Document as Dom;
use serde_json::{Map, Value};

use super::{Extracted, Field, Kind, Query, Schema, Step, Transform};
use crate::Options;
use crate::select::Places;
use crate::tag::Tag;
use crate::tree::{Index, Tree, push_collapsed};
use crate::xpath;

/// Nodes and pieces of text that one schema may look at; the largest page has under a million.
const MAX_WORK: u64 = 10_000_000;

impl Schema {
    /// Applies the schema to a page.
    pub(crate) fn read(&self, dom: &Dom, tree: &Tree<'_>, options: &Options) -> Extracted {
        let places = Places::new(tree);
        let matches = self.selectors.iter().map(|selector| selector.matches(dom, &places)).collect();
        let reader = Reader {
            dom,
            tree,
            matches,
            work: Cell::new(MAX_WORK),
            bytes: Cell::new(options.max_extracted_bytes),
        };
        let mut extracted =
            Extracted { truncated: !places.into_skipped().is_empty(), ..Extracted::default() };
        for found in reader.find(&self.base, None) {
            if extracted.items.len() >= options.max_items {
                extracted.truncated = true;
                break;
            }
            let Found::Element(at) = found else { continue };
            let mut item = Map::new();
            reader.fill(&self.base_fields, at, &mut item);
            reader.fill(&self.fields, at, &mut item);
            // An object cut short would be a lie; the ones before it are whole.
            if reader.exhausted() {
                extracted.truncated = true;
                break;
            }
            if !item.is_empty() {
                extracted.items.push(Value::Object(item));
            }
        }
        extracted
    }
}

enum Found {
    Element(Index),
    Text(String),
}

struct Reader<'p> {
    dom: &'p Dom,
    tree: &'p Tree<'p>,
    /// What each selector of the schema matches, in document order.
    matches: Vec<Vec<Index>>,
    work: Cell<u64>,
    bytes: Cell<usize>,
}

impl Reader<'_> {
    fn exhausted(&self) -> bool {
        self.work.get() == 0 || self.bytes.get() == 0
    }

    fn spend(&self, work: usize) {
        self.work.set(self.work.get().saturating_sub(work as u64 + 1));
    }

    /// What a query finds inside an element, or in the page.
    fn find(&self, query: &Query, inside: Option<Index>) -> Vec<Found> {
        match query {
            Query::Css(at) => {
                let matches = &self.matches[*at];
                let within = match inside {
                    Some(at) => {
                        let from = matches.partition_point(|found| *found <= at);
                        let end = matches.partition_point(|found| *found < self.tree.end(at));
                        &matches[from..end]
                    }
                    None => matches,
                };
                self.spend(within.len());
                within.iter().map(|at| Found::Element(*at)).collect()
            }
            Query::XPath(xpath) => {
                let found = xpath.find(self.tree, inside, &self.work);
                let found = found.into_iter().map(|found| match found {
                    xpath::Found::Element(at) => Found::Element(at),
                    xpath::Found::Text(text) => Found::Text(text),
                });
                found.collect()
            }
        }
    }

    fn fill(&self, fields: &[Field], at: Index, item: &mut Map<String, Value>) {
        for field in fields {
            if self.exhausted() {
                return;
            }
            if let Some(value) = self.field(field, at).or_else(|| field.default.clone()) {
                let size = field.name.len() + value.as_str().map_or(8, str::len);
                self.bytes.set(self.bytes.get().saturating_sub(size));
                item.insert(field.name.clone(), value);
            }
        }
    }

    fn field(&self, field: &Field, at: Index) -> Option<Value> {
        let at = match &field.sibling {
            Some(query) => self.sibling(query, at)?,
            None => at,
        };
        let found = field.query.as_ref().map(|query| self.find(query, Some(at)));
        let object = |at: Index, fields: &[Field]| {
            let mut item = Map::new();
            self.fill(fields, at, &mut item);
            Value::Object(item)
        };
        match &field.kind {
            Kind::Single(steps) => {
                let first = match found {
                    Some(found) => found.into_iter().next()?,
                    None => Found::Element(at),
                };
                let text = self.text(first, steps)?;
                Some(Value::String(field.transforms.iter().fold(text, transformed)))
            }
            Kind::Nested(fields) => match found?.into_iter().next() {
                Some(Found::Element(at)) => Some(object(at, fields)),
                // As Crawl4AI has it: an object that is not there is an empty one.
                _ => Some(Value::Object(Map::new())),
            },
            Kind::List(fields) => {
                let mut items = Vec::new();
                for found in found? {
                    if self.exhausted() {
                        break;
                    }
                    if let Found::Element(at) = found {
                        items.push(object(at, fields));
                    }
                }
                Some(Value::Array(items))
            }
        }
    }

    /// The next sibling that matches.
    fn sibling(&self, query: &Query, at: Index) -> Option<Index> {
        let siblings = match query {
            Query::XPath(_) => {
                let found = self.find(query, Some(at));
                return found.into_iter().find_map(|found| match found {
                    Found::Element(at) => Some(at),
                    Found::Text(_) => None,
                });
            }
            Query::Css(selector) => &self.matches[*selector],
        };
        let parent = self.tree.parent(at)?;
        let mut next = self.tree.end(at);
        while next < self.tree.end(parent) && !self.exhausted() {
            self.spend(1);
            if siblings.binary_search(&next).is_ok() {
                return Some(next);
            }
            next = self.tree.end(next);
        }
        None
    }

    fn text(&self, found: Found, steps: &[Step]) -> Option<String> {
        let mut text: Option<String> = match &found {
            Found::Text(text) => Some(text.clone()),
            Found::Element(_) => None,
        };
        for step in steps {
            let made = match (step, &found) {
                (Step::Text, Found::Element(at)) if text.is_none() => self.words(*at),
                (Step::Attribute(name), Found::Element(at)) => self.tree.attr_named(*at, name)?.to_owned(),
                (Step::Html, Found::Element(at)) => self.html(*at)?,
                // An attribute or text that XPath found is the value itself.
                (Step::Text | Step::Attribute(_) | Step::Html, _) => text?,
                (Step::Regex(regex, group), _) => {
                    let searched = match (text, &found) {
                        (Some(text), _) => text,
                        (None, Found::Element(at)) => self.words(*at),
                        (None, Found::Text(text)) => text.clone(),
                    };
                    self.spend(searched.len());
                    regex.captures(&searched)?.get(*group)?.as_str().to_owned()
                }
            };
            text = Some(made);
        }
        text
    }

    /// The words of an element in one line, shown or not; scripts and styles only if they are the element itself.
    fn words(&self, at: Index) -> String {
        self.spend(self.tree.end(at) - at);
        if self.tree.tag(at) == Tag::Script {
            return self.tree.raw(at).trim().to_owned();
        }
        let mut line = String::new();
        let mut next = at + 1;
        while next < self.tree.end(at) {
            match self.tree.tag(next) {
                Tag::Script | Tag::Style | Tag::Template | Tag::Noscript => {
                    next = self.tree.end(next);
                    continue;
                }
                Tag::Text => {
                    let text = self.tree.text(next);
                    self.spend(text.len() / 16);
                    push_collapsed(&mut line, text);
                }
                tag if tag.block() || tag == Tag::Br => push_collapsed(&mut line, " "),
                _ => {}
            }
            next += 1;
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn html(&self, at: Index) -> Option<String> {
        self.spend(self.tree.end(at) - at);
        self.dom.tree.get(&self.tree.id_of(at)).map(|node| node.html().to_string())
    }
}

fn transformed(text: String, transform: &Transform) -> String {
    match transform {
        Transform::Lowercase => text.to_lowercase(),
        Transform::Uppercase => text.to_uppercase(),
        Transform::Strip => text.trim().to_owned(),
    }
}
