//! The page as Markdown (CommonMark with GitHub's tables, task lists and strikethrough), or as plain text.
//! One loop over the flat tree: it never recurses into a page, only once into the cells of a table.

mod block;
mod code;
mod escape;
mod flank;
mod inline;
mod list;
mod math;
mod table;
mod writer;

use crate::links::Targets;
use crate::notes;
use crate::tag::Tag;
use crate::tree::{Index, Tree};
use list::List;
use writer::{Gap, Style, Writer};

pub(crate) use code::fenced;
pub(crate) use table::tables;

/// What is rendered: a tree without the nodes that are skipped.
#[derive(Clone, Copy)]
pub(crate) struct View<'t> {
    pub(crate) tree: &'t Tree<'t>,
    pub(crate) targets: &'t Targets,
    /// Roots of subtrees left out, by index; nothing is left out where it is empty.
    pub(crate) skip: &'t [bool],
}

impl View<'_> {
    /// Whether a node and all below it are left out.
    pub(crate) fn skipped(&self, at: Index) -> bool {
        self.tree.hidden(at) || self.skip.get(at).copied().unwrap_or(false)
    }

    /// All below a node that is rendered, in document order.
    fn below(&self, at: Index) -> impl Iterator<Item = Index> + '_ {
        let (mut next, end) = (at + 1, self.tree.end(at));
        std::iter::from_fn(move || {
            while next < end && self.skipped(next) {
                next = self.tree.end(next);
            }
            let at = next;
            next += 1;
            (at < end).then_some(at)
        })
    }

    /// Whether there is anything to show below a node.
    fn filled(&self, at: Index) -> bool {
        self.below(at).any(|below| match self.tree.tag(below) {
            Tag::Text => !self.tree.text(below).trim().is_empty(),
            tag => matches!(tag, Tag::Img | Tag::Math | Tag::Iframe | Tag::Video | Tag::Audio | Tag::Input),
        })
    }

    /// Whether a browser would break the line inside a node.
    fn has_block(&self, at: Index) -> bool {
        self.below(at).any(|below| self.tree.tag(below).block())
    }
}

/// Renders subtrees as Markdown, one after the other.
pub(crate) fn markdown(view: View<'_>, roots: &[Index]) -> String {
    render(view, roots, Style::Markdown)
}

/// Renders subtrees as plain text: a blank line between blocks, a tab between cells.
pub(crate) fn plain(view: View<'_>, roots: &[Index]) -> String {
    render(view, roots, Style::Plain)
}

fn render(view: View<'_>, roots: &[Index], style: Style) -> String {
    let mut renderer = Renderer::new(view, style);
    for root in roots {
        renderer.writer.gap(Gap::Paragraph);
        renderer.walk(*root, view.tree.end(*root));
    }
    renderer.writer.finish()
}

/// What is left to do at the end of an element.
enum Exit {
    Nothing,
    Gap(Gap),
    /// Close a mark.
    Mark,
    /// Close a quote or item, then leave a gap.
    Prefix(Gap),
    /// Close a list, then leave a gap.
    List {
        gap: Gap,
        indented: bool,
    },
    /// Close the marks of a heading, then leave a gap.
    Heading {
        linked: bool,
    },
    /// Close a mark, then leave a gap.
    MarkedBlock,
    Raw(&'static str),
}

/// Whether to go into an element or past it.
enum Step {
    Into(Exit),
    Over,
}

struct Renderer<'t> {
    view: View<'t>,
    writer: Writer,
    lists: Vec<List>,
    /// The link around blocks that goes to the next heading, and where it ends.
    heading_link: Option<(Index, String)>,
    /// The footnote that is being written: its label and its end.
    note: Option<(&'t str, Index)>,
    /// End of the innermost heading: bold is not written inside.
    heading_end: Index,
}

impl<'t> Renderer<'t> {
    fn new(view: View<'t>, style: Style) -> Self {
        Self {
            view,
            writer: Writer::new(style),
            lists: Vec::new(),
            heading_link: None,
            note: None,
            heading_end: 0,
        }
    }

    fn walk(&mut self, from: Index, end: Index) {
        let mut open: Vec<(Index, Exit)> = Vec::new();
        let mut at = from;
        loop {
            while open.last().is_some_and(|(last, _)| *last <= at) {
                if let Some((_, exit)) = open.pop() {
                    self.exit(exit);
                }
            }
            if at >= end {
                break;
            }
            let behind = self.view.tree.end(at);
            match self.enter(at) {
                Step::Into(exit) => {
                    open.push((behind, exit));
                    at += 1;
                }
                Step::Over => at = behind,
            }
        }
    }

    fn enter(&mut self, at: Index) -> Step {
        let tag = self.view.tree.tag(at);
        if tag == Tag::Text {
            self.writer.text(self.view.tree.text(at));
            return Step::Over;
        }
        if tag == Tag::Script {
            self.math_script(at);
            return Step::Over;
        }
        if self.view.skipped(at) {
            return Step::Over;
        }
        if let Some((label, end)) = self.note
            && at < end
            && notes::dressing(self.view.tree, at, label)
        {
            return Step::Over;
        }
        if let Some(label) = self.view.targets.notes.definition(at)
            && self.writer.style == Style::Markdown
        {
            return self.note(at, label);
        }
        if tag.block() { self.enter_block(tag, at) } else { self.enter_inline(tag, at) }
    }

    /// A footnote, as the flavours of Markdown that have footnotes write it.
    fn note(&mut self, at: Index, label: &'t str) -> Step {
        self.note = Some((label, self.view.tree.end(at)));
        self.writer.gap(Gap::Paragraph);
        self.writer.open_item(format!("[^{label}]: "), 4);
        Step::Into(Exit::Prefix(Gap::Paragraph))
    }

    fn exit(&mut self, exit: Exit) {
        match exit {
            Exit::Nothing => {}
            Exit::Gap(gap) => self.writer.gap(gap),
            Exit::Mark => self.writer.close_mark(),
            Exit::Prefix(gap) => {
                self.writer.close_prefix();
                self.writer.gap(gap);
            }
            Exit::List { gap, indented } => {
                self.lists.pop();
                if indented {
                    self.writer.close_prefix();
                }
                self.writer.gap(gap);
            }
            Exit::Heading { linked } => {
                if linked {
                    self.writer.close_mark();
                }
                self.writer.drop_lead();
                self.heading_end = 0;
                self.writer.gap(Gap::Paragraph);
            }
            Exit::MarkedBlock => {
                self.writer.close_mark();
                self.writer.gap(Gap::Paragraph);
            }
            Exit::Raw(text) => self.writer.raw(text),
        }
    }
}
