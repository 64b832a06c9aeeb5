//! The last step, the same for every sort of body: what is made of finished text, and what nobody asked for.

use std::collections::BTreeMap;

use crate::{Document, Options, Part, Searched, chunk, cite};

/// Adds citations, values and pieces, then empties the parts that are not wanted.
pub(crate) fn finish(mut document: Document, options: &Options) -> Document {
    let parts = options.parts;
    if parts.has(Part::Citations) {
        document.citations = Some(cite(&document.markdown));
    }
    if parts.has(Part::Chunks) {
        let whole = options.chunking.whole_page;
        let text = if whole { &document.markdown } else { &document.fit_markdown };
        document.chunks = chunk(text, &options.chunking.size);
    }
    if let Some((patterns, place)) = &options.patterns {
        let text = match place {
            Searched::Markdown => &document.markdown,
            Searched::FitMarkdown => &document.fit_markdown,
            Searched::Text => &document.text,
            Searched::CleanedHtml => &document.cleaned_html,
        };
        document.matches = patterns.find(text, options.max_matches);
    }
    leave_out(&mut document, options);
    document
}

fn leave_out(document: &mut Document, options: &Options) {
    let unwanted = |part| !options.parts.has(part);
    if unwanted(Part::Markdown) {
        document.markdown = String::new();
    }
    if unwanted(Part::FitMarkdown) {
        document.fit_markdown = String::new();
    }
    if unwanted(Part::Text) {
        document.text = String::new();
    }
    if unwanted(Part::CleanedHtml) {
        document.cleaned_html = String::new();
    }
    if unwanted(Part::Links) {
        document.links = Vec::new();
    }
    if unwanted(Part::Images) {
        document.images = Vec::new();
        document.recordings = Vec::new();
    }
    if unwanted(Part::Tables) {
        document.tables = Vec::new();
    }
    if unwanted(Part::Headings) {
        document.headings = Vec::new();
    }
    if unwanted(Part::Metadata) {
        document.metadata = BTreeMap::new();
        document.json_ld = Vec::new();
        (document.author, document.published, document.canonical) = (None, None, None);
    }
}
