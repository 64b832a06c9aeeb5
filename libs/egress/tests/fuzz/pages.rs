//! What becomes documents: HTML, other types, charsets, schemas, selectors, sitemaps.

use std::io::{Cursor, Write};
use std::path::Path;

use extract::{Input, Language, Options, Schema, extract, sitemap};
use fuzz::Fuzz;
use lopdf::{Document as Pdf, Object, Stream, dictionary};
use serde_json::json;
use url::Url;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const TAGS: &[&str] = &[
    "<p>",
    "</p>",
    "<table>",
    "<tr>",
    "<td colspan=3 rowspan=9>",
    "</table>",
    "<ul>",
    "<li>",
    "<a href=x>",
    "</a>",
    "<b>",
    "<pre>",
    "<code>",
    "<svg>",
    "<math>",
    "<template>",
    "<select>",
    "<script>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "&amp;",
    "&#0;",
    "<sup><a href=#n>1</a></sup>",
    "<li id=n>",
    "<h2>",
    "<frameset>",
    "<body>",
    "<dl><dt><dd>",
    "<title>",
    "<base href=//x>",
];

fn page() -> Url {
    Url::parse("https://example.com/docs/page.html").expect("because it is a constant")
}

fn read(bytes: &[u8], content_type: Option<&str>, options: &Options) {
    let url = page();
    let once = || extract(Input { bytes, content_type, url: &url }, options);
    assert_eq!(once(), once(), "one page, two documents");
}

fn golden() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../extract/tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("because the golden set is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "html"))
        .collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).expect("because it is listed")).collect()
}

#[test]
fn html() {
    let mut options = Options::default();
    for part in [extract::Part::Citations, extract::Part::Chunks, extract::Part::CleanedHtml] {
        options.parts = options.parts.with(part);
    }
    Fuzz::new("html", golden(), TAGS).run(|bytes| {
        read(bytes, Some("text/html; charset=utf-8"), &options);
        read(bytes, Some("application/xhtml+xml"), &options);
    });
}

#[test]
fn charsets() {
    let seeds = [
        b"\xef\xbb\xbf<p>\xc3\xa9".as_slice(),
        b"\xff\xfe<\0p\0>\0x\0",
        b"\xfe\xff\0<\0p\0>\0x",
        b"<meta charset=shift_jis><p>\x93\xfa\x96{",
        b"<meta http-equiv=content-type content='text/html; charset=gb18030'>\xd6\xd0\xce\xc4",
        b"<?xml version='1.0' encoding='koi8-r'?><html><p>\xf0\xf2",
        b"<meta charset=iso-2022-jp>\x1b$B$\"\x1b(B",
        b"{\"a\": [1, \"\\ud800\"]}",
    ];
    let words = &[
        "charset=",
        "utf-8",
        "utf-16le",
        "windows-1252",
        "replacement",
        "x-user-defined",
        "<meta ",
        "\u{feff}",
    ];
    Fuzz::new("charsets", seeds.map(<[u8]>::to_vec).into(), words).run(|bytes| {
        let (header, body) = bytes.split_at(bytes.len().min(24));
        let header = format!("text/html; charset={}", String::from_utf8_lossy(header));
        for content_type in [None, Some("text/html"), Some("text/plain"), Some(header.as_str())] {
            read(body, content_type, &Options::default());
            read(bytes, content_type, &Options::default());
        }
    });
}

#[test]
fn other_types() {
    let seeds = vec![
        pdf(),
        office(),
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0\0\0\0\0".to_vec(),
        b"\xff\xd8\xff\xe1\0\x16Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0\xff\xc0\0\x11\x08\x01\xe0\x02\x80\x03".to_vec(),
        b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10".to_vec(),
        b"<rss><channel><title>t</title><item><title>i</title><link>/x</link></item></channel></rss>".to_vec(),
        b"<feed xmlns='http://www.w3.org/2005/Atom'><entry><link href='/x'/><content type='html'>&lt;p></content></entry></feed>".to_vec(),
    ];
    let words = &[
        "endobj",
        "stream",
        "/Kids [1 0 R]",
        "/Length 99999999",
        "BT",
        "Tj",
        "obj",
        "<item>",
        "<entry>",
        "]]>",
        "PK\x03\x04",
    ];
    Fuzz::new("other_types", seeds, words).run(|bytes| read(bytes, None, &Options::default()));
}

#[test]
fn sitemaps() {
    let seeds = [
        "<urlset><url><loc>https://example.com/a</loc><lastmod>2024-01-31</lastmod></url></urlset>",
        "<sitemapindex><sitemap><loc>https://example.com/s.xml</loc></sitemap></sitemapindex>",
        "https://example.com/a\nhttps://example.com/b\n",
        "\u{1f}\u{8b}\u{8}",
    ];
    let words = &[
        "<url>",
        "</url>",
        "<loc>",
        "<![CDATA[",
        "&amp;",
        "&#x0;",
        "<!DOCTYPE x [<!ENTITY a \"b\">]>",
        "<sitemap>",
    ];
    Fuzz::new("sitemaps", seeds.map(Vec::from).into(), words).run(|bytes| {
        assert_eq!(sitemap(bytes, &page()), sitemap(bytes, &page()));
    });
}

#[test]
fn schemas() {
    let seeds = [
        json!({"name": "x", "baseSelector": "div.a > p:nth-child(2)", "fields": [{"name": "t", "selector": "a[href^='/']", "type": "attribute", "attribute": "href"}]}),
        json!({"name": "x", "baseSelector": "//div[@class='a']/p[position()<3]", "fields": [{"name": "t", "selector": ".//a[contains(text(),'x')]|b", "type": "text"},
            {"name": "l", "selector": "ul", "type": "nested_list", "fields": [{"name": "i", "selector": "li", "type": "regex", "pattern": "(a+)+$"}]}]}),
    ];
    let words = &[
        ":not(",
        ":has(",
        "::before",
        "//",
        "..",
        "@*",
        "[",
        "]",
        "last()",
        "string-length(",
        "\"type\"",
        "\"fields\"",
        "~",
        "and",
        "or",
    ];
    let body = golden().concat();
    let seeds = seeds.iter().map(|seed| seed.to_string().into_bytes()).collect();
    Fuzz::new("schemas", seeds, words).run(|bytes| {
        let Ok(value) = serde_json::from_slice(bytes) else { return };
        for language in [Language::Css, Language::XPath] {
            if let Ok(schema) = Schema::parse(language, &value) {
                let options = Options { schema: Some(schema), ..Options::default() };
                let _ =
                    extract(Input { bytes: &body, content_type: Some("text/html"), url: &page() }, &options);
            }
        }
    });
}

fn pdf() -> Vec<u8> {
    let mut pdf = Pdf::with_version("1.5");
    let content = pdf.add_object(Stream::new(
        dictionary! {},
        b"BT /F1 12 Tf 50 700 Td (Words) Tj [(a) -300 (b)] TJ ET".to_vec(),
    ));
    let font =
        pdf.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica" });
    let pages = pdf.new_object_id();
    let page = pdf.add_object(dictionary! { "Type" => "Page", "Parent" => pages, "Contents" => content,
    "Resources" => dictionary! { "Font" => dictionary! { "F1" => font } } });
    let tree = dictionary! { "Type" => "Pages", "Kids" => vec![Object::from(page)], "Count" => 1 };
    pdf.objects.insert(pages, Object::Dictionary(tree));
    let catalog = pdf.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
    pdf.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    pdf.save_to(&mut bytes).expect("because memory can be written");
    bytes
}

fn office() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // Stored, so that mutations reach the XML and not only the compression.
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let text = "<w:document><w:p><w:pPr><w:pStyle w:val='Heading1'/></w:pPr><w:r><w:t>Head</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:document>";
    zip.start_file("word/document.xml", stored).expect("because memory can be written");
    zip.write_all(text.as_bytes()).expect("because memory can be written");
    zip.finish().expect("because memory can be written").into_inner()
}
