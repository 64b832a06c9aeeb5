//! XPath 1.0 over the flat tree, for schemas: every axis but `following`, `preceding` and `namespace`, every operator, and the
//! functions of the core library that make sense without ids. No crate does it on our tree within bounds.
//! Promises: parsing is bounded by length and depth, evaluation by the work that the caller allows.

mod eval;
mod parse;
mod value;

use std::cell::Cell;

use crate::select::{Invalid, shown};
use crate::tree::{Index, Tree};

/// Longest expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 1_024;

/// An expression, parsed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct XPath {
    root: Expr,
}

/// One thing that an expression found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    Element(Index),
    /// A text node, the value of an attribute, or the result of a function.
    Text(String),
}

impl XPath {
    /// Parses an expression. `field` is named in the error.
    pub(crate) fn parse(field: &str, source: &str) -> Result<Self, Invalid> {
        if source.len() > MAX_EXPRESSION_BYTES {
            return Err(Invalid::new(field, format!("is longer than {MAX_EXPRESSION_BYTES} bytes")));
        }
        match parse::expression(source) {
            Ok(root) => Ok(Self { root }),
            Err(problem) => Err(Invalid::new(
                field,
                format!("is not XPath that is supported: {problem} in {}", shown(source)),
            )),
        }
    }

    /// What the expression finds in a page, or inside an element; less than all if `work` runs out.
    pub(crate) fn find(&self, tree: &Tree<'_>, inside: Option<Index>, work: &Cell<u64>) -> Vec<Found> {
        eval::find(&self.root, tree, inside, work)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Binary(Operator, Box<Expr>, Box<Expr>),
    Negate(Box<Expr>),
    Literal(String),
    Number(f64),
    Call(Function, Vec<Expr>),
    Path(Start, Vec<Step>),
    /// An expression in parentheses, filtered, and a path from it.
    Filter(Box<Expr>, Vec<Expr>, Vec<Step>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Union,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The page, or the element that the expression is evaluated in.
    Root,
    Context,
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    axis: Axis,
    test: Test,
    predicates: Vec<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Child,
    Descendant,
    DescendantOrSelf,
    Own,
    Parent,
    Ancestor,
    AncestorOrSelf,
    FollowingSibling,
    PrecedingSibling,
    Attribute,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Any,
    Name(String),
    Text,
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Last,
    Position,
    Count,
    Name,
    String,
    Concat,
    StartsWith,
    Contains,
    SubstringBefore,
    SubstringAfter,
    Substring,
    StringLength,
    NormalizeSpace,
    Translate,
    Boolean,
    Not,
    True,
    False,
    Number,
    Sum,
    Floor,
    Ceiling,
    Round,
}
