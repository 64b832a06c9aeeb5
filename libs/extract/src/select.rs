//! CSS selectors of the caller: parsed once, before any page is read, and evaluated once for each page.
//! Promises that a bad selector is refused with the name of the field that held it.

use std::cell::RefCell;
use std::collections::HashMap;

use dom_query::{Document as Dom, Matcher, NodeId};

use crate::tree::{Index, Tree};

/// Longest selector, in bytes.
const MAX_SELECTOR_BYTES: usize = 2_048;
/// Most pairs of siblings that a selector with `~` may compare on one page: about half a second.
const MAX_SIBLING_PAIRS: u64 = 40_000_000;

/// A CSS selector (Selectors Level 4, without `:hover` and its like).
#[derive(Debug, Clone)]
pub struct Selector {
    source: String,
    matcher: Matcher,
}

/// A selector or an expression that cannot be used, and the field that holds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Path of the field, such as `fields[2].selector`.
    pub field: String,
    /// What is wrong with its value, in one line.
    pub problem: String,
}

impl Selector {
    /// Parses a selector, or several with commas. `field` is named in the error.
    pub fn parse(field: &str, source: &str) -> Result<Self, Invalid> {
        if source.len() > MAX_SELECTOR_BYTES {
            return Err(Invalid::new(field, format!("is longer than {MAX_SELECTOR_BYTES} bytes")));
        }
        match Matcher::new(source) {
            Ok(matcher) => Ok(Self { source: source.to_owned(), matcher }),
            Err(_) => Err(Invalid::new(field, format!("is not a CSS selector: {}", shown(source)))),
        }
    }

    /// The selector as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The elements of a page that match, in document order. Elements that the flat tree leaves out do not match.
    ///
    /// Each `~` compares each element with all its siblings: where that is too much, nothing matches, and `places` knows.
    pub(crate) fn matches(&self, dom: &Dom, places: &Places) -> Vec<Index> {
        let siblings = self.source.matches('~').count() - self.source.matches("~=").count();
        if places.sibling_pairs.saturating_mul(siblings as u64) > MAX_SIBLING_PAIRS {
            places.skipped.borrow_mut().push(self.source.clone());
            return Vec::new();
        }
        let found = dom.select_matcher(&self.matcher);
        let mut found: Vec<Index> =
            found.nodes().iter().filter_map(|node| places.indexes.get(&node.id).copied()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Selector {}

impl Invalid {
    pub(crate) fn new(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into() }
    }
}

/// Where each node of a DOM is in its flat tree, and which selectors were too much for it.
pub(crate) struct Places {
    indexes: HashMap<NodeId, Index>,
    /// Pairs of nodes that have the same parent.
    sibling_pairs: u64,
    skipped: RefCell<Vec<String>>,
}

impl Places {
    pub(crate) fn new(tree: &Tree<'_>) -> Self {
        let mut children = vec![0u64; tree.len()];
        let mut sibling_pairs = 0;
        for parent in (0..tree.len()).filter_map(|at| tree.parent(at)) {
            sibling_pairs += children[parent];
            children[parent] += 1;
        }
        let indexes = (0..tree.len()).map(|at| (tree.id_of(at), at)).collect();
        Self { indexes, sibling_pairs, skipped: RefCell::default() }
    }

    /// The selectors that were not evaluated.
    pub(crate) fn into_skipped(self) -> Vec<String> {
        self.skipped.into_inner()
    }
}

/// A value as an error may repeat it: its beginning, in quotes.
pub(crate) fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    let end = value.floor_char_boundary(LONGEST.min(value.len()));
    format!("{:?}{}", &value[..end], if end < value.len() { "…" } else { "" })
}
