//! PDF: text by page, title, outline; broken files are refused, none of them panics.

use extract::{Error, Heading, PageStatus};
use lopdf::content::{Content, Operation};
use lopdf::{Document as Pdf, Object, Stream, dictionary};
use proptest::prelude::*;

use super::{read, try_read};

/// A file of two pages, a title and an outline.
fn file() -> Vec<u8> {
    let mut pdf = Pdf::with_version("1.5");
    let pages = pdf.new_object_id();
    let font = pdf.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding" });
    let resources = pdf.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
    let text = |text: &str| Object::string_literal(text);
    let mut page = |operations: Vec<Operation>| {
        let content = Content { operations }.encode().expect("because it is well formed");
        let content = pdf.add_object(Stream::new(dictionary! {}, content));
        pdf.add_object(dictionary! { "Type" => "Page", "Parent" => pages, "Contents" => content, "Resources" => resources,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()] })
    };
    let op = |name: &str, operands: Vec<Object>| Operation::new(name, operands);
    let first = page(vec![
        op("BT", vec![]),
        op("Tf", vec!["F1".into(), 12.into()]),
        op("Td", vec![50.into(), 700.into()]),
        op("Tj", vec![text("Heading")]),
        op("Td", vec![0.into(), (-40).into()]),
        op("TJ", vec![Object::Array(vec![text("One"), (-300).into(), text("w"), 20.into(), text("ord")])]),
        op("Td", vec![0.into(), (-14).into()]),
        op("Tj", vec![text("next line")]),
        op("ET", vec![]),
    ]);
    let second = page(vec![
        op("BT", vec![]),
        op("Tf", vec!["F1".into(), 10.into()]),
        op("Tm", vec![1.into(), 0.into(), 0.into(), 1.into(), 50.into(), 700.into()]),
        op("Tj", vec![text("Second")]),
        op("Tm", vec![1.into(), 0.into(), 0.into(), 1.into(), 250.into(), 700.into()]),
        op("Tj", vec![text("page")]),
        op("ET", vec![]),
    ]);
    let kids = vec![first.into(), second.into()];
    pdf.objects.insert(pages, dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => 2 }.into());
    let (a, b) = (pdf.new_object_id(), pdf.new_object_id());
    // The outline is a ring: the second item leads back to the first.
    pdf.objects.insert(a, dictionary! { "Title" => text("Part A"), "First" => b, "Next" => b }.into());
    pdf.objects.insert(b, dictionary! { "Title" => text("Part B"), "Next" => a }.into());
    let outlines = pdf.add_object(dictionary! { "First" => a, "Last" => b });
    let catalog = pdf.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages, "Outlines" => outlines, "Lang" => text("en-GB") });
    let info = pdf.add_object(dictionary! { "Title" => text("The\n Title"), "Author" => text("Ann"), "CreationDate" => text("D:20240131120000Z") });
    pdf.trailer.set("Root", catalog);
    pdf.trailer.set("Info", info);
    let mut bytes = Vec::new();
    pdf.save_to(&mut bytes).expect("because memory takes it");
    bytes
}

#[test]
fn a_pdf_is_read_by_page() {
    for header in [None, Some("application/pdf"), Some("text/html")] {
        let document = read(&file(), header);
        assert_eq!(
            document.markdown,
            "<!-- page 1 -->\n\nHeading\n\nOne word\nnext line\n\n<!-- page 2 -->\n\nSecond page"
        );
        assert_eq!(document.text, "Heading\n\nOne word\nnext line\n\nSecond page");
        assert_eq!((document.title.as_deref(), document.author.as_deref()), (Some("The Title"), Some("Ann")));
        assert_eq!(
            (document.published.as_deref(), document.language.as_deref()),
            (Some("2024-01-31"), Some("en-GB"))
        );
        let heading = |level, text: &str| Heading { level, text: text.to_owned(), id: None };
        assert_eq!(document.headings, [heading(1, "Part A"), heading(2, "Part B")]);
        assert_eq!((document.metadata["pages"].as_str(), document.word_count), ("2", 7));
        assert_eq!(document.page_status, PageStatus::Ok);
    }
}

#[test]
fn a_broken_pdf_is_refused() {
    let whole = file();
    let refused = Err(Error::UnsupportedType("application/pdf".to_owned()));
    assert_eq!(try_read(b"%PDF-1.7", None), refused);
    assert_eq!(try_read(&whole[..whole.len() / 8], Some("application/pdf")), refused);
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), ("<</A ", ">>"), ("(", ")")] {
        let deep = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        let file = format!(
            "%PDF-1.4\n1 0 obj\n{deep}\nendobj\n2 0 obj\n<</Type/Catalog/Pages 3 0 R>>\nendobj\n\
             3 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\ntrailer\n<</Root 2 0 R/Info 1 0 R>>\nstartxref\n0\n%%EOF"
        );
        // Read or refused, either is right.
        let words = try_read(file.as_bytes(), None).map_or(0, |document| document.word_count);
        assert_eq!(words, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_damage_makes_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = file();
        for (at, byte) in changes {
            // The signature stays, or the file is not read as a PDF.
            let at = 5 + at.index(bytes.len() - 5);
            bytes[at] = byte;
        }
        let _ = try_read(&bytes, Some("application/pdf"));
    }
}
