//! Where the main content of a page is. Frame and advertising are known by their elements, roles and names;
//! the text is known by its mass: sentences outside of links. In doubt the page is kept, without its frame.

mod bm25;
mod boilerplate;
mod filter;
mod kind;
mod mass;
mod names;
mod pruning;
mod trim;

use mass::Mass;

pub use filter::Filter;

use crate::tree::{Index, Tree};
use crate::{ContentKind, Document};

/// Less mass than this in the whole page is no loss.
const ENOUGH: f32 = 300.0;
/// Less mass than this is left of no article, and names may have hidden one.
const LITTLE: f32 = 1_000.0;
/// The share of mass that must be left where little is.
const SHARE_LEFT: f32 = 0.3;

/// The main content.
pub(crate) struct Main {
    /// Everything that belongs to it is below these, in document order.
    pub(crate) roots: Vec<Index>,
    /// What is below the roots and does not belong to it: roots of subtrees, by index.
    pub(crate) skip: Vec<bool>,
    /// What is no running text: captions, links that stand alone, and the heading that repeats the title of the page.
    pub(crate) unread: Vec<Index>,
    pub(crate) kind: ContentKind,
    /// 0 to 1.
    pub(crate) confidence: f32,
}

/// The main content of what has no frame: all of it.
pub(crate) fn all(tree: &Tree<'_>, root: Index) -> Main {
    Main {
        roots: vec![root],
        skip: vec![false; tree.len()],
        unread: Vec::new(),
        kind: ContentKind::Text,
        confidence: 1.0,
    }
}

/// Finds the main content below the root of a page.
pub(crate) fn find(tree: &Tree<'_>, root: Index, document: &Document) -> Main {
    let unmarked = Mass::new(tree, root, &vec![false; tree.len()]);
    let mut skip = boilerplate::mark(tree, root, &unmarked, true);
    let mut mass = Mass::new(tree, root, &skip);
    // Names that hide nearly all there is to read are not names of frame: a thread is made of comments.
    let (all, left) = (unmarked.sum[root], mass.sum[root]);
    if all > ENOUGH && left < LITTLE && left < SHARE_LEFT * all {
        skip = boilerplate::mark(tree, root, &unmarked, false);
        mass = Mass::new(tree, root, &skip);
    }
    let kind = kind::of(tree, root, &mass, document);
    let article = kind == ContentKind::Article;
    let (found, confidence) = if article { mass.densest(tree, root) } else { mass.region(tree, root) };
    if article && found != root {
        trim::article(tree, found, &mass, &mut skip);
    }
    let mut roots = if article { mass.lede(tree, root, found, &skip) } else { Vec::new() };
    roots.push(found);
    let mut unread = if article { trim::unread(tree, found, &mass, &skip) } else { Vec::new() };
    unread.extend(roots.iter().find_map(|root| trim::title(tree, *root, document)));
    Main { roots, skip, unread, kind, confidence }
}
