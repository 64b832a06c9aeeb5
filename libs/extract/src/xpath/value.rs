//! What an expression is worth, and XPath 1.0's conversions between the four types.

use crate::tag::Tag;
use crate::tree::{Index, Tree};

/// A node: of the tree, or an attribute of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// An element or a text, and no attribute of it; the page itself is [`Node::Page`].
    Page,
    Tree(Index),
    Attribute(Index, usize),
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// In document order, each once.
    Nodes(Vec<Node>),
    Text(String),
    Number(f64),
    Boolean(bool),
}

impl Node {
    /// Text of a text, value of an attribute, all text below an element.
    pub(super) fn text(self, tree: &Tree<'_>) -> String {
        match self {
            Self::Page if tree.len() == 0 => String::new(),
            Self::Page => tree.raw(0),
            Self::Tree(at) if tree.tag(at) == Tag::Text => tree.text(at).to_owned(),
            Self::Tree(at) => tree.raw(at),
            Self::Attribute(at, number) => {
                tree.attribute(at, number).map_or("", |(_, value)| value).to_owned()
            }
        }
    }
}

impl Value {
    pub(super) fn boolean(&self) -> bool {
        match self {
            Self::Nodes(nodes) => !nodes.is_empty(),
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Boolean(boolean) => *boolean,
        }
    }

    pub(super) fn text(&self, tree: &Tree<'_>) -> String {
        match self {
            Self::Nodes(nodes) => nodes.first().map(|node| node.text(tree)).unwrap_or_default(),
            Self::Text(text) => text.clone(),
            Self::Number(number) if number.is_nan() => "NaN".to_owned(),
            Self::Number(number) if number.is_infinite() => {
                if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
            }
            // Adding zero turns -0 into 0.
            Self::Number(number) => (number + 0.0).to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
        }
    }

    pub(super) fn number(&self, tree: &Tree<'_>) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Boolean(boolean) => f64::from(u8::from(*boolean)),
            Self::Nodes(_) | Self::Text(_) => number(&self.text(tree)),
        }
    }
}

/// A number as XPath writes it: no sign but minus, no exponent.
pub(super) fn number(text: &str) -> f64 {
    let text = text.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    if plain { text.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}
