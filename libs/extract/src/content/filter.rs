//! The caller's own measure of what is main content, in place of ours: Crawl4AI's pruning filter, or relevance to a query.

use super::{Main, bm25, pruning};
use crate::Document;
use crate::tree::{Index, Tree};

/// What decides which parts of a page become `fit_markdown` and `text`.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Crawl4AI's `PruningContentFilter`: elements below a score of density, links, tag, name and length are cut.
    Pruning {
        /// Scores below it are cut; 0.48 is the usual one.
        threshold: f32,
        /// Whether the threshold is lower for elements that matter and have much text, and higher for those full of links.
        dynamic: bool,
        /// Elements with fewer words are cut; 0 cuts none.
        min_words: u32,
    },
    /// Okapi BM25 over the blocks of the page; blocks below a score are cut, the headings above what is left stay.
    Bm25 {
        /// Words to look for. Where it is empty, the title, the first heading and the description of the page are taken.
        query: String,
        /// Scores below it are cut; 1.0 is the usual one.
        threshold: f32,
    },
}

impl Filter {
    /// Replaces the main content of a page.
    pub(crate) fn apply(&self, tree: &Tree<'_>, root: Index, document: &Document, main: &mut Main) {
        main.skip = match self {
            Self::Pruning { threshold, dynamic, min_words } => {
                pruning::cut(tree, root, *threshold, *dynamic, *min_words as usize)
            }
            Self::Bm25 { query, threshold } => bm25::cut(tree, root, query, *threshold, document),
        };
        main.roots = vec![root];
        main.unread.clear();
    }
}
