//! A page in the form of Crawl4AI's `CrawlResult`. Fields that crawlmesh has nothing for are null, or empty where
//! Crawl4AI's client requires a value.

use api::{
    job::v1::{
        Job, Page,
        page::{Lane, Verdict},
    },
    result::v1::{Document, Image, Link, Media, PatternMatch, Table},
};
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value, json};

/// A page without a document.
pub(super) fn failed(page: &Page) -> Value {
    let mut result = empty(page);
    result["success"] = json!(false);
    let verdict = page.verdict().as_str_name().to_lowercase();
    let message = match page.verdict() {
        Verdict::Ok | Verdict::NotModified => "the document is no longer kept".to_owned(),
        _ if page.detail.is_empty() => verdict,
        _ => format!("{verdict}: {}", page.detail),
    };
    result["error_message"] = json!(message);
    result
}

/// What is kept beside a document, as it is shown.
#[derive(Default)]
pub(super) struct Files {
    pub(super) html: String,
    /// Base64.
    pub(super) screenshot: Option<String>,
    /// Base64.
    pub(super) pdf: Option<String>,
    pub(super) mhtml: Option<String>,
    pub(super) network: Option<Value>,
    pub(super) console: Option<Value>,
}

/// A page with its document.
pub(super) fn fetched(job: &Job, page: &Page, document: &Document, files: Files) -> Value {
    let success = matches!(page.verdict(), Verdict::Ok | Verdict::NotModified);
    let mut result = if success { empty(page) } else { failed(page) };
    result["html"] = json!(files.html);
    result["success"] = json!(success);
    result["cleaned_html"] = json!(document.cleaned_html);
    result["extracted_content"] = json!(extracted(job, page, document).map(|found| found.to_string()));
    result["media"]["images"] = document.images.iter().map(image).collect();
    for (list, kind) in [("videos", "video"), ("audios", "audio")] {
        result["media"][list] =
            document.media.iter().filter(|media| media.kind == kind).map(recording).collect();
    }
    let links = |internal: bool| {
        document.links.iter().filter(|link| link.internal == internal).map(link).collect::<Value>()
    };
    result["links"] = json!({"internal": links(true), "external": links(false)});
    result["screenshot"] = json!(files.screenshot);
    result["pdf"] = json!(files.pdf);
    result["mhtml"] = json!(files.mhtml);
    result["network_requests"] = json!(files.network);
    result["console_messages"] = json!(files.console);
    result["markdown"] = json!({
        "raw_markdown": document.markdown,
        // Crawl4AI's client requires text here; a job of the native API may have asked for no citations.
        "markdown_with_citations":
            if document.markdown_with_citations.is_empty() { &document.markdown } else { &document.markdown_with_citations },
        "references_markdown": document.references_markdown,
        "fit_markdown": document.fit_markdown,
        "fit_html": null,
    });
    result["metadata"] = metadata(page, document);
    result["response_headers"] = json!(document.response_headers);
    let session = document.session.strip_prefix("sessions/");
    result["session_id"] = json!(session);
    result["redirected_url"] = json!(document.final_url);
    result["tables"] = document.tables.iter().map(table).collect();
    result
}

/// What the job's schema or patterns found; nothing if it has neither.
fn extracted(job: &Job, page: &Page, document: &Document) -> Option<Value> {
    if let Some(items) = &document.extracted {
        return Some(items.values.iter().map(to_value).collect());
    }
    let asked = job.config.as_ref().and_then(|config| config.extraction.as_ref());
    let value = |found: &PatternMatch| json!({"url": page.url, "label": found.label, "value": found.value, "span": [found.start, found.end]});
    asked.is_some_and(|asked| asked.patterns.is_some()).then(|| document.matches.iter().map(value).collect())
}

/// Every field, with what the ledger knows.
fn empty(page: &Page) -> Value {
    json!({
        "url": page.url,
        "html": "",
        "fit_html": null,
        "success": true,
        "cleaned_html": null,
        "media": {"images": [], "videos": [], "audios": []},
        "links": {"internal": [], "external": []},
        "downloaded_files": null,
        "js_execution_result": null,
        "screenshot": null,
        "pdf": null,
        "mhtml": null,
        "markdown": null,
        "extracted_content": null,
        "metadata": null,
        "error_message": null,
        "session_id": null,
        "response_headers": null,
        "status_code": page.http_status,
        "ssl_certificate": null,
        "dispatch_result": null,
        "redirected_url": null,
        "redirected_status_code": null,
        "network_requests": null,
        "console_messages": null,
        "tables": [],
        "head_fingerprint": null,
        "cached_at": null,
        "cache_status": null,
        "crawl_stats": {
            "attempts": page.attempts,
            "retries": (page.attempts - 1).max(0),
            "proxies_used": [],
            "fallback_fetch_used": false,
            "resolved_by": lane(page),
        },
        // Ours: the page in the native API, and the verdict that `success` is short for.
        "page": page.name,
        "verdict": page.verdict().as_str_name().to_lowercase(),
    })
}

fn lane(page: &Page) -> Option<&'static str> {
    match page.page_lane() {
        Lane::Unspecified => None,
        Lane::Http => Some("http"),
        Lane::Browser => Some("browser"),
    }
}

fn image(image: &Image) -> Value {
    json!({
        "src": image.url, "data": "", "alt": image.alt, "desc": "", "score": 0, "type": "image", "group_id": 0,
        "format": null, "width": image.width,
    })
}

fn recording(media: &Media) -> Value {
    json!({
        "src": media.url, "data": "", "alt": media.title, "desc": "", "score": 0, "type": media.kind, "group_id": 0,
        "format": null, "width": null, "poster": media.poster,
    })
}

fn link(link: &Link) -> Value {
    let uri = link.url.parse::<http::Uri>();
    let host = uri.as_ref().ok().and_then(http::Uri::host).unwrap_or_default();
    json!({"href": link.url, "text": link.text, "title": link.title, "base_domain": host})
}

fn table(table: &Table) -> Value {
    let rows: Vec<&[String]> = table.rows.iter().map(|row| row.cells.as_slice()).collect();
    json!({"headers": table.headers, "rows": rows, "caption": table.caption, "summary": ""})
}

fn metadata(page: &Page, document: &Document) -> Value {
    let mut object = document.metadata.as_ref().map(to_object).unwrap_or_default();
    for (name, text) in
        [("title", &document.title), ("description", &document.description), ("language", &document.language)]
    {
        if !text.is_empty() {
            object.insert(name.to_owned(), json!(text));
        }
    }
    // What a deep crawl of Crawl4AI adds.
    if !page.rule.is_empty() {
        object.insert("depth".to_owned(), json!(page.depth));
        let parent = Some(&page.found_on_url).filter(|url| !url.is_empty());
        object.insert("parent_url".to_owned(), json!(parent));
        object.insert("score".to_owned(), json!(page.score.unwrap_or_default()));
    }
    Value::Object(object)
}

fn to_object(object: &Struct) -> Map<String, Value> {
    object.fields.iter().map(|(name, value)| (name.clone(), to_value(value))).collect()
}

fn to_value(value: &ProtoValue) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => json!(value),
        // A Struct has fractions only; whole numbers were written without a point.
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            json!(*number as i64)
        }
        Some(Kind::NumberValue(number)) => json!(number),
        Some(Kind::StringValue(text)) => json!(text),
        Some(Kind::ListValue(list)) => list.values.iter().map(to_value).collect(),
        Some(Kind::StructValue(object)) => Value::Object(to_object(object)),
    }
}

#[cfg(test)]
mod tests {
    use api::result::v1::TableRow;

    use super::*;

    #[test]
    fn a_failed_page_says_why() {
        let page = Page {
            url: "https://example.com/".into(),
            verdict: Verdict::HttpError.into(),
            detail: "HTTP 404".into(),
            http_status: Some(404),
            attempts: 3,
            ..Page::default()
        };
        let result = failed(&page);
        assert_eq!(
            (&result["success"], &result["error_message"]),
            (&json!(false), &json!("http_error: HTTP 404"))
        );
        assert_eq!((&result["status_code"], &result["crawl_stats"]["retries"]), (&json!(404), &json!(2)));
        assert_eq!((&result["html"], &result["markdown"]), (&json!(""), &json!(null)));
        let expired = failed(&Page { verdict: Verdict::Ok.into(), ..Page::default() });
        assert_eq!((&expired["success"], &expired["verdict"]), (&json!(false), &json!("ok")));
        assert_eq!(expired["error_message"], "the document is no longer kept");
    }

    #[test]
    fn a_captcha_is_no_success_though_there_is_a_document() {
        let page = Page { verdict: Verdict::Blocked.into(), http_status: Some(200), ..Page::default() };
        let result = fetched(&Job::default(), &page, &Document::default(), Files::default());
        assert_eq!((&result["success"], &result["error_message"]), (&json!(false), &json!("blocked")));
    }

    #[test]
    fn a_document_has_crawl4ais_fields() {
        let page =
            Page { verdict: Verdict::Ok.into(), http_status: Some(200), attempts: 1, ..Page::default() };
        let text = |text: &str| ProtoValue { kind: Some(Kind::StringValue(text.to_owned())) };
        let number = ProtoValue { kind: Some(Kind::NumberValue(7.0)) };
        let fields = [("og:title".to_owned(), text("T")), ("n".to_owned(), number)].into();
        let document = Document {
            title: "Title".into(),
            markdown: "# M".into(),
            fit_markdown: "F".into(),
            links: vec![
                Link { url: "https://a.example/x".into(), internal: true, ..Link::default() },
                Link { url: "https://b.example/".into(), ..Link::default() },
            ],
            tables: vec![Table { rows: vec![TableRow { cells: vec!["1".into()] }], ..Table::default() }],
            metadata: Some(Struct { fields }),
            ..Document::default()
        };
        let result = fetched(
            &Job::default(),
            &page,
            &document,
            Files { html: "<p>".into(), screenshot: Some("aGk=".into()), ..Files::default() },
        );
        assert_eq!(result["markdown"]["raw_markdown"], "# M");
        assert_eq!(result["markdown"]["references_markdown"], "");
        assert_eq!(result["links"]["internal"][0]["base_domain"], "a.example");
        assert_eq!(result["links"]["external"][0]["href"], "https://b.example/");
        assert_eq!(result["metadata"], json!({"title": "Title", "og:title": "T", "n": 7}));
        assert_eq!(result["tables"][0]["rows"], json!([["1"]]));
        assert_eq!((&result["success"], &result["screenshot"]), (&json!(true), &json!("aGk=")));
    }
}
