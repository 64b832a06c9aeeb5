//! The Markdown text under construction: lines with the prefixes of quotes and list items, pending gaps, pending
//! emphasis. Promises that no mark is left open over a block, and that no blank space is emphasised.

use super::{escape, flank};

/// Most quotes and lists whose prefixes are written; deeper ones are written at this depth.
const MAX_PREFIXES: usize = 24;

/// What must come between the text written and the text to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    #[default]
    None,
    /// A hard line break inside a paragraph.
    Break,
    /// A new line.
    Line,
    /// A blank line.
    Paragraph,
}

/// What the text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Markdown,
    /// Markdown inside a table cell: one line, `<br>` between blocks.
    Cell,
    /// Words only.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Open,
    /// Writes nothing: inside an equal mark, or a link that has been written on its first block.
    Dead,
}

#[derive(Debug)]
struct Mark {
    open: &'static str,
    close: String,
    link: bool,
    /// Square brackets of the text do not pair up.
    unpaired: bool,
    state: State,
}

#[derive(Debug)]
struct Prefix {
    first: Option<String>,
    text: &'static str,
    width: usize,
}

/// Text under construction.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) style: Style,
    out: String,
    prefixes: Vec<Prefix>,
    /// Prefixes asked for beyond the limit.
    excess: usize,
    marks: Vec<Mark>,
    gap: Gap,
    space: bool,
    /// Nothing was written since a list item began.
    fresh: bool,
    /// Nothing was written on this line but prefixes.
    bol: bool,
    lead: Option<String>,
    /// Smallest number of prefixes since the last text: a blank line carries those only.
    shared: usize,
    /// Length of the text when a mark was closed last.
    closed_at: usize,
}

impl Writer {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            out: String::new(),
            prefixes: Vec::new(),
            excess: 0,
            marks: Vec::new(),
            gap: Gap::None,
            space: false,
            fresh: false,
            bol: true,
            lead: None,
            shared: 0,
            closed_at: usize::MAX,
        }
    }

    /// The text written.
    pub(super) fn finish(mut self) -> String {
        self.out.truncate(self.out.trim_end().len());
        self.out
    }

    /// Asks for a gap before the next text.
    pub(super) fn gap(&mut self, gap: Gap) {
        self.space = false;
        if self.fresh || self.out.is_empty() {
            return;
        }
        let twice = gap == Gap::Break && self.gap == Gap::Break;
        self.gap = if twice { Gap::Paragraph } else { self.gap.max(gap) };
    }

    /// Asks for a gap, whatever was asked for before: between the items of a tight list.
    pub(super) fn exact_gap(&mut self, gap: Gap) {
        if !self.fresh && !self.out.is_empty() {
            self.gap = gap;
            self.space = false;
        }
    }

    /// Asks for a space before the next text of the line.
    pub(super) fn space(&mut self) {
        self.space = true;
    }

    /// Opens a quote.
    pub(super) fn open_quote(&mut self) {
        self.open(Prefix { first: None, text: "> ", width: 2 });
    }

    /// Opens a list item, or the definition of a term; its other lines are indented by `width`.
    pub(super) fn open_item(&mut self, marker: String, width: usize) {
        self.open(Prefix { first: Some(marker), text: "", width });
        self.fresh = true;
    }

    /// Indents what follows, as if it were in the item before.
    pub(super) fn open_indent(&mut self, width: usize) {
        self.open(Prefix { first: None, text: "", width });
    }

    fn open(&mut self, prefix: Prefix) {
        if self.style != Style::Markdown || self.prefixes.len() >= MAX_PREFIXES {
            if self.style == Style::Cell
                && let Some(first) = prefix.first
            {
                self.lead = Some(first);
            }
            self.excess += 1;
            return;
        }
        self.prefixes.push(prefix);
    }

    /// Closes the innermost quote or item. An item without content is still an item.
    pub(super) fn close_prefix(&mut self) {
        if self.excess > 0 {
            self.excess -= 1;
            self.fresh = false;
            self.lead = None;
            return;
        }
        if self.fresh && self.prefixes.last().is_some_and(|prefix| prefix.first.is_some()) {
            self.prepare();
        }
        self.fresh = false;
        self.prefixes.pop();
        self.shared = self.shared.min(self.prefixes.len());
    }

    /// Text that the next text starts with, such as `## `.
    pub(super) fn lead(&mut self, lead: String) {
        self.lead = Some(lead);
    }

    /// Forgets a lead that no text followed.
    pub(super) fn drop_lead(&mut self) {
        self.lead = None;
    }

    /// Opens emphasis: `*`, `**`, `~~`.
    pub(super) fn open_mark(&mut self, mark: &'static str) {
        let active = self.marks.iter().any(|open| open.open == mark && open.state != State::Dead);
        let state = if active || self.style == Style::Plain { State::Dead } else { State::Pending };
        self.marks.push(Mark { open: mark, close: mark.to_owned(), link: false, unpaired: false, state });
    }

    /// Opens a link; `close` is all from the closing bracket on, `text` is what the link will say.
    pub(super) fn open_link(&mut self, close: String, text: &str) {
        let unpaired = escape::unpaired(text);
        let state = if self.style == Style::Plain { State::Dead } else { State::Pending };
        self.marks.push(Mark { open: "[", close, link: true, unpaired, state });
    }

    /// Closes the innermost mark; writes nothing if nothing was written inside.
    pub(super) fn close_mark(&mut self) {
        if let Some(mark) = self.marks.pop()
            && mark.state == State::Open
        {
            self.out.push_str(&mark.close);
            self.closed_at = if mark.link { usize::MAX } else { self.out.len() };
        }
    }

    /// Whether the text to come is the text of a link.
    pub(super) fn in_link(&self) -> bool {
        self.marks.iter().any(|mark| mark.link && mark.state != State::Dead)
    }

    /// Writes text of the page: white space collapsed, special characters escaped where they would act.
    pub(super) fn text(&mut self, text: &str) {
        let link = self.marks.iter().find(|mark| mark.link && mark.state != State::Dead);
        let brackets = link.is_some_and(|link| link.unpaired);
        let mut rest = text;
        while !rest.is_empty() {
            let length = escape::word_length(rest);
            if length > 0 {
                self.word(&rest[..length], brackets);
            }
            rest = &rest[length..];
            let blank = escape::blank_length(rest);
            if blank > 0 {
                self.space = true;
                rest = &rest[blank..];
            }
        }
    }

    fn word(&mut self, word: &str, brackets: bool) {
        let spaced = self.space;
        let (before, word) = self.split_before_mark(word).unwrap_or(("", word));
        self.out.push_str(before);
        if word.is_empty() {
            return;
        }
        let length = self.out.len();
        self.prepare();
        if self.closed_at == length && self.out.len() == length {
            flank::behind(&mut self.out, word);
        }
        if self.style == Style::Plain {
            self.out.push_str(word);
        } else {
            escape::push(
                &mut self.out,
                word,
                escape::Place { line_start: self.bol, spaced: spaced || self.bol, brackets },
            );
        }
        self.bol = false;
    }

    /// The part of a word that belongs before the emphasis about to open, and the rest.
    fn split_before_mark<'w>(&self, word: &'w str) -> Option<(&'w str, &'w str)> {
        let goes_on = !self.space && !self.bol && !self.fresh && self.gap == Gap::None && self.lead.is_none();
        let mut pending = self.marks.iter().filter(|mark| mark.state == State::Pending).peekable();
        pending.peek()?;
        (goes_on && self.style != Style::Plain && pending.all(|mark| !mark.link))
            .then(|| word.split_at(flank::before(&self.out, word)))
    }

    /// Writes Markdown as it is.
    pub(super) fn raw(&mut self, text: &str) {
        self.prepare();
        self.out.push_str(text);
        self.bol = false;
    }

    /// Writes lines as they are, each behind the prefixes of the line.
    pub(super) fn lines(&mut self, text: &str) {
        let mut lines = text.split('\n');
        self.raw(lines.next().unwrap_or_default());
        for line in lines {
            self.out.push('\n');
            self.prefix(self.prefixes.len(), line.is_empty());
            self.out.push_str(line);
        }
    }

    /// Brings the text to where the next word goes: gap, prefixes, space, open marks.
    fn prepare(&mut self) {
        if self.gap != Gap::None {
            self.break_line();
        } else if self.out.is_empty() {
            self.prefix(self.prefixes.len(), false);
        } else if self.fresh && !self.bol {
            // The marker of an item that begins in the middle of a line cannot be written there.
            self.gap = Gap::Line;
            self.break_line();
        } else if self.space && !self.bol {
            self.out.push(' ');
        }
        self.space = false;
        self.fresh = false;
        self.shared = self.prefixes.len();
        if let Some(lead) = self.lead.take() {
            self.out.push_str(&lead);
            self.bol = false;
        }
        self.open_pending();
    }

    fn break_line(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        if self.style == Style::Cell {
            self.close_open();
            self.out.push_str("<br>");
            return;
        }
        if gap == Gap::Break {
            self.out.push_str(if self.style == Style::Plain { "\n" } else { "  \n" });
        } else {
            self.close_open();
            self.out.push('\n');
            if gap == Gap::Paragraph {
                self.prefix(self.shared, true);
                self.out.push('\n');
            }
        }
        self.prefix(self.prefixes.len(), false);
        self.bol = true;
    }

    /// Starts a line inside the first `depth` quotes and items.
    fn prefix(&mut self, depth: usize, blank: bool) {
        let start = self.out.len();
        for prefix in &mut self.prefixes[..depth] {
            match prefix.first.take_if(|_| !blank) {
                Some(first) => self.out.push_str(&first),
                None if prefix.text.is_empty() => self.out.extend(std::iter::repeat_n(' ', prefix.width)),
                None => self.out.push_str(prefix.text),
            }
        }
        if blank {
            self.out.truncate(start + self.out[start..].trim_end().len());
        }
    }

    /// Closes marks before the end of a block; they open again in the next, links do not.
    fn close_open(&mut self) {
        for mark in self.marks.iter_mut().rev().filter(|mark| mark.state == State::Open) {
            self.out.push_str(&mark.close);
            mark.state = if mark.link { State::Dead } else { State::Pending };
        }
        self.closed_at = usize::MAX;
    }

    fn open_pending(&mut self) {
        for mark in self.marks.iter_mut().filter(|mark| mark.state == State::Pending) {
            mark.state = State::Open;
            let joins = !mark.link && self.closed_at == self.out.len() && self.out.ends_with(&mark.close);
            if joins {
                self.out.truncate(self.out.len() - mark.close.len());
                self.closed_at = usize::MAX;
                continue;
            }
            if mark.link && self.out.ends_with('!') {
                self.out.pop();
                self.out.push_str("\\!");
            }
            self.out.push_str(mark.open);
            self.bol = false;
        }
    }
}
