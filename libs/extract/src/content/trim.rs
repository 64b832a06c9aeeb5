//! The last cut inside an article: lists of links, calls to read something else, and the heading that is the title.

use super::mass::Mass;
use crate::Document;
use crate::tag::Tag;
use crate::tree::{Index, Tree};

/// Whole blocks that say nothing, in lower case without punctuation.
const EMPTY_WORDS: &[&str] = &[
    "advert",
    "advertisement",
    "advertising",
    "story continues below",
    "story continues below advertisement",
    "article continues below",
    "article continues after ad",
    "continue reading below",
    "read more",
    "related",
    "related stories",
    "related articles",
    "related posts",
    "related content",
    "see also",
    "more",
    "share",
    "share this",
    "share this article",
    "share on facebook",
    "comments",
    "leave a comment",
    "no comments",
    "sponsored",
    "sponsored content",
    "loading",
    "print",
    "print article",
    "email",
    "tweet",
    "order reprints",
    "text size",
    "close",
    "caption",
    "hide caption",
    "toggle caption",
    "recommended",
    "recommended stories",
    "view comments",
    "this slideshow requires javascript",
    "media playback is unsupported on your device",
    "anzeige",
    "iklan",
    "publicidade",
    "publicidad",
    "реклама",
];

/// Marks what is no part of the text of an article.
pub(super) fn article(tree: &Tree<'_>, root: Index, mass: &Mass, skip: &mut [bool]) {
    let mut at = root + 1;
    let mut heading: Option<Index> = None;
    let mut last: Option<Index> = None;
    while at < tree.end(root) {
        let text = tree.tag(at) == Tag::Text;
        if skip[at] || text {
            if text && !tree.text(at).trim().is_empty() && last.is_none_or(|last| at >= tree.end(last)) {
                (heading, last) = (None, None);
            }
            at = tree.end(at);
            continue;
        }
        if tree.tag(at).heading().is_some() {
            (heading, last) = (Some(at), Some(at));
        }
        if links_only(tree, at, mass) || says_nothing(tree, at, mass) {
            skip[at] = true;
            // What introduces a list of links goes with it.
            if let Some(heading) = heading.take_if(|heading| *heading != at && tree.tag(at) != Tag::P) {
                skip[heading] = true;
            }
            at = tree.end(at);
            continue;
        }
        at += 1;
    }
    if let Some(heading) = heading {
        skip[heading] = true;
    }
}

fn says_nothing(tree: &Tree<'_>, at: Index, mass: &Mass) -> bool {
    if !tree.tag(at).block() || mass.text[at] > 60 || mass.text[at] == 0 {
        return false;
    }
    let line = tree.line(at).to_lowercase();
    let line = line.trim_matches(|c: char| !c.is_alphanumeric());
    let stamp = ["updated", "published", "posted", "last updated", "last modified"]
        .iter()
        .any(|word| line.starts_with(word));
    EMPTY_WORDS.contains(&line) || (stamp && line.contains(|c: char| c.is_ascii_digit()))
}

/// Whether a short block names who made a picture.
fn credits(tree: &Tree<'_>, at: Index) -> bool {
    const STARTS: &[&str] = &[
        "photo:",
        "photos:",
        "photo by",
        "photo credit",
        "image:",
        "image credit",
        "image via",
        "(image credit",
        "(photo",
        "picture:",
        "credit:",
        "foto:",
        "фото:",
        "file photo",
        "image caption",
    ];
    if !matches!(tree.tag(at), Tag::P | Tag::Div | Tag::Span | Tag::Em | Tag::Figcaption)
        || tree.end(at) - at > 12
    {
        return false;
    }
    let line = tree.line(at);
    line.len() <= 160
        && STARTS
            .iter()
            .any(|start| line.get(..start.len()).is_some_and(|head| head.to_lowercase() == *start))
}

/// Captions and credits of pictures, and paragraphs that are a link: content, but no running text.
pub(super) fn unread(tree: &Tree<'_>, root: Index, mass: &Mass, skip: &[bool]) -> Vec<Index> {
    const NAMES: &[&str] =
        &["caption", "credit", "credits", "photo-credit", "image-credit", "wp-caption-text", "gallery"];
    let named = |at: Index| {
        tree.class(at).split_ascii_whitespace().any(|class| {
            let class = class.to_ascii_lowercase();
            NAMES
                .iter()
                .any(|name| class.split(['-', '_']).any(|part| part == *name) || class.ends_with(name))
        })
    };
    let mut captions = Vec::new();
    let mut at = root + 1;
    while at < tree.end(root) {
        let figure = tree.tag(at) == Tag::Figure
            && !(at + 1..tree.end(at))
                .any(|below| matches!(tree.tag(below), Tag::Pre | Tag::Table | Tag::Blockquote | Tag::Code));
        let caption = tree.tag(at) == Tag::Figcaption
            || credits(tree, at)
            || (matches!(tree.tag(at), Tag::Div | Tag::P | Tag::Span | Tag::Other)
                && named(at)
                && tree.end(at) - at < 200);
        let link = tree.tag(at) == Tag::P && mass.link_density(at) > 0.8;
        if !skip[at] && (figure || caption || link) {
            captions.push(at);
            at = tree.end(at);
        } else {
            at += 1;
        }
    }
    captions
}

/// A list or division that is links and little else.
fn links_only(tree: &Tree<'_>, at: Index, mass: &Mass) -> bool {
    let density = mass.link_density(at);
    match tree.tag(at) {
        Tag::Ul | Tag::Ol | Tag::Dl | Tag::Table => density > 0.7,
        Tag::Div | Tag::Section => density > 0.8,
        _ => false,
    }
}

/// The heading in the main content that says the same as the title of the page.
pub(super) fn title(tree: &Tree<'_>, root: Index, document: &Document) -> Option<Index> {
    let title = normal(document.title.as_deref()?);
    let graph = document.metadata.get("og:title").map(|title| normal(title)).unwrap_or_default();
    let heading = tree.shown(root).find(|at| tree.tag(*at).heading().is_some_and(|level| level <= 2))?;
    let text = normal(&tree.line(heading));
    let same = !text.is_empty() && (title.starts_with(&text) || title.ends_with(&text) || graph == text);
    same.then_some(heading)
}

fn normal(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
