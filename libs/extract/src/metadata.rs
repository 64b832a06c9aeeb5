//! What a page says about itself: title, description, author, dates, Open Graph, JSON-LD.
//! Promises bounded lists and values; a value the page spells wrong is left as it is.

use std::collections::BTreeMap;

use dom_query::local_name;
use serde_json::Value;

use crate::links::Targets;
use crate::tag::Tag;
use crate::tree::{Index, Tree, push_collapsed};
use crate::{Document, Heading, Options};

/// Deepest nesting of JSON-LD that is searched.
const MAX_JSON_DEPTH: usize = 16;

/// Fills the descriptive fields of a document.
pub(crate) fn read(tree: &Tree<'_>, targets: &Targets, options: &Options, document: &mut Document) {
    document.metadata = metas(tree, options);
    document.json_ld = json_ld(tree, options);
    document.headings = headings(tree, options);
    document.canonical = canonical(tree, targets);
    document.language = language(tree, &document.metadata);
    let meta = |names: &[&str]| names.iter().find_map(|name| document.metadata.get(*name).cloned());
    let linked = |keys: &[&str]| {
        document.json_ld.iter().find_map(|value| keys.iter().find_map(|key| linked_text(&value[*key])))
    };
    let heading =
        || document.headings.iter().min_by_key(|heading| heading.level).map(|heading| heading.text.clone());
    document.title = title(tree).or_else(|| meta(&["og:title", "twitter:title", "title"])).or_else(heading);
    document.description = meta(&["description", "og:description", "twitter:description", "dc.description"]);
    let author = meta(&["author", "dc.creator", "parsely-author", "sailthru.author"])
        .filter(|author| !author.starts_with("http"));
    let author = author.or_else(|| linked(&["author", "creator"]));
    document.author = author
        .or_else(|| meta(&["article:author"]).filter(|author| !author.starts_with("http")))
        .or_else(|| byline(tree));
    let published = meta(&[
        "article:published_time",
        "datepublished",
        "date",
        "dc.date",
        "dc.date.issued",
        "dcterms.created",
        "pubdate",
        "publishdate",
        "parsely-pub-date",
        "sailthru.date",
    ]);
    document.published =
        published.or_else(|| linked(&["datePublished", "dateCreated", "uploadDate"])).or_else(|| dated(tree));
}

fn one_line(text: &str, limit: usize) -> Option<String> {
    let mut line = String::new();
    push_collapsed(&mut line, text.trim());
    line.truncate(line.floor_char_boundary(limit.min(line.len())));
    (!line.is_empty()).then_some(line)
}

fn title(tree: &Tree<'_>) -> Option<String> {
    tree.find(Tag::Title).and_then(|at| one_line(&tree.raw(at), 1024))
}

fn metas(tree: &Tree<'_>, options: &Options) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    for at in 0..tree.len() {
        if metadata.len() >= options.max_metadata {
            break;
        }
        if tree.tag(at) != Tag::Meta {
            continue;
        }
        let names = [local_name!("property"), local_name!("name"), local_name!("itemprop")];
        let refresh =
            tree.attr(at, local_name!("http-equiv")).filter(|name| name.eq_ignore_ascii_case("refresh"));
        let name = names.into_iter().find_map(|name| tree.attr(at, name)).or(refresh);
        let Some(name) = name.map(str::trim) else { continue };
        let Some(value) = tree
            .attr(at, local_name!("content"))
            .and_then(|value| one_line(value, options.max_metadata_bytes))
        else {
            continue;
        };
        if !name.is_empty() && name.len() <= 128 {
            metadata.entry(name.to_lowercase()).or_insert(value);
        }
    }
    metadata
}

fn json_ld(tree: &Tree<'_>, options: &Options) -> Vec<Value> {
    let mut found = Vec::new();
    for at in 0..tree.len() {
        let linked = tree.tag(at) == Tag::Script
            && tree.attr(at, local_name!("type")).is_some_and(|kind| kind.contains("ld+json"));
        if !linked || found.len() >= options.max_metadata {
            continue;
        }
        let raw = tree.raw(at);
        let text = raw.trim().trim_start_matches("<!--").trim_end_matches("-->").trim_end_matches(';');
        let text = text
            .trim()
            .trim_start_matches("//<![CDATA[")
            .trim_start_matches("<![CDATA[")
            .trim_end_matches("//]]>")
            .trim_end_matches("]]>");
        let value = serde_json::from_str(text)
            .or_else(|_| serde_json::from_str(&text.replace(['\n', '\r', '\t'], " ")));
        if let Ok(value) = value {
            flatten(value, &mut found, options.max_metadata, 0);
        }
    }
    found
}

fn flatten(value: Value, found: &mut Vec<Value>, limit: usize, depth: usize) {
    if found.len() >= limit || depth > MAX_JSON_DEPTH {
        return;
    }
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, found, limit, depth + 1)),
        Value::Object(mut object) => {
            let graph = object.remove("@graph");
            if object.keys().any(|key| key != "@context") {
                found.push(Value::Object(object));
            }
            if let Some(graph) = graph {
                flatten(graph, found, limit, depth + 1);
            }
        }
        _ => {}
    }
}

/// A text, or the name of the thing that stands in its place; several are joined by commas.
fn linked_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => one_line(text, 512).filter(|text| !text.starts_with("http")),
        Value::Object(object) => {
            object.get("name").and_then(Value::as_str).and_then(|name| one_line(name, 512))
        }
        Value::Array(values) => {
            let names: Vec<String> =
                values.iter().take(16).filter(|value| !value.is_array()).filter_map(linked_text).collect();
            (!names.is_empty()).then(|| names.join(", "))
        }
        _ => None,
    }
}

fn headings(tree: &Tree<'_>, options: &Options) -> Vec<Heading> {
    let mut headings = Vec::new();
    let Some(body) = tree.find(Tag::Body) else { return headings };
    for at in tree.shown(body) {
        if headings.len() >= options.max_headings {
            break;
        }
        let Some(level) = tree.tag(at).heading() else { continue };
        let text = tree.line(at);
        let text = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '¶' | '§' | '#')).to_owned();
        if text.is_empty() {
            continue;
        }
        headings.push(Heading { level, text, id: fragment(tree, at) });
    }
    headings
}

/// The id of a heading, of an anchor in it, or of the section that it opens.
fn fragment(tree: &Tree<'_>, at: Index) -> Option<String> {
    let own = std::iter::once(at).chain(at + 1..tree.end(at)).map(|at| tree.id(at)).find(|id| !id.is_empty());
    let section = || {
        tree.parent(at)
            .filter(|up| tree.tag(*up) == Tag::Section)
            .map(|up| tree.id(up))
            .filter(|id| !id.is_empty())
    };
    own.or_else(section).map(str::to_owned)
}

fn canonical(tree: &Tree<'_>, targets: &Targets) -> Option<String> {
    let link = (0..tree.len()).find(|at| {
        tree.tag(*at) == Tag::Link
            && tree.attr(*at, local_name!("rel")).is_some_and(|rel| rel.eq_ignore_ascii_case("canonical"))
    })?;
    targets.resolve(tree.attr(link, local_name!("href"))?).filter(|url| url.starts_with("http"))
}

fn language(tree: &Tree<'_>, metadata: &BTreeMap<String, String>) -> Option<String> {
    let html = tree.find(Tag::Html)?;
    let declared = tree.attr(html, local_name!("lang")).or_else(|| tree.attr_named(html, "xml:lang"));
    let declared = declared.map(str::trim).filter(|language| !language.is_empty()).map(str::to_owned);
    let header = || {
        let meta = (0..tree.len()).find(|at| {
            let http = tree.attr(*at, local_name!("http-equiv"));
            http.is_some_and(|http| http.eq_ignore_ascii_case("content-language"))
        })?;
        tree.attr(meta, local_name!("content")).and_then(|content| one_line(content, 64))
    };
    let language = declared
        .or_else(header)
        .or_else(|| metadata.get("og:locale").or_else(|| metadata.get("language")).cloned())?;
    Some(language.replace('_', "-")).filter(|language| language.len() <= 35)
}

/// The author as the page marks it up: `rel=author`, `itemprop=author`, a class that says byline.
fn byline(tree: &Tree<'_>) -> Option<String> {
    let at = (0..tree.len()).find(|at| {
        let is =
            |name, value: &str| tree.attr(*at, name).is_some_and(|found| found.eq_ignore_ascii_case(value));
        is(local_name!("rel"), "author") || is(local_name!("itemprop"), "author")
    })?;
    let line = tree.line(at);
    let line = line.strip_prefix("By ").or_else(|| line.strip_prefix("by ")).unwrap_or(&line);
    one_line(line, 200).filter(|line| line.split(' ').count() <= 12)
}

/// The first date that the page marks up as its own.
fn dated(tree: &Tree<'_>) -> Option<String> {
    let at = (0..tree.len()).find(|at| {
        let published = tree
            .attr(*at, local_name!("itemprop"))
            .is_some_and(|prop| prop.eq_ignore_ascii_case("datePublished"));
        published || tree.attr_named(*at, "pubdate").is_some()
    })?;
    let value = tree.attr(at, local_name!("datetime")).or_else(|| tree.attr(at, local_name!("content")));
    value.and_then(|value| one_line(value, 64)).or_else(|| one_line(&tree.line(at), 64))
}
