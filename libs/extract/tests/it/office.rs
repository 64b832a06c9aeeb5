//! Office documents: text, slides and sheets; bombs and broken files are refused.

use std::io::{Cursor, Write};

use extract::{ContentKind, Error};
use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{read, try_read};

const WRITES: &str = "because memory can be written";

fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).expect(WRITES);
        zip.write_all(content.as_bytes()).expect(WRITES);
    }
    zip.finish().expect(WRITES).into_inner()
}

const CORE: (&str, &str) = (
    "docProps/core.xml",
    "<cp:coreProperties><dc:title>The &amp; title</dc:title><dc:creator>A. Author</dc:creator><dcterms:created>2024-01-31T12:00:00Z</dcterms:created></cp:coreProperties>",
);

fn word() -> Vec<u8> {
    archive(&[
        CORE,
        (
            "word/_rels/document.xml.rels",
            r#"<Relationships><Relationship Id="r1" Target="https://example.org/x?a=1&amp;b=2" TargetMode="External"/></Relationships>"#,
        ),
        (
            "word/document.xml",
            r#"<?xml version="1.0"?><w:document><w:body>
            <w:p><w:pPr><w:pStyle w:val="Heading1"/><w:rPr><w:b/></w:rPr></w:pPr><w:r><w:t>Heading</w:t></w:r></w:p>
            <w:p><w:r><w:t xml:space="preserve">Some </w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>bold</w:t></w:r><w:r><w:t xml:space="preserve"> &lt;words&gt; and a </w:t></w:r><w:hyperlink r:id="r1"><w:r><w:t>link</w:t></w:r></w:hyperlink><w:r><w:rPr><w:i w:val="0"/></w:rPr><w:t>.</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>
            <w:p><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>one</w:t></w:r></w:p>
            <w:p><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>two</w:t></w:r></w:p>
            <w:tbl><w:tr><w:tc><w:p><w:r><w:t>A</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>B</w:t></w:r></w:p></w:tc></w:tr><w:tr><w:tc><w:p><w:r><w:t>1</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>2</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
            </w:body></w:document>"#,
        ),
    ])
}

fn workbook(cells: &str) -> Vec<u8> {
    archive(&[
        CORE,
        ("[Content_Types].xml", "<Types/>"),
        (
            "_rels/.rels",
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
        ),
        (
            "xl/workbook.xml",
            r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Sums" sheetId="1" r:id="rId1"/></sheets></workbook>"#,
        ),
        (
            "xl/_rels/workbook.xml.rels",
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
        ),
        (
            "xl/worksheets/sheet1.xml",
            &format!(
                r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{cells}</sheetData></worksheet>"#
            ),
        ),
    ])
}

#[test]
fn a_text_has_headings_links_lists_and_tables() {
    let document =
        read(&word(), Some("application/vnd.openxmlformats-officedocument.wordprocessingml.document"));
    assert_eq!(
        document.markdown,
        "# Heading\n\nSome **bold** \\<words> and a [link](https://example.org/x?a=1&b=2).\n\n- one\n- two\n\n| A | B |\n| --- | --- |\n| 1 | 2 |"
    );
    assert_eq!(document.fit_markdown, document.markdown);
    assert_eq!(
        (document.title.as_deref(), document.author.as_deref()),
        (Some("The & title"), Some("A. Author"))
    );
    assert_eq!(document.published.as_deref(), Some("2024-01-31T12:00:00Z"));
    assert_eq!(
        (document.content_kind, document.headings.len(), document.tables.len()),
        (ContentKind::Text, 1, 1)
    );
    assert_eq!(document.links[0].url, "https://example.org/x?a=1&b=2");
}

#[test]
fn slides_come_in_their_order() {
    let slide = |title: &str| {
        format!(
            r#"<p:sld><p:sp><p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r><a:t>{title}</a:t></a:r></a:p></p:txBody></p:sp><p:sp><p:txBody><a:p><a:pPr><a:buChar char="-"/></a:pPr><a:r><a:rPr b="1"/><a:t>point</a:t></a:r></a:p></p:txBody></p:sp></p:sld>"#
        )
    };
    let (second, tenth) = (slide("Second"), slide("Tenth"));
    let bytes = archive(&[
        ("ppt/presentation.xml", "<p/>"),
        ("ppt/slides/slide10.xml", &tenth),
        ("ppt/slides/slide2.xml", &second),
    ]);
    assert_eq!(read(&bytes, None).markdown, "## Second\n\n- **point**\n\n## Tenth\n\n- **point**");
}

#[test]
fn sheets_are_tables() {
    let cells = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>Name</t></is></c><c r="B1" t="inlineStr"><is><t>Sum</t></is></c></row><row r="2"><c r="A2" t="inlineStr"><is><t>a|b</t></is></c><c r="B2"><v>12.5</v></c></row>"#;
    let document = read(&workbook(cells), None);
    assert_eq!(document.markdown, "## Sums\n\n| Name | Sum |\n| --- | --- |\n| a\\|b | 12.5 |");
    // Two cells, as far apart as a sheet allows.
    let apart =
        r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>"#;
    assert_eq!(read(&workbook(apart), None).markdown, "## Sums\n\n| 1 | |\n| --- | --- |\n| | 2 |");
}

#[test]
fn open_documents_are_read() {
    let content = r#"<office:document-content><office:body><office:text><text:h text:outline-level="2">Head</text:h><text:p>A<text:s/>word<text:line-break/>and <text:a xlink:href="https://example.org/">more</text:a>.<office:annotation><text:p>note</text:p></office:annotation></text:p><text:list><text:list-item><text:p>item</text:p></text:list-item></text:list><table:table table:name="T"><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell><table:table-cell table:number-columns-repeated="2"><text:p>y</text:p></table:table-cell></table:table-row><table:table-row table:number-rows-repeated="1048576"><table:table-cell><text:p>1</text:p></table:table-cell><table:table-cell table:number-columns-repeated="16384"/></table:table-row></table:table></office:text></office:body></office:document-content>"#;
    let meta =
        "<office:document-meta><office:meta><dc:title>ODF</dc:title></office:meta></office:document-meta>";
    let bytes = archive(&[
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("content.xml", content),
        ("meta.xml", meta),
    ]);
    let document = read(&bytes, None);
    assert_eq!(
        document.markdown,
        "## Head\n\nA word  \nand [more](https://example.org/).\n\n- item\n\n## T\n\n| x | y | y |\n| --- | --- | --- |\n| 1 | | |"
    );
    assert_eq!(document.title.as_deref(), Some("ODF"));
}

#[test]
fn archives_that_are_no_documents_and_bombs_are_refused() {
    let refused = Err(Error::UnsupportedType("application/zip".to_owned()));
    assert_eq!(try_read(&archive(&[("a.txt", "words")]), None), refused);
    let bomb = "x".repeat(80 << 20);
    let text = archive(&[("word/document.xml", &bomb)]);
    assert!(text.len() < 1 << 20, "a bomb is small");
    assert_eq!(try_read(&text, None), refused);
    let mut sheet = workbook("");
    assert_eq!(read(&sheet, None).markdown, "## Sums");
    sheet = archive(&[("xl/workbook.xml", "<workbook/>"), ("xl/sharedStrings.xml", &bomb)]);
    assert_eq!(try_read(&sheet, None), refused);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_documents_never_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        for mut bytes in [word(), workbook(r#"<row r="1"><c r="A1"><v>1</v></c></row>"#)] {
            let hit = at.index(bytes.len());
            bytes[hit] = byte;
            let _ = try_read(&bytes, None);
            bytes.truncate(cut.index(bytes.len()).max(4));
            let _ = try_read(&bytes, None);
        }
    }
}
