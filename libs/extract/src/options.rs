//! The bounds of one extraction. Every list and every walk of this crate is bounded by a field here.

/// Limits of one extraction; the defaults suit pages of the open Web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Most links kept, in document order.
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
