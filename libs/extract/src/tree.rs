//! The DOM as a flat list in document order: a node's subtree is the range behind it, so every walk is a loop.
//! Promises: no deeper than [`MAX_DEPTH`]; comments, doctypes and the insides of SVG are left out; hidden nodes
//! and nodes that never show text are marked.

use std::cell::Ref;

use dom_query::{Document as Dom, Element, LocalName, NodeData, NodeId, local_name};
use html5ever::tendril::StrTendril;

use crate::charset::find_ignore_case;
use crate::tag::Tag;

/// Elements nested deeper hang from their ancestor at this depth.
const MAX_DEPTH: usize = 320;

/// Index of a node in a [`Tree`].
pub(crate) type Index = usize;

/// What a node holds.
enum Data<'a> {
    Text(StrTendril),
    Element(Ref<'a, Element>),
}

/// One node.
pub(crate) struct Node<'a> {
    /// Name of the element, or [`Tag::Text`].
    pub(crate) tag: Tag,
    /// Whether the node and all below it are not shown.
    pub(crate) hidden: bool,
    parent: u32,
    end: u32,
    id: NodeId,
    data: Data<'a>,
}

/// A page, flat.
pub(crate) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Tree<'a> {
    /// Flattens a DOM.
    pub(crate) fn new(dom: &'a Dom) -> Self {
        let mut tree = Self { nodes: Vec::with_capacity(dom.tree.len()) };
        tree.fill(dom);
        tree.unhide_what_is_most_of_the_page();
        tree
    }

    /// Number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The tag of a node.
    pub(crate) fn tag(&self, at: Index) -> Tag {
        self.nodes[at].tag
    }

    /// Whether a node is the root of something that is not shown.
    pub(crate) fn hidden(&self, at: Index) -> bool {
        self.nodes[at].hidden
    }

    /// First index behind the subtree of a node.
    pub(crate) fn end(&self, at: Index) -> Index {
        self.nodes[at].end as Index
    }

    /// Parent of a node; nothing for the root.
    pub(crate) fn parent(&self, at: Index) -> Option<Index> {
        let parent = self.nodes[at].parent as Index;
        (parent != at).then_some(parent)
    }

    /// Ancestors, nearest first.
    pub(crate) fn ancestors(&self, at: Index) -> impl Iterator<Item = Index> + '_ {
        std::iter::successors(self.parent(at), |at| self.parent(*at))
    }

    /// Children in document order.
    pub(crate) fn children(&self, at: Index) -> impl Iterator<Item = Index> + '_ {
        let end = self.end(at);
        let first = Some(at + 1).filter(|first| *first < end);
        std::iter::successors(first, move |child| Some(self.end(*child)).filter(|next| *next < end))
    }

    /// All below a node in document order, without what is hidden and without its subtrees.
    pub(crate) fn shown(&self, at: Index) -> impl Iterator<Item = Index> + '_ {
        self.shown_range(at + 1, self.end(at))
    }

    fn shown_range(&self, from: Index, end: Index) -> impl Iterator<Item = Index> + '_ {
        let mut next = from;
        std::iter::from_fn(move || {
            while next < end && self.nodes[next].hidden {
                next = self.end(next);
            }
            let at = next;
            next += 1;
            (at < end).then_some(at)
        })
    }

    /// Text of a text node; empty for an element.
    pub(crate) fn text(&self, at: Index) -> &str {
        match &self.nodes[at].data {
            Data::Text(text) => text,
            Data::Element(_) => "",
        }
    }

    /// An attribute by its interned name.
    pub(crate) fn attr(&self, at: Index, name: LocalName) -> Option<&str> {
        match &self.nodes[at].data {
            Data::Text(_) => None,
            Data::Element(element) => element.attr_ref(name),
        }
    }

    /// An attribute by a name that html5ever does not intern.
    pub(crate) fn attr_named(&self, at: Index, name: &str) -> Option<&str> {
        match &self.nodes[at].data {
            Data::Text(_) => None,
            Data::Element(element) => {
                element.attrs.iter().find(|attr| &*attr.name.local == name).map(|attr| &*attr.value)
            }
        }
    }

    /// Name and value of an attribute by its place in the element.
    pub(crate) fn attribute(&self, at: Index, number: usize) -> Option<(&str, &str)> {
        match &self.nodes[at].data {
            Data::Text(_) => None,
            Data::Element(element) => element.attrs.get(number).map(|attr| (&*attr.name.local, &*attr.value)),
        }
    }

    /// Name of an element; empty for text.
    pub(crate) fn name(&self, at: Index) -> &str {
        match &self.nodes[at].data {
            Data::Text(_) => "",
            Data::Element(element) => &element.name.local,
        }
    }

    /// The `class` attribute; empty if there is none.
    pub(crate) fn class(&self, at: Index) -> &str {
        self.attr(at, local_name!("class")).unwrap_or_default()
    }

    /// The `id` attribute; empty if there is none.
    pub(crate) fn id(&self, at: Index) -> &str {
        self.attr(at, local_name!("id")).unwrap_or_default()
    }

    /// The node of the DOM that a node stands for.
    pub(crate) fn id_of(&self, at: Index) -> NodeId {
        self.nodes[at].id
    }

    /// Drops all nodes but those marked. An element whose parent is dropped must be dropped too.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let mut before = Vec::with_capacity(keep.len() + 1);
        let mut count = 0u32;
        for kept in keep {
            before.push(count);
            count += u32::from(*kept);
        }
        before.push(count);
        let mut at = 0;
        self.nodes.retain_mut(|node| {
            node.parent = before[node.parent as usize];
            node.end = before[node.end as usize];
            at += 1;
            keep[at - 1]
        });
    }

    /// Makes plain spans of the marks inside lines: the elements that Crawl4AI's `only_text` takes away.
    pub(crate) fn unmark(&mut self) {
        for node in &mut self.nodes {
            let named = |element: &Element| {
                matches!(
                    &*element.name.local,
                    "abbr"
                        | "b"
                        | "cite"
                        | "code"
                        | "del"
                        | "dfn"
                        | "em"
                        | "i"
                        | "ins"
                        | "kbd"
                        | "mark"
                        | "q"
                        | "s"
                        | "small"
                        | "strong"
                        | "sub"
                        | "sup"
                        | "time"
                        | "u"
                        | "var"
                )
            };
            if matches!(&node.data, Data::Element(element) if named(element)) {
                node.tag = Tag::Span;
            }
        }
    }

    /// The first element of a kind, hidden or not.
    pub(crate) fn find(&self, tag: Tag) -> Option<Index> {
        self.nodes.iter().position(|node| node.tag == tag)
    }

    /// All elements of a kind below a node, hidden or not.
    pub(crate) fn all(&self, at: Index, tag: Tag) -> impl Iterator<Item = Index> + '_ {
        (at + 1..self.end(at)).filter(move |below| self.tag(*below) == tag)
    }

    /// The shown text below a node in one line, white space collapsed.
    pub(crate) fn line(&self, at: Index) -> String {
        let mut line = String::new();
        for below in self.shown(at) {
            match self.tag(below) {
                Tag::Text => push_collapsed(&mut line, self.text(below)),
                Tag::Br => push_collapsed(&mut line, " "),
                tag if tag.block() => push_collapsed(&mut line, " "),
                _ => {}
            }
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// All text below a node as it is, hidden or not.
    pub(crate) fn raw(&self, at: Index) -> String {
        (at + 1..self.end(at)).map(|below| self.text(below)).collect()
    }

    fn fill(&mut self, dom: &'a Dom) {
        let mut path: Vec<Index> = Vec::new();
        let mut next = Some(dom.tree.root().id);
        let mut below: Vec<(NodeId, bool)> = Vec::new();
        while let Some(id) = next {
            let pushed = self.push(dom, id, path.last().copied(), path.len() < MAX_DEPTH);
            if let Some(at) = pushed {
                path.push(at);
            }
            let (first, _) = links(dom, id);
            let inside = first.filter(|_| !pushed.is_some_and(|at| self.closed(at)));
            below.push((id, pushed.is_some()));
            next = inside;
            while next.is_none() {
                let Some((id, pushed)) = below.pop() else { break };
                if pushed && let Some(at) = path.pop() {
                    self.nodes[at].end = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
                }
                next = links(dom, id).1;
            }
        }
    }

    /// Adds a node; nothing if it is left out (its children are not).
    fn push(&mut self, dom: &'a Dom, id: NodeId, parent: Option<Index>, fits: bool) -> Option<Index> {
        let at = self.nodes.len();
        let text = dom.tree.query_node(&id, |node| match &node.data {
            NodeData::Text { contents } => Some(contents.clone()),
            _ => None,
        })?;
        let element = if text.is_none() { dom.tree.get(&id)?.element_ref() } else { None };
        let (tag, hidden, data) = match (text, element) {
            (Some(text), _) => (Tag::Text, false, Data::Text(text)),
            (None, Some(element)) if fits => (Tag::of(&element.name.local), false, Data::Element(element)),
            _ => return None,
        };
        let parent = u32::try_from(parent.unwrap_or(at)).ok()?;
        self.nodes.push(Node { tag, hidden, parent, end: parent, id, data });
        self.nodes[at].hidden = tag.silent() || (tag != Tag::Text && self.concealed(at));
        Some(at)
    }

    /// Whether the children of a node are of no use.
    fn closed(&self, at: Index) -> bool {
        matches!(self.tag(at), Tag::Svg | Tag::Style | Tag::Template | Tag::Iframe)
            || (self.tag(at) == Tag::Script && !self.attr(at, local_name!("type")).is_some_and(is_data))
    }

    fn concealed(&self, at: Index) -> bool {
        let Data::Element(element) = &self.nodes[at].data else { return false };
        let dialog = self.tag(at) == Tag::Dialog && !element.has_attr("open");
        dialog
            || element.attrs.iter().any(|attr| match &*attr.name.local {
                "hidden" => !attr.value.eq_ignore_ascii_case("until-found"),
                "aria-hidden" => attr.value.eq_ignore_ascii_case("true"),
                "style" => conceals(&attr.value),
                _ => false,
            })
    }

    /// Pages that fade in, and pages behind a dialog, hide their whole content until a script shows it.
    fn unhide_what_is_most_of_the_page(&mut self) {
        let length = |at: Index| match self.nodes[at].data {
            Data::Text(ref text) => text.trim().len(),
            Data::Element(_) => 0,
        };
        let silent = |at: Index| self.tag(at).silent();
        let (mut total, mut roots, mut at) = (0, Vec::new(), 0);
        while at < self.len() {
            if silent(at) {
                at = self.end(at);
                continue;
            }
            if self.hidden(at) {
                roots.push(at);
            }
            total += length(at);
            at += 1;
        }
        roots.retain(|root| {
            let inside: usize = (*root..self.end(*root)).map(length).sum();
            inside > 400 && inside * 10 > total * 6
        });
        for root in roots {
            self.nodes[root].hidden = false;
        }
    }
}

fn links(dom: &Dom, id: NodeId) -> (Option<NodeId>, Option<NodeId>) {
    dom.tree.query_node_or(&id, (None, None), |node| (node.first_child, node.next_sibling))
}

/// Whether a script holds data that is read: JSON-LD or TeX.
fn is_data(kind: &str) -> bool {
    kind.contains("ld+json") || kind.starts_with("math/tex")
}

fn conceals(style: &str) -> bool {
    if find_ignore_case(style.as_bytes(), b"none")
        .or_else(|| find_ignore_case(style.as_bytes(), b"hidden"))
        .is_none()
    {
        return false;
    }
    let style: String = style.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    style.contains("display:none") || style.split(';').any(|rule| rule.starts_with("visibility:hidden"))
}

/// Whether an ASCII character is white space as `char::is_whitespace` has it, which constants cannot ask.
pub(crate) const fn ascii_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// Appends text with its white space collapsed, and never two spaces in a row.
pub(crate) fn push_collapsed(line: &mut String, text: &str) {
    let space = |c: char| c.is_ascii_whitespace() || c == '\u{a0}';
    if text.starts_with(space) && !line.is_empty() && !line.ends_with(' ') {
        line.push(' ');
    }
    let mut words = text.split(space).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        line.push_str(word);
        if words.peek().is_some() || text.ends_with(space) {
            line.push(' ');
        }
    }
}
