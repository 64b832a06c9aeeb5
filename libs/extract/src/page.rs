//! An HTML page to a document: one parse, one flat tree, and every part of the document from that tree.

use dom_query::Document as Dom;
use url::Url;

use crate::links::Targets;
use crate::markdown::{self, View};
use crate::tag::Tag;
use crate::tree::{Index, Tree, ascii_space};
use crate::{
    ContentKind, Document, Options, PageStatus, Part, Selection, cleaned, content, metadata, parse, plain,
    scan, status,
};

/// Reads a page.
pub(crate) fn read(html: &str, xhtml: bool, url: &Url, options: &Options) -> Document {
    let Some(dom) = parse::parse(html, xhtml, options) else { return unparsed(html) };
    let tree = Tree::new(&dom);
    let targets = Targets::new(&tree, url);
    let mut document = Document::default();
    describe(&tree, &targets, options, &mut document);
    write(&tree, &targets, options, Frame::Cut, &mut document);
    if let Some(root) = root(&tree) {
        document.needs_javascript = status::needs_javascript(&tree, root, document.word_count);
    }
    document.page_status = status::page_status(&tree, &document);
    if options.selection != Selection::default() {
        document = select(&dom, url, options, document);
    }
    document.extracted = options.schema.as_ref().map(|schema| schema.read(&dom, &tree, options));
    document
}

/// Reads a page that is content from its first word to its last: made of a file, without a frame.
pub(crate) fn read_whole(html: &str, url: &Url, options: &Options) -> Document {
    let Some(dom) = parse::parse(html, false, options) else { return unparsed(html) };
    let tree = Tree::new(&dom);
    let targets = Targets::new(&tree, url);
    let mut document = Document::default();
    describe(&tree, &targets, options, &mut document);
    write(&tree, &targets, options, Frame::None, &mut document);
    if document.word_count == 0 {
        document.page_status = PageStatus::Empty;
    }
    document
}

/// What to do about navigation, footers and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Cut,
    None,
}

/// The document of a part of a page. What is judged is the page, not the part: `whole` has the judgements.
fn select(dom: &Dom, url: &Url, options: &Options, whole: Document) -> Document {
    let selection = &options.selection;
    let targets = |tree: &Tree<'_>| {
        let mut targets = Targets::new(tree, url);
        selection.exclude.apply(&mut targets);
        targets
    };
    let mut tree = Tree::new(dom);
    let mut skipped_selectors = selection.apply(dom, &mut tree);
    let mut document = Document {
        needs_javascript: whole.needs_javascript,
        page_status: whole.page_status,
        all_links: Some(whole.links),
        ..Document::default()
    };
    describe(&tree, &targets(&tree), options, &mut document);
    if !selection.target_elements.is_empty() {
        skipped_selectors.extend(selection.focus(dom, &mut tree));
    }
    write(&tree, &targets(&tree), options, Frame::Cut, &mut document);
    document.skipped_selectors = skipped_selectors;
    document
}

/// What the page says about itself, and where it leads.
fn describe(tree: &Tree<'_>, targets: &Targets, options: &Options, document: &mut Document) {
    metadata::read(tree, targets, options, document);
    if options.needs(Part::Links) {
        document.links = targets.links(tree, options);
    }
    if options.needs(Part::Images) {
        document.images = targets.images(tree, options);
        document.recordings = targets.recordings(tree, options);
    }
}

/// What the page says.
fn write(tree: &Tree<'_>, targets: &Targets, options: &Options, frame: Frame, document: &mut Document) {
    let Some(root) = root(tree) else { return };
    let whole = View { tree, targets, skip: &[] };
    document.word_count = words(tree, root);
    // What a page with few words says decides its status.
    if options.needs(Part::Markdown) || document.word_count <= status::MANY_WORDS {
        document.markdown = markdown::markdown(whole, &[root]);
    }
    if options.needs(Part::Tables) {
        document.tables = markdown::tables(whole, root, options);
    }
    if options.needs(Part::CleanedHtml) {
        document.cleaned_html = cleaned::html(whole, root);
    }
    main_content(whole, root, options, frame, document);
}

fn main_content(whole: View<'_>, root: Index, options: &Options, frame: Frame, document: &mut Document) {
    let mut main = match frame {
        Frame::Cut => content::find(whole.tree, root, document),
        Frame::None => content::all(whole.tree, root),
    };
    if let Some(filter) = &options.filter {
        filter.apply(whole.tree, root, document, &mut main);
    }
    let view = View { skip: &main.skip, ..whole };
    document.content_kind = main.kind;
    document.confidence = main.confidence;
    if options.needs(Part::FitMarkdown) {
        document.fit_markdown = markdown::markdown(view, &main.roots);
    }
    if !options.needs(Part::Text) {
        return;
    }
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
    if text.is_ascii() {
        return text
            .as_bytes()
            .split(|byte| ascii_space(*byte))
            .filter(|word| word.iter().any(u8::is_ascii_alphanumeric))
            .count();
    }
    let spaced = text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count();
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
