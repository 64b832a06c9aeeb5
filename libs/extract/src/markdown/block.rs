//! Block elements: paragraphs, headings, quotes, definitions, rules.

use super::{Exit, Gap, Renderer, Step, Style};
use crate::tag::Tag;
use crate::tree::Index;

impl Renderer<'_> {
    pub(super) fn enter_block(&mut self, tag: Tag, at: Index) -> Step {
        if at < self.heading_end {
            self.writer.space();
            return Step::Into(Exit::Nothing);
        }
        if let Some(level) = tag.heading() {
            return self.heading(level, at);
        }
        match tag {
            Tag::Ul | Tag::Ol | Tag::Menu => self.list(tag, at),
            Tag::Li => self.item(at),
            Tag::Table => self.table(at),
            Tag::Pre => self.pre(at),
            Tag::Blockquote => {
                self.writer.gap(Gap::Paragraph);
                self.writer.open_quote();
                Step::Into(Exit::Prefix(Gap::Paragraph))
            }
            Tag::Hr => {
                self.writer.gap(Gap::Paragraph);
                if matches!(self.writer.style, Style::Markdown) {
                    self.writer.raw("---");
                    self.writer.gap(Gap::Paragraph);
                }
                Step::Over
            }
            Tag::Dt => {
                let follows = self.sibling_before(at) == Some(Tag::Dt);
                self.writer.gap(if follows { Gap::Line } else { Gap::Paragraph });
                Step::Into(Exit::Gap(Gap::Line))
            }
            Tag::Dd => self.definition(at),
            Tag::Summary
                if !self.view.below(at).any(|below| self.view.tree.tag(below).heading().is_some()) =>
            {
                self.writer.gap(Gap::Paragraph);
                self.writer.open_mark("**");
                Step::Into(Exit::MarkedBlock)
            }
            Tag::Td | Tag::Th => self.loose_cell(at),
            _ => {
                self.writer.gap(Gap::Paragraph);
                Step::Into(Exit::Gap(Gap::Paragraph))
            }
        }
    }

    fn heading(&mut self, level: u8, at: Index) -> Step {
        self.writer.gap(Gap::Paragraph);
        match self.writer.style {
            Style::Markdown => self.writer.lead(format!("{} ", "#".repeat(usize::from(level)))),
            Style::Cell => {
                self.writer.open_mark("**");
                return Step::Into(Exit::MarkedBlock);
            }
            Style::Plain => {}
        }
        self.heading_end = self.view.tree.end(at);
        let link = self.heading_link.take_if(|(end, _)| at < *end);
        let linked = link.is_some();
        if let Some((_, close)) = link {
            self.writer.open_link(close, &self.view.tree.line(at));
        }
        Step::Into(Exit::Heading { linked })
    }

    fn definition(&mut self, at: Index) -> Step {
        if !self.view.filled(at) {
            return Step::Over;
        }
        self.writer.gap(Gap::Line);
        self.writer.open_item(": ".to_owned(), 2);
        Step::Into(Exit::Prefix(Gap::Paragraph))
    }

    /// A cell of a table that is there for layout: a block if it holds blocks, else words in a row.
    fn loose_cell(&mut self, at: Index) -> Step {
        if self.view.has_block(at) {
            self.writer.gap(Gap::Paragraph);
            return Step::Into(Exit::Gap(Gap::Paragraph));
        }
        self.writer.space();
        Step::Into(Exit::Nothing)
    }

    fn sibling_before(&self, at: Index) -> Option<Tag> {
        let tree = self.view.tree;
        let parent = tree.parent(at)?;
        // The subtree of the sibling before ends where this node starts: climb from the node before.
        let mut before = at.checked_sub(1).filter(|before| *before > parent)?;
        while tree.parent(before)? != parent {
            before = tree.parent(before)?;
        }
        if tree.tag(before) == Tag::Text {
            before = before.checked_sub(1).filter(|earlier| *earlier > parent)?;
            while tree.parent(before)? != parent {
                before = tree.parent(before)?;
            }
        }
        Some(tree.tag(before))
    }
}
