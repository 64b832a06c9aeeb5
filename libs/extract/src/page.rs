//! An HTML page to a document: one parse, one flat tree, and every part of the document from that tree.

use url::Url;

use crate::links::Targets;
use crate::markdown::{self, View};
use crate::tag::Tag;
use crate::tree::{Index, Tree};
use crate::{ContentKind, Document, Options, PageStatus, content, metadata, parse, plain, scan, status};

/// Reads a page.
pub(crate) fn read(html: &str, xhtml: bool, url: &Url, options: &Options) -> Document {
    let Some(dom) = parse::parse(html, xhtml, options) else { return unparsed(html) };
    let tree = Tree::new(&dom);
    let targets = Targets::new(&tree, url);
    let mut document = Document::default();
    metadata::read(&tree, &targets, options, &mut document);
    document.links = targets.links(&tree, options);
    document.images = targets.images(&tree, options);
    if let Some(root) = root(&tree) {
        let whole = View { tree: &tree, targets: &targets, skip: &[] };
        document.markdown = markdown::markdown(whole, &[root]);
        document.tables = markdown::tables(whole, root, options);
        document.word_count = words(&tree, root);
        main_content(whole, root, &mut document);
        document.needs_javascript = status::needs_javascript(&tree, root, document.word_count);
    }
    document.page_status = status::page_status(&tree, &document);
    document
}

fn main_content(whole: View<'_>, root: Index, document: &mut Document) {
    let main = content::find(whole.tree, root, document);
    let view = View { skip: &main.skip, ..whole };
    document.content_kind = main.kind;
    document.confidence = main.confidence;
    document.fit_markdown = markdown::markdown(view, &main.roots);
    let mut skip = main.skip;
    for unread in main.unread {
        skip[unread] = true;
    }
    document.text = markdown::plain(View { skip: &skip, ..whole }, &main.roots);
}

/// What a browser shows: the body, or the frames of a page that has none.
fn root(tree: &Tree<'_>) -> Option<Index> {
    tree.find(Tag::Body).or_else(|| tree.find(Tag::Html)).or_else(|| (tree.len() > 0).then_some(0))
}

fn words(tree: &Tree<'_>, root: Index) -> u32 {
    let count: usize = tree.shown(root).map(|at| count_words(tree.text(at))).sum();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Words of a text; each ideograph and kana counts as one, since those scripts write no spaces.
fn count_words(text: &str) -> usize {
    let spaced = text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count();
    if text.is_ascii() {
        return spaced;
    }
    let wide = text
        .chars()
        .filter(|c| matches!(*c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'))
        .count();
    spaced.max(wide)
}

/// A page too large for a tree: its text, without structure.
fn unparsed(html: &str) -> Document {
    let mut document = plain::text(&scan::text(html));
    document.content_kind = ContentKind::Other;
    document.confidence = 0.0;
    if document.text.is_empty() {
        document.page_status = PageStatus::Empty;
    }
    document
}
