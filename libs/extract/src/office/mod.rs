//! Office documents: text of Word, PowerPoint and OpenDocument files, and the cells of spreadsheets. Their XML becomes
//! HTML, and that is read like any other, so that headings, lists, tables and links come out as they do from pages.
//! Promises: no part is read beyond [`MAX_UNPACKED_BYTES`], so a bomb is refused; no panic of a parser gets out.

mod archive;
mod odf;
mod ooxml;
mod sheet;
mod xml;

use url::Url;

use crate::{ContentKind, Document, Options, page};
use archive::Archive;

/// Largest file.
const MAX_FILE_BYTES: usize = 64 << 20;
/// Most that the parts of a file may unpack to, all together.
const MAX_UNPACKED_BYTES: u64 = 64 << 20;
/// Most parts of a file.
const MAX_PARTS: usize = 10_000;
/// Most HTML that is made of a file; the rest of it is left out.
const MAX_HTML_BYTES: usize = 32 << 20;

/// Reads an office document; nothing if the archive is none, is broken, encrypted or too large.
pub(crate) fn read(bytes: &[u8], url: &Url, options: &Options) -> Option<Document> {
    if bytes.len() > MAX_FILE_BYTES {
        return None;
    }
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| html(bytes)));
    let (about, body) = parsed.ok().flatten()?;
    let html = format!("<html><head></head><body><main><article>{body}</article></main></body></html>");
    let mut document = page::read_whole(&html, url, options);
    document.content_kind = ContentKind::Text;
    document.confidence = 1.0;
    document.title = about.title.or(document.title);
    (document.author, document.published, document.language) = (about.author, about.created, about.language);
    document.description = about.description;
    Some(document)
}

/// What a file says of itself.
#[derive(Debug, Default)]
struct About {
    title: Option<String>,
    author: Option<String>,
    created: Option<String>,
    language: Option<String>,
    description: Option<String>,
}

fn html(bytes: &[u8]) -> Option<(About, String)> {
    let mut archive = Archive::open(bytes)?;
    let about = |archive: &mut Archive<'_>, part: &str| {
        archive.part(part).map(|xml| xml::about(&xml)).unwrap_or_default()
    };
    if archive.has("word/document.xml") {
        return Some((about(&mut archive, "docProps/core.xml"), ooxml::text(&mut archive)?));
    }
    if archive.has("ppt/presentation.xml") {
        return Some((about(&mut archive, "docProps/core.xml"), ooxml::slides(&mut archive)));
    }
    if archive.has("xl/workbook.xml") {
        return Some((about(&mut archive, "docProps/core.xml"), sheet::workbook(&mut archive, bytes)?));
    }
    if archive.has("mimetype") && archive.has("content.xml") {
        return Some((about(&mut archive, "meta.xml"), odf::text(&mut archive)?));
    }
    None
}
