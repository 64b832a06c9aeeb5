//! A page's document as the result service takes it.

use std::collections::{BTreeMap, HashMap};

use api::result::v1 as pb;
use domain::{Lane, Verdict};
use extract::{ContentKind, Document};
use prost_types::{ListValue, Struct, Value, value};
use time::OffsetDateTime;

use crate::fetch::Fetched;
use crate::outcome;
use crate::task::Task;

/// Most response headers kept.
const MAX_HEADERS: usize = 200;

/// What is known of a page beside its content.
pub(crate) struct About<'a> {
    /// The task.
    pub(crate) task: &'a Task,
    /// The lane that fetched it.
    pub(crate) lane: Lane,
    /// Why that lane.
    pub(crate) lane_reason: String,
    /// The verdict on it.
    pub(crate) verdict: Verdict,
    /// Why.
    pub(crate) detail: String,
    /// When it was fetched.
    pub(crate) time: OffsetDateTime,
    /// The resource name of the session that it was read with. Empty: none.
    pub(crate) session: String,
}

/// The document of a page. Artifacts are announced by whoever sends them.
pub(crate) fn document(about: About<'_>, fetched: &Fetched, document: Document) -> pb::Document {
    let metadata = metadata(&document);
    let citations = document.citations.unwrap_or_default();
    let (extracted, extracted_truncated) = extracted(document.extracted);
    pb::Document {
        name: about.task.name(),
        url: about.task.url.to_string(),
        final_url: fetched.final_url.to_string(),
        http_status: Some(i32::from(fetched.status)),
        verdict: outcome::verdict(about.verdict).into(),
        detail: about.detail,
        lane: outcome::lane(about.lane).into(),
        lane_reason: about.lane_reason,
        content_type: fetched
            .header("content-type")
            .or(fetched.content_type.as_deref())
            .unwrap_or_default()
            .into(),
        fetch_time: Some(outcome::timestamp(about.time)),
        expire_time: None,
        title: document.title.unwrap_or_default(),
        description: document.description.unwrap_or_default(),
        language: document.language.unwrap_or_default(),
        content_kind: content_kind(document.content_kind).to_owned(),
        confidence: document.confidence,
        markdown: document.markdown,
        fit_markdown: document.fit_markdown,
        text: document.text,
        links: document.links.into_iter().map(link).collect(),
        images: document.images.into_iter().map(image).collect(),
        tables: document.tables.into_iter().map(table).collect(),
        headings: document.headings.into_iter().map(heading).collect(),
        metadata: Some(metadata),
        artifacts: Vec::new(),
        response_headers: headers(&fetched.headers),
        word_count: i64::from(document.word_count),
        redirects: fetched.redirects.clone(),
        cleaned_html: document.cleaned_html,
        markdown_with_citations: citations.markdown,
        references_markdown: citations.references,
        extracted,
        extracted_truncated,
        matches: document.matches.into_iter().map(found).collect(),
        chunks: document.chunks.into_iter().map(chunk).collect(),
        media: document.recordings.into_iter().map(media).collect(),
        skipped_selectors: document.skipped_selectors,
        from_cache: false,
        session: about.session,
        ads_blocked: i64::try_from(fetched.ads_blocked).unwrap_or(i64::MAX),
    }
}

fn content_kind(kind: ContentKind) -> &'static str {
    match kind {
        ContentKind::Article => "article",
        ContentKind::Documentation => "documentation",
        ContentKind::Listing => "listing",
        ContentKind::Product => "product",
        ContentKind::Forum => "forum",
        ContentKind::Other => "other",
        ContentKind::Text => "text",
        ContentKind::Data => "data",
    }
}

fn link(link: extract::Link) -> pb::Link {
    let (title, rel) = (link.title.unwrap_or_default(), link.rel.unwrap_or_default());
    pb::Link { url: link.url, text: link.text, title, rel, internal: link.internal }
}

fn image(image: extract::Image) -> pb::Image {
    let pixels = |n: Option<u32>| n.and_then(|n| i32::try_from(n).ok());
    pb::Image { url: image.url, alt: image.alt, width: pixels(image.width), height: pixels(image.height) }
}

fn table(table: extract::Table) -> pb::Table {
    pb::Table {
        caption: table.caption.unwrap_or_default(),
        headers: table.headers,
        rows: table.rows.into_iter().map(|cells| pb::TableRow { cells }).collect(),
    }
}

fn heading(heading: extract::Heading) -> pb::Heading {
    let anchor = heading.id.unwrap_or_default();
    pb::Heading { level: i32::from(heading.level), text: heading.text, anchor }
}

fn extracted(extracted: Option<extract::Extracted>) -> (Option<ListValue>, bool) {
    let Some(extracted) = extracted else { return (None, false) };
    (Some(ListValue { values: extracted.items.iter().map(json).collect() }), extracted.truncated)
}

fn found(found: extract::Match) -> pb::PatternMatch {
    let place = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
    let (start, end) = (place(found.span.start), place(found.span.end));
    pb::PatternMatch { label: found.label, value: found.value, start, end }
}

fn chunk(chunk: extract::Chunk) -> pb::Chunk {
    let tokens = i32::try_from(chunk.tokens).unwrap_or(i32::MAX);
    pb::Chunk { id: chunk.id, headings: chunk.headings, text: chunk.text, tokens }
}

fn media(recording: extract::Recording) -> pb::Media {
    let kind = match recording.kind {
        extract::RecordingKind::Video => "video",
        extract::RecordingKind::Audio => "audio",
    };
    pb::Media {
        kind: kind.to_owned(),
        url: recording.url,
        poster: recording.poster.unwrap_or_default(),
        title: recording.title.unwrap_or_default(),
    }
}

/// Several headers of one name are joined as RFC 9110, 5.3 has it.
fn headers(headers: &[(String, String)]) -> HashMap<String, String> {
    let mut joined: HashMap<String, String> = HashMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| name != "set-cookie").take(MAX_HEADERS) {
        joined
            .entry(name.clone())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(value);
            })
            .or_insert_with(|| value.clone());
    }
    joined
}

fn metadata(document: &Document) -> Struct {
    let mut fields: BTreeMap<String, Value> =
        document.metadata.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let found = [
        ("author", &document.author),
        ("published", &document.published),
        ("canonical", &document.canonical),
    ];
    for (name, value) in found {
        if let Some(value) = value {
            fields.entry(name.to_owned()).or_insert_with(|| text(value));
        }
    }
    if !document.json_ld.is_empty() {
        let values = document.json_ld.iter().map(json).collect();
        fields
            .insert("json_ld".to_owned(), Value { kind: Some(value::Kind::ListValue(ListValue { values })) });
    }
    Struct { fields }
}

fn text(text: &str) -> Value {
    Value { kind: Some(value::Kind::StringValue(text.to_owned())) }
}

/// serde_json refuses to read deeper than 128 levels, so this recursion is bounded.
fn json(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(bool) => value::Kind::BoolValue(*bool),
        Json::Number(number) => value::Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(string) => value::Kind::StringValue(string.clone()),
        Json::Array(array) => {
            value::Kind::ListValue(ListValue { values: array.iter().map(self::json).collect() })
        }
        Json::Object(object) => value::Kind::StructValue(Struct {
            fields: object.iter().map(|(name, value)| (name.clone(), self::json(value))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_joined_and_cookies_left_out() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let joined = headers(&[pair("vary", "a"), pair("set-cookie", "secret"), pair("vary", "b")]);
        assert_eq!(joined, HashMap::from([pair("vary", "a, b")]));
    }

    #[test]
    fn metadata_keeps_what_the_page_says() {
        let document = Document {
            author: Some("extracted".into()),
            metadata: BTreeMap::from([("author".into(), "declared".into())]),
            json_ld: vec![serde_json::json!({"@type": "Article", "n": [1, null, true]})],
            ..Document::default()
        };
        let fields = metadata(&document).fields;
        assert_eq!(fields["author"], text("declared"));
        let Some(value::Kind::ListValue(list)) = &fields["json_ld"].kind else {
            panic!("because it is a list")
        };
        let Some(value::Kind::StructValue(object)) = &list.values[0].kind else {
            panic!("because it is an object")
        };
        assert_eq!(object.fields["@type"], text("Article"));
        assert!(matches!(&object.fields["n"].kind, Some(value::Kind::ListValue(n)) if n.values.len() == 3));
    }
}
