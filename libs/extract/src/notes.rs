//! Footnotes: the links that refer to a note, and the elements that hold the notes. Known by superscript, class
//! and role, in the forms that GitHub, pandoc, MediaWiki, docutils, kramdown and mdBook write.

use std::collections::{HashMap, HashSet};

use dom_query::local_name;

use crate::tag::Tag;
use crate::tree::{Index, Tree};

/// Longest label of a note, in characters.
const MAX_LABEL: usize = 8;

/// The notes of a page; empty where there are none.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Links that refer to a note.
    references: HashMap<Index, String>,
    /// Elements that hold a note.
    definitions: HashMap<Index, String>,
}

impl Notes {
    /// Finds the notes that something refers to. Costs one look at each link where there are none.
    pub(crate) fn new(tree: &Tree<'_>) -> Self {
        let mut wanted: HashMap<&str, Vec<(Index, String)>> = HashMap::new();
        for at in (0..tree.len()).filter(|at| tree.tag(*at) == Tag::A) {
            let fragment = tree.attr(at, local_name!("href")).and_then(|href| href.trim().strip_prefix('#'));
            let Some(fragment) = fragment.filter(|_| raised(tree, at) || marked(tree, at, &["doc-noteref"]))
            else {
                continue;
            };
            if let Some(label) = label(&tree.line(at)) {
                wanted.entry(fragment).or_default().push((at, label));
            }
        }
        let mut notes = Self::default();
        if wanted.is_empty() {
            return notes;
        }
        let mut taken = HashSet::new();
        for at in (0..tree.len()).filter(|at| tree.tag(*at) != Tag::Text && holds(tree, *at)) {
            let Some(references) = wanted.remove(tree.id(at)) else { continue };
            // Two notes with one label, of two lists, could not be told apart.
            let label = references[0].1.clone();
            if taken.insert(label.clone()) {
                notes.references.extend(references.into_iter().map(|(link, _)| (link, label.clone())));
                notes.definitions.insert(at, label);
            }
        }
        notes
    }

    /// The label of the note that a link refers to.
    pub(crate) fn reference(&self, link: Index) -> Option<&str> {
        self.references.get(&link).map(String::as_str)
    }

    /// Whether there is a reference in a range of nodes.
    pub(crate) fn refers(&self, mut nodes: std::ops::Range<Index>) -> bool {
        !self.references.is_empty() && nodes.any(|at| self.references.contains_key(&at))
    }

    /// The label of the note that an element holds.
    pub(crate) fn definition(&self, at: Index) -> Option<&str> {
        self.definitions.get(&at).map(String::as_str)
    }
}

/// Whether something in a note only leads back, or repeats its label.
pub(crate) fn dressing(tree: &Tree<'_>, at: Index, own_label: &str) -> bool {
    if tree.tag(at) == Tag::A {
        let back = tree.attr(at, local_name!("href")).is_some_and(|href| href.trim().starts_with('#'));
        let sign = |line: String| line.trim_end_matches(['\u{fe0e}', '\u{fe0f}']).chars().count() <= 1;
        return back && (marked(tree, at, &["doc-backlink"]) || sign(tree.line(at)));
    }
    let labelled =
        tree.class(at).split_ascii_whitespace().any(|class| class == "label" || class.ends_with("-label"));
    labelled && label(&tree.line(at)).is_some_and(|label| label == own_label)
}

/// Whether a link is in superscript, or has nothing else inside.
fn raised(tree: &Tree<'_>, at: Index) -> bool {
    tree.ancestors(at).take(2).chain(tree.children(at).take(1)).any(|near| tree.tag(near) == Tag::Sup)
}

fn marked(tree: &Tree<'_>, at: Index, roles: &[&str]) -> bool {
    tree.class(at).contains("footnote")
        || tree.attr_named(at, "role").is_some_and(|role| roles.contains(&role))
        || ["data-footnote-ref", "data-footnote-backref"]
            .iter()
            .any(|name| tree.attr_named(at, name).is_some())
}

/// Whether an element can hold a note: an item of a list, or what calls itself one.
fn holds(tree: &Tree<'_>, at: Index) -> bool {
    match tree.tag(at) {
        Tag::Li => true,
        Tag::Div | Tag::Aside | Tag::P => marked(tree, at, &["doc-footnote", "doc-endnote"]),
        _ => false,
    }
}

fn label(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches('[').trim_end_matches(']').trim();
    let fits = (1..=MAX_LABEL).contains(&line.chars().count()) && line.chars().all(char::is_alphanumeric);
    fits.then(|| line.to_owned())
}
