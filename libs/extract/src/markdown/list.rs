//! Lists and their items: nested, numbered from any start, with tasks.

use dom_query::local_name;

use super::{Exit, Gap, Renderer, Step};
use crate::tag::Tag;
use crate::tree::Index;

/// A list whose items are being written.
pub(super) struct List {
    /// Number of the next item; nothing for a list of bullets.
    next: Option<i64>,
    step: i64,
    /// Some item has several blocks: blank lines between all items.
    loose: bool,
    /// Some item has been written.
    started: bool,
    /// Marker width of the items.
    width: usize,
}

impl Renderer<'_> {
    pub(super) fn list(&mut self, tag: Tag, at: Index) -> Step {
        let tree = self.view.tree;
        let nested = !self.lists.is_empty()
            && tree.parent(at).is_some_and(|up| matches!(tree.tag(up), Tag::Li | Tag::Ul | Tag::Ol));
        match self.lists.last() {
            Some(outer) if nested && !outer.loose => self.writer.exact_gap(Gap::Line),
            _ => self.writer.gap(Gap::Paragraph),
        }
        // A list directly in a list belongs to the item before it.
        let indent = self
            .lists
            .last()
            .map(|outer| outer.width)
            .filter(|_| tree.parent(at).is_some_and(|up| tree.tag(up) != Tag::Li) && nested);
        if let Some(width) = indent {
            self.writer.open_indent(width);
        }
        let reversed = tree.attr_named(at, "reversed").is_some();
        let start = tree.attr(at, local_name!("start")).and_then(|start| start.trim().parse::<i64>().ok());
        let count = || tree.children(at).filter(|child| tree.tag(*child) == Tag::Li).count();
        let start = start.unwrap_or_else(|| if reversed { i64::try_from(count()).unwrap_or(1) } else { 1 });
        let next = (tag == Tag::Ol).then_some(start.clamp(0, 999_999_999));
        let loose = tree.children(at).any(|item| tree.tag(item) == Tag::Li && self.blocks(item) > 1);
        self.lists.push(List { next, step: if reversed { -1 } else { 1 }, loose, started: false, width: 2 });
        let behind = if nested && !self.followed(at) { Gap::Line } else { Gap::Paragraph };
        Step::Into(Exit::List { gap: behind, indented: indent.is_some() })
    }

    pub(super) fn item(&mut self, at: Index) -> Step {
        if !self.view.filled(at) {
            return Step::Over;
        }
        let tree = self.view.tree;
        let value = tree.attr(at, local_name!("value")).and_then(|value| value.trim().parse::<i64>().ok());
        let (mut marker, mut gap) = ("- ".to_owned(), Gap::Line);
        if let Some(list) = self.lists.last_mut() {
            if list.loose {
                gap = Gap::Paragraph;
            } else if list.started {
                self.writer.exact_gap(Gap::Line);
            }
            list.started = true;
            if let Some(next) = list.next {
                let number = value.unwrap_or(next).clamp(0, 999_999_999);
                marker = format!("{number}. ");
                list.next = Some(number + list.step);
            }
        }
        let width = marker.len();
        if let Some(list) = self.lists.last_mut() {
            list.width = width;
        }
        if let Some(done) = self.task(at) {
            marker.push_str(if done { "[x] " } else { "[ ] " });
        }
        self.writer.gap(gap);
        self.writer.open_item(marker, width);
        Step::Into(Exit::Prefix(gap))
    }

    /// Whether an item starts with a check box, and whether it is checked.
    fn task(&self, at: Index) -> Option<bool> {
        let tree = self.view.tree;
        let first = self.view.below(at).find(|below| match tree.tag(*below) {
            Tag::Text => !tree.text(*below).trim().is_empty(),
            Tag::Input => true,
            _ => false,
        })?;
        let kind = tree.attr(first, local_name!("type"))?;
        (tree.tag(first) == Tag::Input && kind.eq_ignore_ascii_case("checkbox"))
            .then(|| tree.attr(first, local_name!("checked")).is_some())
    }

    /// Blocks of an item that need a blank line between them; lists inside do not.
    fn blocks(&self, item: Index) -> usize {
        let tree = self.view.tree;
        let (mut blocks, mut run) = (0, false);
        for child in tree.children(item).filter(|child| !self.view.skipped(*child)) {
            let tag = tree.tag(child);
            if matches!(tag, Tag::Ul | Tag::Ol | Tag::Menu) {
                run = false;
            } else if tag.block() {
                run = false;
                blocks += usize::from(self.view.filled(child));
            } else if !run && (tag != Tag::Text || !tree.text(child).trim().is_empty()) {
                run = true;
                blocks += 1;
            }
        }
        blocks
    }

    /// Whether something other than an item comes behind a nested list.
    fn followed(&self, at: Index) -> bool {
        let tree = self.view.tree;
        let Some(parent) = tree.parent(at) else { return false };
        let mut next = tree.end(at);
        while next < tree.end(parent) {
            let blank = tree.tag(next) == Tag::Text && tree.text(next).trim().is_empty();
            if !blank && !self.view.skipped(next) {
                return !matches!(tree.tag(next), Tag::Li | Tag::Ul | Tag::Ol);
            }
            next = tree.end(next);
        }
        false
    }
}
