//! What is read as what, and what is refused by name.

use extract::{ContentKind, Error, PageStatus};

use super::{read, try_read};

#[test]
fn bodies_are_read_by_type_or_by_first_bytes() {
    use ContentKind::{Data, Other, Text};
    for (bytes, header, kind, markdown) in [
        (b"<p>x</p>".as_slice(), Some("TEXT/HTML; charset=utf-8"), Other, "x"),
        (b"<p>x</p>", None, Other, "x"),
        (b"\n <!DOCTYPE html><p>x", None, Other, "x"),
        (b"<p>x</p>", Some("nonsense"), Other, "x"),
        (b"<p>x</p>", Some("application/octet-stream"), Other, "x"),
        (b"<p>x</p>", Some("text/plain"), Text, "<p>x</p>"),
        (b"# Title\n\n* a\n", Some("text/markdown"), Text, "# Title\n\n* a"),
        (b"just words", None, Text, "just words"),
        (b"{\"a\": [1]}", None, Data, "```json\n{\"a\": [1]}\n```"),
        (b"{\"a\": 1}", Some("application/ld+json"), Data, "```json\n{\"a\": 1}\n```"),
        (b"{not json", None, Text, "{not json"),
        (
            b"<?xml version='1.0'?><rss><t>x</t></rss>",
            None,
            Data,
            "```xml\n<?xml version='1.0'?><rss><t>x</t></rss>\n```",
        ),
        (b"<feed/>", Some("application/atom+xml"), Data, "```xml\n<feed/>\n```"),
        (
            b"<?xml version='1.0'?><!DOCTYPE html><html><body><p>x</p></body></html>",
            Some("text/xml"),
            Other,
            "x",
        ),
        (b"a ``` b", Some("application/json"), Data, "````json\na ``` b\n````"),
    ] {
        let document = read(bytes, header);
        assert_eq!((document.content_kind, document.markdown.as_str()), (kind, markdown), "{header:?}");
    }
}

#[test]
fn binary_is_refused_by_name() {
    for (bytes, header, named) in [
        (b"%PDF-1.7 x".as_slice(), Some("text/html"), "application/pdf"),
        (b"%PDF-1.7 x", None, "application/pdf"),
        (b"\x89PNG\r\n\x1a\nxxxx", Some("text/plain"), "image/png"),
        (b"x", Some("image/svg+xml"), "image/svg+xml"),
        (b"x", Some("video/mp4"), "video/mp4"),
        (b"a\0b\0c\0\x01\x02", Some("text/html"), "application/octet-stream"),
        (b"words\0", Some("text/plain; charset=utf-8"), "application/octet-stream"),
        (b"\x00\x01\x02\x03", None, "application/octet-stream"),
    ] {
        assert_eq!(try_read(bytes, header), Err(Error::UnsupportedType(named.to_owned())), "{header:?}");
    }
}

#[test]
fn xhtml_may_close_any_element_at_once() {
    let page = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"x\">\
        <html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>T</title><script src=\"x.js\"/></head>\
        <body><div/><p>one<br/>two</p><a id=\"x\"/><p>three</p></body></html>";
    let document = read(page.as_bytes(), Some("application/xhtml+xml"));
    assert_eq!((document.title.as_deref(), document.markdown.as_str()), (Some("T"), "one  \ntwo\n\nthree"));
}

#[test]
fn nothing_is_empty() {
    for header in [None, Some("text/html"), Some("text/plain"), Some("application/json")] {
        let document = read(b"", header);
        assert_eq!(
            (document.page_status, document.markdown.as_str(), document.word_count),
            (PageStatus::Empty, "", 0),
            "{header:?}"
        );
    }
}
