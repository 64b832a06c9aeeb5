//! The options of a job as the protocol has them: what is read, what is refused by name, and what becomes of a page.

use api::job::v1 as pb;
use extract::{Document, Input, Part, Searched, extract, options};
use pb::extraction::Format;
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::json;

const PAGE: &str = "<html><head><title>T</title><meta name=author content=A></head><body><nav><a href=/nav>nav</a></nav>\
    <main><h1 id=h>Head</h1><p onclick=x() class=lead>See <a href='/in?a=1&b=2' onmouseover=y()>inner</a> &amp; <b>mail</b> a@example.org.</p>\
    <script>evil()</script><pre><code class='language-rust x'>a  &lt;b\n</code></pre><p hidden>unseen</p>\
    <a href='javascript:alert(1)'>script</a><table><tr><td colspan=2>1<td>2<tr><td>3<td>4<td>5</table><custom-box><i>in a box</i></custom-box>\
    <video poster=/p.png title=Film><source src=/film.mp4></video><audio src=/sound.ogg></audio></main></body></html>";

fn read(request: &pb::Extraction) -> Document {
    let options = options(request).expect("because the test asks for what is possible");
    super::read_with(PAGE, &options)
}

fn of(formats: &[Format]) -> pb::Extraction {
    pb::Extraction { formats: formats.iter().map(|it| i32::from(*it)).collect(), ..pb::Extraction::default() }
}

fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(bool) => Kind::BoolValue(*bool),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
        Json::Object(_) => Kind::StructValue(fields(json)),
    };
    Value { kind: Some(kind) }
}

fn fields(json: &serde_json::Value) -> Struct {
    let object = json.as_object().expect("because the test writes an object");
    Struct { fields: object.iter().map(|(name, it)| (name.clone(), value(it))).collect() }
}

#[test]
fn a_document_has_the_parts_that_were_asked_for() {
    let usual = read(&pb::Extraction::default());
    assert!(!usual.markdown.is_empty() && !usual.fit_markdown.is_empty() && !usual.text.is_empty());
    assert!(!usual.links.is_empty() && !usual.tables.is_empty() && !usual.headings.is_empty());
    assert_eq!((usual.author.as_deref(), usual.recordings.len()), (Some("A"), 2));
    assert!(usual.citations.is_none() && usual.cleaned_html.is_empty() && usual.chunks.is_empty());

    let other = read(&of(&[Format::Citations, Format::Chunks]));
    assert!(
        other.markdown.is_empty()
            && other.text.is_empty()
            && other.links.is_empty()
            && other.headings.is_empty()
    );
    assert!(other.metadata.is_empty() && other.author.is_none() && other.recordings.is_empty());
    assert_eq!((other.title.as_deref(), other.word_count), (Some("T"), usual.word_count), "always there");
    let citations = other.citations.expect("because it was asked for");
    assert!(citations.markdown.contains("inner⟨2⟩"), "{}", citations.markdown);
    assert!(citations.references.contains("⟨2⟩ https://example.com/in?a=1&b=2"), "{}", citations.references);
    assert_eq!(other.chunks[0].headings, ["Head"]);
}

#[test]
fn clean_html_has_structure_and_nothing_that_runs() {
    let html = read(&of(&[Format::CleanedHtml])).cleaned_html;
    for part in [
        "<h1 id=\"h\">Head</h1>",
        "<p>See <a href=\"https://example.com/in?a=1&amp;b=2\">inner</a> &amp; <b>mail</b> a@example.org.</p>",
        "<pre><code class=\"language-rust\">a  &lt;b\n</code></pre>",
        "<a>script</a>",
        "<td colspan=\"2\">1</td>",
        "<i>in a box</i>",
        "<video src=\"https://example.com/film.mp4\" title=\"Film\"></video>",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    for part in ["evil", "onclick", "javascript:", "unseen", "class=\"lead\"", "custom-box"] {
        assert!(!html.contains(part), "{part}: {html}");
    }
}

#[test]
fn only_text_keeps_the_words_of_marks() {
    let selection = pb::Selection { only_text: true, ..pb::Selection::default() };
    let page = read(&pb::Extraction { selection: Some(selection), ..pb::Extraction::default() });
    assert!(
        page.markdown.contains("& mail a@example.org") && !page.markdown.contains("**"),
        "{}",
        page.markdown
    );
    assert!(page.markdown.contains("in a box") && !page.markdown.contains('*'), "{}", page.markdown);
}

#[test]
fn schema_patterns_and_selection_reach_the_page() {
    let schema = fields(&json!({"baseSelector": "main", "fields": [
        {"name": "head", "selector": "h1", "type": "text"},
        {"name": "mail", "type": "regex", "pattern": "(\\w+)@(\\w+)", "group": 2},
    ]}));
    let request = pb::Extraction {
        schema: Some(pb::ExtractionSchema { schema: Some(schema), ..pb::ExtractionSchema::default() }),
        patterns: Some(pb::Patterns {
            built_in: vec!["email".to_owned()],
            custom: vec![pb::patterns::Custom {
                label: "file".to_owned(),
                pattern: r"/(\w+\.mp4)".to_owned(),
            }],
            input: pb::patterns::Input::CleanedHtml.into(),
        }),
        selection: Some(pb::Selection { excluded_tags: vec!["NAV".to_owned()], ..pb::Selection::default() }),
        ..pb::Extraction::default()
    };
    let page = read(&request);
    assert_eq!(
        page.extracted.expect("because there is a schema").items,
        [json!({"head": "Head", "mail": "example"})]
    );
    let found: Vec<_> = page.matches.iter().map(|it| (it.label.as_str(), it.value.as_str())).collect();
    assert_eq!(found, [("email", "a@example.org"), ("file", "film.mp4")]);
    assert!(!page.markdown.contains("nav") && page.cleaned_html.is_empty(), "searched, but not wanted");
}

#[test]
fn patterns_and_chunks_work_on_other_bodies() {
    let request = pb::Extraction {
        formats: vec![Format::Chunks.into(), Format::Markdown.into()],
        patterns: Some(pb::Patterns { built_in: vec!["all".to_owned()], ..pb::Patterns::default() }),
        chunking: Some(pb::Chunking { max_tokens: Some(16), whole_page: true }),
        ..pb::Extraction::default()
    };
    let options = options(&request).expect("because it is possible");
    assert!(options.parts.has(Part::Markdown) && !options.parts.has(Part::Text));
    assert_eq!(options.patterns.as_ref().map(|it| it.1), Some(Searched::Markdown));
    let url = url::Url::parse(super::PAGE).expect("because it is a constant");
    let text = "Write to b@example.org. ".repeat(8);
    let input = Input { bytes: text.as_bytes(), content_type: Some("text/plain"), url: &url };
    let page = extract(input, &options).expect("because it is text");
    assert_eq!(page.matches.iter().filter(|it| it.label == "email").count(), 8);
    assert!(page.chunks.len() > 1 && page.chunks.iter().all(|chunk| chunk.tokens <= 16), "{:?}", page.chunks);
}

#[test]
fn every_mistake_is_told_by_its_field() {
    let text = |text: &str| text.to_owned();
    let request = pb::Extraction {
        formats: vec![0, 99, Format::Text.into(), Format::Text.into()],
        selection: Some(pb::Selection {
            css_selector: text("p["),
            target_elements: vec![text("p"), text("::")],
            excluded_tags: vec![text("a b")],
            excluded_selector: text(">>>"),
            word_count_threshold: -1,
            exclude_domains: vec![text("x y")],
            ..pb::Selection::default()
        }),
        filter: Some(pb::ContentFilter::default()),
        schema: Some(pb::ExtractionSchema {
            language: pb::extraction_schema::Language::Xpath.into(),
            schema: Some(fields(
                &json!({"baseSelector": "//p", "fields": [{"name": "a", "type": "computed"}]}),
            )),
        }),
        patterns: Some(pb::Patterns {
            built_in: vec![text("nothing")],
            custom: vec![pb::patterns::Custom { label: text("ahead"), pattern: text("(?=x)") }],
            input: 9,
        }),
        chunking: Some(pb::Chunking { max_tokens: Some(1), whole_page: false }),
    };
    let refusals = options(&request).expect_err("because all of it is wrong");
    let told: Vec<_> = refusals.iter().map(|it| (it.field.as_str(), it.reason)).collect();
    assert_eq!(
        told,
        [
            ("formats[0]", "UNKNOWN_VALUE"),
            ("formats[1]", "UNKNOWN_VALUE"),
            ("formats[3]", "DUPLICATE"),
            ("selection.css_selector", "INVALID_SELECTOR"),
            ("selection.excluded_selector", "INVALID_SELECTOR"),
            ("selection.target_elements[1]", "INVALID_SELECTOR"),
            ("selection.excluded_tags[0]", "INVALID_TAG"),
            ("selection.word_count_threshold", "OUT_OF_RANGE"),
            ("selection.exclude_domains[0]", "INVALID_DOMAIN"),
            ("filter", "REQUIRED"),
            ("schema.schema.fields[0].type", "INVALID_SCHEMA"),
            ("patterns.input", "UNKNOWN_VALUE"),
            ("patterns.built_in[0]", "INVALID_PATTERN"),
            ("patterns.custom[0]", "INVALID_PATTERN"),
            ("chunking.max_tokens", "OUT_OF_RANGE"),
            ("chunking", "CONFLICT"),
        ]
    );
    let nan = pb::content_filter::Pruning { threshold: Some(f64::NAN), ..Default::default() };
    let nan = pb::ContentFilter { kind: Some(pb::content_filter::Kind::Pruning(nan)) };
    let refusals = options(&pb::Extraction { filter: Some(nan), ..pb::Extraction::default() });
    assert_eq!(refusals.expect_err("because it is no number")[0].field, "filter.pruning.threshold");
}
