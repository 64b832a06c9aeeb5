//! The bounds of one extraction, and what of a page is read. Every list and every walk of this crate is bounded here.

use crate::{Filter, Schema, Selection};

/// Limits and wishes of one extraction; the defaults suit pages of the open Web and read all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The parts of an HTML page that are read; other bodies are always read whole.
    pub selection: Selection,
    /// What is main content, if not what this crate finds.
    pub filter: Option<Filter>,
    /// Data to extract from an HTML page, whatever is selected of it.
    pub schema: Option<Schema>,
    /// Most items that the schema gives.
    pub max_items: usize,
    /// Most text that the schema gives, in bytes; an item that does not fit whole is left out.
    pub max_extracted_bytes: usize,
    /// Most pages read of a PDF.
    pub max_pages: usize,
    /// Most links kept, in document order; also the most entries of a feed.
    pub max_links: usize,
    /// Most images kept.
    pub max_images: usize,
    /// Most tables kept.
    pub max_tables: usize,
    /// Most headings kept.
    pub max_headings: usize,
    /// Most metadata entries kept; also the most JSON-LD blocks.
    pub max_metadata: usize,
    /// Longest metadata value in bytes; longer values are cut at a character.
    pub max_metadata_bytes: usize,
    /// Most elements of a page; a page with more is read as plain text, without structure.
    pub max_elements: usize,
    /// Deepest nesting of elements, 8 to 256; the tags below are dropped and their text is kept.
    pub max_depth: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            filter: None,
            schema: None,
            max_items: 10_000,
            max_extracted_bytes: 8 << 20,
            max_pages: 500,
            max_links: 10_000,
            max_images: 10_000,
            max_tables: 1_000,
            max_headings: 10_000,
            max_metadata: 512,
            max_metadata_bytes: 8 * 1024,
            max_elements: 100_000,
            max_depth: 256,
        }
    }
}
