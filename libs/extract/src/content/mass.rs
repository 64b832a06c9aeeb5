//! Mass: how much of a subtree is sentences rather than links and labels. The text of each node is weighed at its
//! nearest block, the weights are summed up the tree, and the content is where nearly all the mass is.

use crate::tag::Tag;
use crate::tree::{Index, Tree, ascii_space};

/// A block shorter than this has no mass: a label, a date, a button.
const LABEL: usize = 25;
/// A block shorter than this may be the teaser of another page.
const TEASER: usize = 90;
/// The share of mass that a child must hold to be entered.
const NEARLY_ALL: f32 = 0.85;
/// The share of mass that an element must hold which the page itself calls its article.
const CALLED_CONTENT: f32 = 0.25;
/// Mass of a short article.
const ENOUGH: f32 = 300.0;
/// Two elements with masses nearer than this factor are of one kind: posts of a thread, entries of a list.
const ALIKE: f32 = 0.4;
/// Characters of a lede, and how many levels above the body it may stand.
const LEDE: usize = 60;
const LEDE_DISTANCE: usize = 3;

/// What is counted of one text.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    /// Characters of its words, and one for the space after each.
    length: usize,
    /// What white space parts.
    words: usize,
    stops: usize,
}

fn counts(text: &str) -> Counts {
    // Most text is ASCII, and a table tells of its bytes: this is asked of every text of a page.
    if text.is_ascii() { ascii_counts(text.as_bytes()) } else { any_counts(text) }
}

const SPACE: u8 = 1;
const STOP: u8 = 2;
/// What each ASCII character is.
static KINDS: [u8; 128] = {
    let (mut kinds, mut at) = ([0; 128], 0);
    while at < 128 {
        if ascii_space(at as u8) {
            kinds[at] |= SPACE;
        }
        if stop(at as u8 as char) {
            kinds[at] |= STOP;
        }
        at += 1;
    }
    kinds
};

fn ascii_counts(text: &[u8]) -> Counts {
    let (mut spaces, mut starts, mut stops, mut outside) = (0, 0, 0, 1);
    for byte in text {
        let kind = KINDS[usize::from(byte & 0x7f)];
        let space = usize::from(kind & SPACE);
        spaces += space;
        starts += outside & (1 - space);
        stops += usize::from(kind >> 1);
        outside = space;
    }
    Counts { length: text.len() - spaces + starts, words: starts, stops }
}

fn any_counts(text: &str) -> Counts {
    let (mut counts, mut inside) = (Counts::default(), false);
    for c in text.chars() {
        let space = c.is_whitespace();
        counts.length += usize::from(!space);
        counts.words += usize::from(!space && !inside);
        counts.stops += usize::from(stop(c));
        inside = !space;
    }
    counts.length += counts.words;
    counts
}

/// Whether a character ends sentences or parts them, in the scripts of the Web.
const fn stop(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | '!' | '?' | '。' | '、' | '，' | '！' | '？' | '।' | '؟' | '،')
}

/// Weights of all nodes of a page; frame weighs nothing.
pub(super) struct Mass {
    /// Characters of text in sentences, below each node.
    pub(super) sum: Vec<f32>,
    /// Characters of text below each node.
    pub(super) text: Vec<usize>,
    /// Characters of text in links below each node.
    pub(super) linked: Vec<usize>,
}

impl Mass {
    pub(super) fn new(tree: &Tree<'_>, root: Index, skip: &[bool]) -> Self {
        let count = tree.len();
        let mut mass = Self { sum: vec![0.0; count], text: vec![0; count], linked: vec![0; count] };
        let mut blocks = vec![Block::default(); count];
        mass.weigh(tree, root, skip, &mut blocks);
        for at in (root..tree.end(root)).rev() {
            mass.sum[at] += blocks[at].weight(tree.tag(at));
            if let Some(parent) = tree.parent(at).filter(|_| at > root) {
                mass.sum[parent] += mass.sum[at];
                mass.text[parent] += mass.text[at];
                mass.linked[parent] += mass.linked[at];
            }
        }
        mass
    }

    /// Counts the text of each text node, for itself and for its nearest block.
    fn weigh(&mut self, tree: &Tree<'_>, root: Index, skip: &[bool], blocks: &mut [Block]) {
        let (mut at, mut link_end) = (root, 0);
        while at < tree.end(root) {
            if skip[at] || tree.hidden(at) {
                at = tree.end(at);
                continue;
            }
            if tree.tag(at) == Tag::A {
                link_end = link_end.max(tree.end(at));
            }
            let text = tree.text(at);
            let Counts { length, words, stops } = counts(text);
            if length > 0 {
                let linked = if at < link_end { length } else { 0 };
                (self.text[at], self.linked[at]) = (length, linked);
                let near = tree.ancestors(at).find(|up| tree.tag(*up).block()).unwrap_or(root);
                let block = &mut blocks[near];
                block.text += length;
                block.linked += linked;
                block.words += words;
                block.stops += stops;
                block.address |= text.contains("://");
            }
            at += 1;
        }
    }

    /// Share of the text below a node that is in links.
    pub(super) fn link_density(&self, at: Index) -> f32 {
        if self.text[at] == 0 { 0.0 } else { self.linked[at] as f32 / self.text[at] as f32 }
    }

    /// The smallest subtree with nearly all the mass, and how sure that is.
    pub(super) fn densest(&self, tree: &Tree<'_>, root: Index) -> (Index, f32) {
        let mut at = self.declared(tree, root).unwrap_or(root);
        loop {
            let heaviest = tree
                .children(at)
                .filter(|child| tree.tag(*child) != Tag::Text)
                .max_by(|a, b| self.sum[*a].total_cmp(&self.sum[*b]));
            let Some(child) = heaviest else { break };
            let leaf = matches!(
                tree.tag(child),
                Tag::P | Tag::Li | Tag::Ul | Tag::Ol | Tag::Td | Tag::Pre | Tag::Blockquote
            ) || !tree.tag(child).block() && tree.tag(child) != Tag::Other;
            if leaf || self.sum[child] < NEARLY_ALL * self.sum[at] || self.sum[child] <= 0.0 {
                break;
            }
            at = child;
        }
        let held = self.sum[at] / self.sum[root].max(1.0);
        let clean = 1.0 - self.link_density(at);
        let size = (self.sum[at] / 1_000.0).min(1.0);
        (at, (held * clean * (0.4 + 0.6 * size)).clamp(0.0, 1.0))
    }

    /// The one element that the page itself calls the body of its article, if it holds enough and no other is like it.
    fn declared(&self, tree: &Tree<'_>, root: Index) -> Option<Index> {
        let single = |calls: fn(&Tree<'_>, Index) -> bool| {
            let mut found: Vec<Index> =
                (root + 1..tree.end(root)).filter(|at| self.sum[*at] > 0.0 && calls(tree, *at)).collect();
            found.sort_by(|a, b| self.sum[*b].total_cmp(&self.sum[*a]).then(a.cmp(b)));
            let first = *found.first()?;
            let apart = |at: &&Index| **at < first || **at >= tree.end(first);
            let around = |at: &Index| *at < first && tree.end(*at) >= tree.end(first);
            let second = found.iter().filter(apart).find(|at| !around(at)).map_or(0.0, |at| self.sum[*at]);
            let enough = self.sum[first] > ENOUGH && self.sum[first] > CALLED_CONTENT * self.sum[root];
            (enough && second < ALIKE * self.sum[first]).then_some(first)
        };
        single(calls_itself_body).or_else(|| single(calls_itself_article))
    }

    /// Sentences before the main content that belong to it: the lede between the title and the body.
    pub(super) fn lede(&self, tree: &Tree<'_>, root: Index, found: Index, skip: &[bool]) -> Vec<Index> {
        let mut lede = Vec::new();
        let mut at = found;
        for _ in 0..LEDE_DISTANCE {
            let Some(parent) = tree.parent(at).filter(|_| at > root) else { break };
            let before = tree.children(parent).take_while(|child| *child < at);
            let sentences = |child: &Index| {
                self.text[*child] > LEDE && self.sum[*child] > 0.45 * self.text[*child] as f32
            };
            let small = |child: &Index| self.sum[*child] < self.sum[found] * ALIKE;
            let mut here: Vec<Index> =
                before.filter(|child| !skip[*child] && sentences(child) && small(child)).collect();
            here.extend(lede);
            lede = here;
            if matches!(tree.tag(parent), Tag::Article | Tag::Main | Tag::Body) {
                break;
            }
            at = parent;
        }
        lede
    }

    /// The region that the page calls its main one, if it holds most of the text; else all of the page.
    pub(super) fn region(&self, tree: &Tree<'_>, root: Index) -> (Index, f32) {
        let main = (root + 1..tree.end(root))
            .filter(|at| tree.tag(*at) == Tag::Main || tree.attr_named(*at, "role") == Some("main"));
        let largest = main.max_by_key(|at| self.text[*at]);
        match largest.filter(|at| self.text[*at] * 2 > self.text[root]) {
            Some(at) => (at, 0.8),
            None => (root, 0.4),
        }
    }
}

/// The text that stands directly in a block.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    text: usize,
    linked: usize,
    words: usize,
    stops: usize,
    address: bool,
}

impl Block {
    /// What the text counts for: all of it in sentences, little of it without, nothing in links.
    fn weight(self, tag: Tag) -> f32 {
        // An address, written out, is no sentence. Scripts without spaces have long words too.
        let written_address = self.address && self.words < 2;
        if self.text < LABEL || self.linked * 2 > self.text || tag.heading().is_some() || written_address {
            return 0.0;
        }
        let sentences = if self.stops == 0 { 0.2 } else { 1.0 };
        let length = if self.text < TEASER { 0.5 } else { 1.0 };
        let kind = match tag {
            Tag::P | Tag::Pre | Tag::Blockquote => 1.0,
            Tag::Li | Tag::Td | Tag::Th | Tag::Figcaption | Tag::Caption => 0.5,
            _ => 0.8,
        };
        (self.text - self.linked) as f32 * sentences * kind * length
    }
}

/// Whether a page names an element as the body of an article.
fn calls_itself_body(tree: &Tree<'_>, at: Index) -> bool {
    const NAMES: &[&str] = &[
        "articlebody",
        "articlecontent",
        "articletext",
        "entrycontent",
        "postcontent",
        "postbody",
        "storybody",
        "storycontent",
        "storytext",
        "bodycopy",
        "newsbody",
        "blogcontent",
        "blogpostbody",
        "contentbody",
    ];
    if tree.attr_named(at, "itemprop").is_some_and(|prop| prop.eq_ignore_ascii_case("articleBody")) {
        return true;
    }
    [tree.class(at), tree.id(at)].into_iter().flat_map(str::split_ascii_whitespace).any(|name| {
        let name: String =
            name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
        NAMES.iter().any(|body| name.ends_with(body))
    })
}

fn calls_itself_article(tree: &Tree<'_>, at: Index) -> bool {
    tree.tag(at) == Tag::Article
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Counts, any_counts, counts};

    proptest! {
        #[test]
        fn ascii_is_counted_as_any_text(text in "[\\x00-\\x7f]{0,40}") {
            prop_assert_eq!(counts(&text), any_counts(&text));
        }
    }

    #[test]
    fn words_characters_and_stops_are_counted() {
        assert_eq!(counts(""), Counts::default());
        assert_eq!(counts(" \u{a0}\n"), Counts::default());
        assert_eq!(counts(" Yes,  no.\n"), Counts { length: 9, words: 2, stops: 2 });
        assert_eq!(counts("日本語。"), Counts { length: 5, words: 1, stops: 1 });
    }
}
