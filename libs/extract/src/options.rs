//! The bounds of one extraction, what of a page is read and what is made of it. Every list and every walk of this crate is
//! bounded here.

use crate::{ChunkOptions, Filter, Patterns, Schema, Selection};

/// A part of a document that may be wanted or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole page as Markdown.
    Markdown,
    /// The main content as Markdown.
    FitMarkdown,
    /// The whole page with citations.
    Citations,
    /// The main content as plain text.
    Text,
    /// The whole page as clean HTML.
    CleanedHtml,
    /// Links.
    Links,
    /// Images, films and recordings.
    Images,
    /// Tables.
    Tables,
    /// Metadata, JSON-LD and what they say of author, time and address.
    Metadata,
    /// The outline.
    Headings,
    /// Pieces for retrieval.
    Chunks,
}

/// A set of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts(u16);

impl Parts {
    /// No part.
    pub const NONE: Self = Self(0);

    /// This set with one part more.
    #[must_use]
    pub const fn with(self, part: Part) -> Self {
        Self(self.0 | 1 << part as u16)
    }

    /// Whether a part is in the set.
    #[must_use]
    pub const fn has(self, part: Part) -> bool {
        self.0 & 1 << part as u16 != 0
    }
}

impl Default for Parts {
    /// All that costs little: without citations, clean HTML and chunks.
    fn default() -> Self {
        use Part::{FitMarkdown, Headings, Images, Links, Markdown, Metadata, Tables, Text};
        [Markdown, FitMarkdown, Text, Links, Images, Tables, Metadata, Headings]
            .into_iter()
            .fold(Self::NONE, Self::with)
    }
}

/// Where patterns look for values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Searched {
    /// The whole page as Markdown.
    #[default]
    Markdown,
    /// The main content as Markdown.
    FitMarkdown,
    /// The main content as plain text.
    Text,
    /// The whole page as clean HTML.
    CleanedHtml,
}

/// How a page is cut into pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chunking {
    /// How large the pieces are.
    pub size: ChunkOptions,
    /// Whether the whole page is cut, and not its main content.
    pub whole_page: bool,
}

/// Limits and wishes of one extraction; the defaults suit pages of the open Web and read all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The parts of the document that are wanted; the others are empty.
    pub parts: Parts,
    /// The parts of an HTML page that are read; other bodies are always read whole.
    pub selection: Selection,
    /// What is main content, if not what this crate finds.
    pub filter: Option<Filter>,
    /// Data to extract from an HTML page, whatever is selected of it.
    pub schema: Option<Schema>,
    /// Values to find, and where.
    pub patterns: Option<(Patterns, Searched)>,
    /// How the page is cut into pieces, where they are wanted.
    pub chunking: Chunking,
    /// Most values that the patterns give.
    pub max_matches: usize,
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

impl Options {
    /// Whether a part must be made: because it is wanted, or for one that is made of it.
    pub(crate) fn needs(&self, part: Part) -> bool {
        let searched = |place| self.patterns.as_ref().is_some_and(|(_, searched)| *searched == place);
        let chunked = |whole| self.parts.has(Part::Chunks) && self.chunking.whole_page == whole;
        self.parts.has(part)
            || match part {
                Part::Markdown => {
                    self.parts.has(Part::Citations) || chunked(true) || searched(Searched::Markdown)
                }
                Part::FitMarkdown => chunked(false) || searched(Searched::FitMarkdown),
                Part::Text => searched(Searched::Text),
                Part::CleanedHtml => searched(Searched::CleanedHtml),
                // The links of the whole page are told where only a part of it is read.
                Part::Links => self.selection != Selection::default(),
                _ => false,
            }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parts: Parts::default(),
            patterns: None,
            chunking: Chunking::default(),
            max_matches: 10_000,
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
