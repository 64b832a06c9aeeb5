//! Pruning, after Crawl4AI: five measures of an element, weighed into one score; what scores low is cut with all below it.

use dom_query::local_name;

use super::names;
use crate::tag::Tag;
use crate::tree::{Index, Tree};

/// Sizes of the subtree of a node.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    text: usize,
    linked: usize,
    words: usize,
    /// Characters of markup and text, about what its inner HTML is long.
    html: usize,
}

/// Roots of the subtrees that are cut.
pub(super) fn cut(
    tree: &Tree<'_>,
    root: Index,
    threshold: f32,
    dynamic: bool,
    min_words: usize,
) -> Vec<bool> {
    let sizes = sizes(tree, root);
    let mut skip = vec![false; tree.len()];
    let mut at = root + 1;
    while at < tree.end(root) {
        let tag = tree.tag(at);
        let frame =
            matches!(tag, Tag::Nav | Tag::Footer | Tag::Header | Tag::Aside | Tag::Form | Tag::Iframe);
        let judged = tag != Tag::Text && tag.block();
        if judged && (frame || sizes[at].words < min_words || low(tree, at, sizes[at], threshold, dynamic)) {
            skip[at] = true;
            at = tree.end(at);
        } else {
            at += 1;
        }
    }
    skip
}

fn sizes(tree: &Tree<'_>, root: Index) -> Vec<Size> {
    let mut sizes = vec![Size::default(); tree.len()];
    for at in (root..tree.end(root)).rev() {
        if tree.hidden(at) {
            sizes[at] = Size::default();
            continue;
        }
        if tree.tag(at) == Tag::Text {
            let text = tree.text(at).trim();
            let length = text.chars().count();
            sizes[at] =
                Size { text: length, linked: 0, words: text.split_whitespace().count(), html: length };
        } else if tree.tag(at) == Tag::A {
            sizes[at].linked = sizes[at].text;
        }
        let (own, mut outer) = (sizes[at], sizes[at].html);
        if tree.tag(at) != Tag::Text {
            let attributes = (0..).map_while(|number| tree.attribute(at, number));
            outer += 2 * tree.name(at).len()
                + 5
                + attributes.map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        }
        if let Some(parent) = tree.parent(at).filter(|_| at > root) {
            let above = &mut sizes[parent];
            above.text += own.text;
            above.linked += own.linked;
            above.words += own.words;
            above.html += outer;
        }
    }
    sizes
}

fn low(tree: &Tree<'_>, at: Index, size: Size, threshold: f32, dynamic: bool) -> bool {
    let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f32 / whole as f32 };
    let density = share(size.text, size.html);
    let linked = share(size.linked, size.text);
    let unlinked = if size.text == 0 { 0.0 } else { 1.0 - linked };
    let named = [tree.class(at), tree.attr(at, local_name!("id")).unwrap_or_default()];
    let framed = named.iter().filter(|names| names::framed(names, false)).count() as f32;
    let score = 0.4 * density
        + 0.2 * unlinked
        + 0.2 * weight(tree.tag(at))
        // As in Crawl4AI, a name can only fail to help.
        + 0.1 * (0.5 - 0.5 * framed).max(0.0)
        + 0.1 * (size.text as f32 + 1.0).ln();
    let mut threshold = threshold;
    if dynamic {
        if weight(tree.tag(at)) > 1.0 {
            threshold *= 0.8;
        }
        if density > 0.4 {
            threshold *= 0.9;
        }
        if linked > 0.6 {
            threshold *= 1.2;
        }
    }
    score < threshold
}

fn weight(tag: Tag) -> f32 {
    match tag {
        Tag::Article => 1.5,
        Tag::H1 => 1.2,
        Tag::H2 => 1.1,
        Tag::P | Tag::Section | Tag::H3 | Tag::Main => 1.0,
        Tag::H4 => 0.9,
        Tag::H5 => 0.8,
        Tag::H6 => 0.7,
        _ => 0.5,
    }
}
