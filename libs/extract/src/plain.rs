//! Bodies that are not HTML: plain text as it is, JSON and XML between fences.

use crate::markdown::fenced;
use crate::{ContentKind, Document, PageStatus};

/// A document of plain text; Markdown as it is, since much plain text is Markdown.
pub(crate) fn text(text: &str) -> Document {
    document(ContentKind::Text, text, text.trim_end().to_owned())
}

/// A document of data in some notation.
pub(crate) fn data(text: &str, language: &str) -> Document {
    let trimmed = text.trim();
    let markdown = if trimmed.is_empty() { String::new() } else { fenced(trimmed, language) };
    document(ContentKind::Data, text, markdown)
}

fn document(content_kind: ContentKind, text: &str, markdown: String) -> Document {
    let text = text.trim();
    let page_status = if text.is_empty() { PageStatus::Empty } else { PageStatus::Ok };
    Document {
        content_kind,
        confidence: 1.0,
        fit_markdown: markdown.clone(),
        markdown,
        text: text.to_owned(),
        word_count: u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX),
        page_status,
        ..Document::default()
    }
}
