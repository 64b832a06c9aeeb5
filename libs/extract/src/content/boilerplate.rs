//! The frame of a page: navigation, footers, sharing, advertising, comments. Known by element, role, and the words
//! in class and id. A subtree that holds most of the page is never frame, whatever it is called.

use dom_query::local_name;

use super::mass::Mass;
use super::names;
use crate::tag::Tag;
use crate::tree::{Index, Tree};

/// A subtree with more of the page's text than this, in percent, is not frame.
const MOST_OF_PAGE: usize = 50;
/// A subtree with more of the page's sentences than this is not frame for a name that may mean other things.
const MUCH_OF_MASS: f32 = 0.4;

/// Marks the roots of all subtrees that are frame: by element and role, and by name if `by_name`.
pub(super) fn mark(tree: &Tree<'_>, root: Index, mass: &Mass, by_name: bool) -> Vec<bool> {
    let most = mass.text[root] * MOST_OF_PAGE / 100;
    let much = mass.sum[root] * MUCH_OF_MASS;
    let mut skip = vec![false; tree.len()];
    let (mut at, mut content_end) = (root + 1, 0);
    while at < tree.end(root) {
        let tag = tree.tag(at);
        let content = matches!(tag, Tag::Article | Tag::Main);
        let spared = tag == Tag::Text || content || (mass.text[at] > most && mass.link_density(at) < 0.5);
        let vague = mass.sum[at] > much && mass.sum[at] > 0.0;
        let framed = || by_element(tree, at, mass, at < content_end) || (by_name && named(tree, at, vague));
        if tree.hidden(at) || (!spared && framed()) {
            skip[at] = true;
            at = tree.end(at);
            continue;
        }
        if content {
            content_end = content_end.max(tree.end(at));
        }
        at += 1;
    }
    skip
}

/// Whether an element is frame by what it is.
fn by_element(tree: &Tree<'_>, at: Index, mass: &Mass, in_content: bool) -> bool {
    const ROLES: &[&str] = &[
        "navigation",
        "banner",
        "contentinfo",
        "complementary",
        "search",
        "dialog",
        "alertdialog",
        "menu",
        "menubar",
        "toolbar",
        "tablist",
    ];
    match tree.tag(at) {
        Tag::Nav | Tag::Footer | Tag::Aside | Tag::Dialog | Tag::Search | Tag::Menu => true,
        // The question of a list of questions is a button in a heading.
        Tag::Button => !tree
            .ancestors(at)
            .take(2)
            .any(|up| tree.tag(up).heading().is_some() && mass.text[up] == mass.text[at]),
        Tag::Header => !in_content || tree.all(at, Tag::Nav).next().is_some(),
        Tag::Form => tree.all(at, Tag::P).count() < 3,
        _ => tree.attr_named(at, "role").is_some_and(|role| ROLES.contains(&role)),
    }
}

/// Whether an element is frame by its name; `much` is whether it holds much of the text.
fn named(tree: &Tree<'_>, at: Index, much: bool) -> bool {
    const PLAIN: &[&str] = &["ad", "share", "social", "newsletter", "related", "byline", "sponsored"];
    match tree.tag(at) {
        Tag::Table | Tag::Tbody | Tag::Thead => false,
        tag if tag.heading().is_some() => false,
        // Names of small elements mean their looks; few are sure.
        Tag::Code
        | Tag::Pre
        | Tag::P
        | Tag::Em
        | Tag::Strong
        | Tag::B
        | Tag::I
        | Tag::Td
        | Tag::Th
        | Tag::Tr => {
            names::words(tree.class(at)).any(|name| PLAIN.iter().any(|word| name.eq_ignore_ascii_case(word)))
        }
        _ => {
            let label =
                tree.attr_named(at, "aria-label").filter(|label| label.len() < 40).unwrap_or_default();
            [tree.class(at), tree.id(at), label].into_iter().any(|names| names::framed(names, much))
                || tree
                    .attr(at, local_name!("itemprop"))
                    .is_some_and(|prop| matches!(prop, "comment" | "author"))
        }
    }
}
