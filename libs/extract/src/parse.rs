//! Text to DOM, once. A guard between html5ever's tokenizer and its tree builder keeps the tree shallow and small,
//! because the builder needs quadratic time on deep nesting and unbounded memory on hostile formatting tags.
//! Promises linear time, and a tree no deeper than a small multiple of `max_depth`.

use std::cell::{Cell, RefCell};

use dom_query::{Document as Dom, LocalName, NodeId};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag as Token, TagKind, Token as AnyToken, TokenSink, TokenSinkResult, Tokenizer,
};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts, TreeSink};

use crate::tag::Tag;
use crate::{Options, scan};

/// Nodes that one element of the source may make on average (implied and reconstructed elements, text).
const NODES_PER_ELEMENT: usize = 8;
/// How many dropped or open tags are searched for the one that an end tag closes.
const LOOK_BACK: usize = 64;
/// Fed to the tokenizer at once; parsing stops between two pieces when a limit is passed.
const PIECE_BYTES: usize = 256 * 1024;

/// Parses a page; nothing if it has too many elements or attributes for a tree.
pub(crate) fn parse(html: &str, xhtml: bool, options: &Options) -> Option<Dom> {
    if scan::overloaded(html) {
        return None;
    }
    // With scripting, `<noscript>` is text: the tree is the same as the one a browser serialises.
    let opts = TreeBuilderOpts { scripting_enabled: true, ..TreeBuilderOpts::default() };
    let guard = Guard {
        builder: TreeBuilder::new(Dom::default(), opts),
        xhtml,
        max_depth: options.max_depth.clamp(8, 256),
        max_elements: options.max_elements,
        elements: Cell::new(0),
        overflow: Cell::new(false),
        open: RefCell::default(),
        dropped: RefCell::default(),
    };
    let tokenizer = Tokenizer::new(guard, html5ever::tokenizer::TokenizerOpts::default());
    let queue = BufferQueue::default();
    let mut rest = html;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES.min(rest.len())));
        rest = after;
        queue.push_back(StrTendril::from(piece));
        // The tokenizer pauses at every script; there is nothing to run.
        while !matches!(tokenizer.feed(&queue), html5ever::TokenizerResult::Done) {}
        if tokenizer.sink.overflow.get() {
            return None;
        }
    }
    tokenizer.end();
    let Tokenizer { sink, .. } = tokenizer;
    (!sink.overflow.get()).then(|| sink.builder.sink.finish())
}

struct Guard {
    builder: TreeBuilder<NodeId, Dom>,
    xhtml: bool,
    max_depth: usize,
    max_elements: usize,
    elements: Cell<usize>,
    overflow: Cell<bool>,
    open: RefCell<Vec<LocalName>>,
    dropped: RefCell<Vec<LocalName>>,
}

impl TokenSink for Guard {
    type Handle = NodeId;

    fn process_token(&self, token: AnyToken, line: u64) -> TokenSinkResult<NodeId> {
        if self.overflow.get() {
            return TokenSinkResult::Continue;
        }
        match token {
            AnyToken::CommentToken(_) | AnyToken::ParseError(_) => TokenSinkResult::Continue,
            AnyToken::TagToken(tag) if tag.kind == TagKind::StartTag => self.start(tag, line),
            AnyToken::TagToken(tag) => {
                if self.end_passes(&tag.name) {
                    self.builder.process_token(AnyToken::TagToken(tag), line)
                } else {
                    TokenSinkResult::Continue
                }
            }
            other => self.builder.process_token(other, line),
        }
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

impl Guard {
    fn start(&self, tag: Token, line: u64) -> TokenSinkResult<NodeId> {
        self.elements.set(self.elements.get() + 1);
        let nodes = self.builder.sink.tree.len();
        if self.elements.get() > self.max_elements
            || nodes > self.max_elements.saturating_mul(NODES_PER_ELEMENT)
        {
            self.overflow.set(true);
            return TokenSinkResult::Continue;
        }
        let known = Tag::of(&tag.name);
        let empty = void(&tag.name) || (tag.self_closing && (self.xhtml || known == Tag::Other));
        if !empty {
            close_implied(&mut self.open.borrow_mut(), known, &tag.name);
            if self.open.borrow().len() >= self.max_depth && !raw(known) {
                self.dropped.borrow_mut().push(tag.name);
                return TokenSinkResult::Continue;
            }
            if !raw(known) {
                self.open.borrow_mut().push(tag.name.clone());
            }
        }
        if self.xhtml && tag.self_closing && !void(&tag.name) {
            let mut close = tag.clone();
            close.kind = TagKind::EndTag;
            close.self_closing = false;
            close.attrs.clear();
            // The raw text state that a start tag asks for would swallow the rest of the page.
            let _ = self.builder.process_token(AnyToken::TagToken(tag), line);
            let _ = self.builder.process_token(AnyToken::TagToken(close), line);
            return TokenSinkResult::Continue;
        }
        self.builder.process_token(AnyToken::TagToken(tag), line)
    }

    /// Whether the tree builder gets to see an end tag: not if its start tag was dropped.
    fn end_passes(&self, name: &LocalName) -> bool {
        let mut dropped = self.dropped.borrow_mut();
        let from = dropped.len().saturating_sub(LOOK_BACK);
        if let Some(at) = dropped[from..].iter().rposition(|open| open == name) {
            dropped.truncate(from + at);
            return false;
        }
        let mut open = self.open.borrow_mut();
        if let Some(at) = open.iter().rposition(|open| open == name) {
            open.truncate(at);
            dropped.clear();
        }
        true
    }
}

/// Elements without content.
fn void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "frame"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
    )
}

/// Elements that hold nothing but text; dropping their start tag would turn scripts into text.
fn raw(tag: Tag) -> bool {
    matches!(tag, Tag::Script | Tag::Style | Tag::Title | Tag::Textarea | Tag::Noscript | Tag::Iframe)
}

/// Closes what a start tag closes without an end tag (`<li>` a `<li>`), so that a long list is not taken for depth.
fn close_implied(open: &mut Vec<LocalName>, tag: Tag, name: &str) {
    let (closes, scope): (&[&str], &[&str]) = match name {
        "li" => (&["li"], &["ul", "ol", "menu"]),
        "dt" | "dd" => (&["dt", "dd"], &["dl"]),
        "option" | "optgroup" => (&["option"], &["select"]),
        "td" | "th" => (&["td", "th"], &["table", "tr"]),
        "tr" => (&["tr"], &["table"]),
        "tbody" | "thead" | "tfoot" => (&["tbody", "thead", "tfoot"], &["table"]),
        _ if tag.block() => {
            (&["p"], &["div", "section", "article", "td", "li", "dd", "table", "button", "blockquote"])
        }
        _ => return,
    };
    let from = open.len().saturating_sub(LOOK_BACK);
    for at in (from..open.len()).rev() {
        if closes.contains(&&*open[at]) {
            open.truncate(at);
            return;
        }
        if scope.contains(&&*open[at]) {
            return;
        }
    }
}
