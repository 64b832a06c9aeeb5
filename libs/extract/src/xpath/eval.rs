//! Expression to value. Each node looked at costs a unit of work; without work left, what is not yet found stays unfound.

use std::cell::Cell;

use super::value::{Node, Value, number};
use super::{Axis, Expr, Found, Function, Operator, Start, Step, Test};
use crate::tag::Tag;
use crate::tree::{Index, Tree};

pub(super) fn find(root: &Expr, tree: &Tree<'_>, inside: Option<Index>, work: &Cell<u64>) -> Vec<Found> {
    let origin = inside.map_or(Node::Page, Node::Tree);
    let evaluator = Evaluator { tree, origin, work };
    match evaluator.eval(root, Context { node: origin, position: 1, size: 1 }) {
        Value::Nodes(nodes) => nodes.into_iter().map(|node| evaluator.found(node)).collect(),
        value => vec![Found::Text(value.text(tree))],
    }
}

#[derive(Clone, Copy)]
struct Context {
    node: Node,
    position: usize,
    size: usize,
}

struct Evaluator<'p> {
    tree: &'p Tree<'p>,
    /// Where absolute paths start.
    origin: Node,
    work: &'p Cell<u64>,
}

impl Evaluator<'_> {
    fn found(&self, node: Node) -> Found {
        match node {
            Node::Tree(at) if self.tree.tag(at) != Tag::Text => Found::Element(at),
            Node::Page if self.tree.len() > 0 => Found::Element(0),
            _ => Found::Text(node.text(self.tree)),
        }
    }

    fn spend(&self, work: usize) -> bool {
        self.work.set(self.work.get().saturating_sub(work as u64));
        self.work.get() > 0
    }

    /// The text of a node; long texts cost more.
    fn text(&self, value: &Value) -> String {
        let text = value.text(self.tree);
        self.spend(1 + text.len() / 16);
        text
    }

    fn eval(&self, expr: &Expr, context: Context) -> Value {
        match expr {
            Expr::Literal(text) => Value::Text(text.clone()),
            Expr::Number(number) => Value::Number(*number),
            Expr::Negate(inner) => Value::Number(-self.eval(inner, context).number(self.tree)),
            Expr::Binary(operator, left, right) => self.binary(*operator, left, right, context),
            Expr::Call(function, arguments) => self.call(*function, arguments, context),
            Expr::Path(start, steps) => {
                let from = if *start == Start::Root { self.origin } else { context.node };
                Value::Nodes(self.steps(vec![from], steps))
            }
            Expr::Filter(inner, predicates, steps) => match self.eval(inner, context) {
                Value::Nodes(mut nodes) => {
                    for predicate in predicates {
                        nodes = self.filtered(nodes, predicate);
                    }
                    Value::Nodes(self.steps(nodes, steps))
                }
                other => other,
            },
        }
    }

    fn steps(&self, mut nodes: Vec<Node>, steps: &[Step]) -> Vec<Node> {
        let mut steps = steps;
        while let Some((step, rest)) = steps.split_first() {
            steps = rest;
            let mut step = step.clone();
            // `//x` is a walk over all nodes and then over the children of each: one walk over all below does, unless
            // a predicate counts positions among the children.
            if let (Axis::DescendantOrSelf, Test::Node, Some((next, after))) =
                (step.axis, &step.test, rest.split_first())
                && next.axis == Axis::Child
                && next.predicates.is_empty()
            {
                step = Step { axis: Axis::Descendant, ..next.clone() };
                steps = after;
            }
            let mut found = Vec::new();
            for node in nodes {
                if self.work.get() == 0 {
                    break;
                }
                let mut here = self.axis(node, &step);
                for predicate in &step.predicates {
                    here = self.filtered(here, predicate);
                }
                found.extend(here);
            }
            found.sort_unstable();
            found.dedup();
            nodes = found;
        }
        nodes
    }

    /// The nodes on an axis that pass the test, nearest first.
    fn axis(&self, node: Node, step: &Step) -> Vec<Node> {
        let tree = self.tree;
        if step.axis == Axis::Attribute {
            return self.attributes(node, &step.test);
        }
        let at = match node {
            Node::Tree(at) => Some(at),
            Node::Page => None,
            Node::Attribute(at, _) => {
                let owner = step.axis == Axis::Parent && self.passes(at, &step.test);
                return if owner { vec![Node::Tree(at)] } else { Vec::new() };
            }
        };
        let below = at.map_or(0..tree.len(), |at| at + 1..tree.end(at));
        let own = at.into_iter();
        let nodes: Vec<Index> = match (step.axis, at) {
            (Axis::Child, Some(at)) => tree.children(at).collect(),
            (Axis::Child, None) => std::iter::successors((tree.len() > 0).then_some(0), |at| {
                Some(tree.end(*at)).filter(|next| *next < tree.len())
            })
            .collect(),
            (Axis::Descendant, _) => below.collect(),
            (Axis::DescendantOrSelf, _) => own.chain(below).collect(),
            (Axis::Own, _) => own.collect(),
            (Axis::Parent, Some(at)) => tree.parent(at).into_iter().collect(),
            (Axis::Ancestor, Some(at)) => tree.ancestors(at).collect(),
            (Axis::AncestorOrSelf, Some(at)) => own.chain(tree.ancestors(at)).collect(),
            (Axis::FollowingSibling, Some(at)) => {
                let end = tree.parent(at).map_or(0, |up| tree.end(up));
                let inside = |next: usize| Some(next).filter(|next| *next < end);
                std::iter::successors(inside(tree.end(at)), |next| inside(tree.end(*next))).collect()
            }
            (Axis::PrecedingSibling, Some(at)) => {
                let mut before: Vec<Index> = tree
                    .parent(at)
                    .map_or(Vec::new(), |up| tree.children(up).take_while(|child| *child < at).collect());
                before.reverse();
                before
            }
            _ => Vec::new(),
        };
        self.spend(nodes.len() + 1);
        let mut found: Vec<Node> =
            nodes.into_iter().filter(|at| self.passes(*at, &step.test)).map(Node::Tree).collect();
        // The page passes as a node, so that `//x` from the page reaches its root.
        if at.is_none() && step.test == Test::Node && matches!(step.axis, Axis::DescendantOrSelf | Axis::Own)
        {
            found.insert(0, Node::Page);
        }
        found
    }

    fn attributes(&self, node: Node, test: &Test) -> Vec<Node> {
        let Node::Tree(at) = node else { return Vec::new() };
        let numbers =
            (0..).map_while(|number| self.tree.attribute(at, number).map(|(name, _)| (number, name)));
        let wanted = |name: &str| match test {
            Test::Name(wanted) => wanted == name,
            Test::Any | Test::Node => true,
            Test::Text => false,
        };
        let found: Vec<Node> =
            numbers.filter(|(_, name)| wanted(name)).map(|(number, _)| Node::Attribute(at, number)).collect();
        self.spend(found.len() + 1);
        found
    }

    fn passes(&self, at: Index, test: &Test) -> bool {
        let text = self.tree.tag(at) == Tag::Text;
        match test {
            Test::Any => !text,
            Test::Name(name) => !text && self.tree.name(at) == name,
            Test::Text => text,
            Test::Node => true,
        }
    }

    fn filtered(&self, nodes: Vec<Node>, predicate: &Expr) -> Vec<Node> {
        let size = nodes.len();
        let passes = |(at, node): (usize, Node)| {
            if !self.spend(1) {
                return None;
            }
            let context = Context { node, position: at + 1, size };
            let passes = match self.eval(predicate, context) {
                Value::Number(number) => number == context.position as f64,
                value => value.boolean(),
            };
            passes.then_some(node)
        };
        nodes.into_iter().enumerate().filter_map(passes).collect()
    }

    fn binary(&self, operator: Operator, left: &Expr, right: &Expr, context: Context) -> Value {
        let left = self.eval(left, context);
        match operator {
            Operator::Or if left.boolean() => return Value::Boolean(true),
            Operator::And if !left.boolean() => return Value::Boolean(false),
            _ => {}
        }
        let right = self.eval(right, context);
        let numbers = || (left.number(self.tree), right.number(self.tree));
        let arithmetic = |compute: fn(f64, f64) -> f64| {
            let (left, right) = numbers();
            Value::Number(compute(left, right))
        };
        match operator {
            Operator::Or | Operator::And => Value::Boolean(right.boolean()),
            Operator::Union => match (left, right) {
                (Value::Nodes(mut nodes), Value::Nodes(more)) => {
                    nodes.extend(more);
                    nodes.sort_unstable();
                    nodes.dedup();
                    Value::Nodes(nodes)
                }
                _ => Value::Nodes(Vec::new()),
            },
            Operator::Add => arithmetic(|left, right| left + right),
            Operator::Subtract => arithmetic(|left, right| left - right),
            Operator::Multiply => arithmetic(|left, right| left * right),
            Operator::Divide => arithmetic(|left, right| left / right),
            Operator::Modulo => arithmetic(|left, right| left % right),
            _ => Value::Boolean(self.compare(operator, &left, &right)),
        }
    }

    /// A set of nodes compares true if any of its nodes does.
    fn compare(&self, operator: Operator, left: &Value, right: &Value) -> bool {
        let each = |value: &Value| -> Vec<Value> {
            match value {
                Value::Nodes(nodes) => {
                    nodes.iter().map(|node| Value::Text(self.text(&Value::Nodes(vec![*node])))).collect()
                }
                other => vec![other.clone()],
            }
        };
        if matches!(left, Value::Boolean(_)) || matches!(right, Value::Boolean(_)) {
            let numbers = [left, right].map(|value| f64::from(u8::from(value.boolean())));
            return holds(operator, numbers[0].partial_cmp(&numbers[1]));
        }
        let (left, right) = (each(left), each(right));
        left.iter().any(|left| {
            self.spend(right.len())
                && right.iter().any(|right| {
                    let equality = matches!(operator, Operator::Equal | Operator::Unequal);
                    match (left, right) {
                        (Value::Text(left), Value::Text(right)) if equality => {
                            holds(operator, Some(left.cmp(right)))
                        }
                        _ => holds(operator, left.number(self.tree).partial_cmp(&right.number(self.tree))),
                    }
                })
        })
    }

    fn call(&self, function: Function, arguments: &[Expr], context: Context) -> Value {
        let value = |number: usize| match arguments.get(number) {
            Some(argument) => self.eval(argument, context),
            None => Value::Nodes(vec![context.node]),
        };
        let text = |number: usize| self.text(&value(number));
        let numeric = |number: usize| value(number).number(self.tree);
        match function {
            Function::Last => Value::Number(context.size as f64),
            Function::Position => Value::Number(context.position as f64),
            Function::Count | Function::Sum | Function::Name => self.of_nodes(function, &value(0)),
            Function::String => Value::Text(text(0)),
            Function::Concat => Value::Text((0..arguments.len()).map(text).collect()),
            Function::StartsWith => Value::Boolean(text(0).starts_with(&text(1))),
            Function::Contains => Value::Boolean(text(0).contains(&text(1))),
            Function::SubstringBefore => {
                Value::Text(text(0).split_once(&text(1)).map_or("", |(before, _)| before).to_owned())
            }
            Function::SubstringAfter => {
                Value::Text(text(0).split_once(&text(1)).map_or("", |(_, after)| after).to_owned())
            }
            Function::Substring => {
                let length = if arguments.len() == 3 { numeric(2) } else { f64::INFINITY };
                Value::Text(substring(&text(0), numeric(1), length))
            }
            Function::StringLength => Value::Number(text(0).chars().count() as f64),
            Function::NormalizeSpace => Value::Text(text(0).split_whitespace().collect::<Vec<_>>().join(" ")),
            Function::Translate => Value::Text(translate(&text(0), &text(1), &text(2))),
            Function::Boolean => Value::Boolean(value(0).boolean()),
            Function::Not => Value::Boolean(!value(0).boolean()),
            Function::True => Value::Boolean(true),
            Function::False => Value::Boolean(false),
            Function::Number => Value::Number(numeric(0)),
            Function::Floor => Value::Number(numeric(0).floor()),
            Function::Ceiling => Value::Number(numeric(0).ceil()),
            Function::Round => Value::Number((numeric(0) + 0.5).floor()),
        }
    }

    fn of_nodes(&self, function: Function, value: &Value) -> Value {
        let nodes: &[Node] = if let Value::Nodes(nodes) = value { nodes } else { &[] };
        match function {
            Function::Count => Value::Number(nodes.len() as f64),
            Function::Sum => Value::Number(nodes.iter().map(|node| number(&node.text(self.tree))).sum()),
            _ => Value::Text(match nodes.first() {
                Some(Node::Tree(at)) => self.tree.name(*at).to_owned(),
                Some(Node::Attribute(at, number)) => {
                    self.tree.attribute(*at, *number).map_or("", |(name, _)| name).to_owned()
                }
                _ => String::new(),
            }),
        }
    }
}

fn holds(operator: Operator, ordering: Option<std::cmp::Ordering>) -> bool {
    let Some(ordering) = ordering else { return operator == Operator::Unequal };
    match operator {
        Operator::Equal => ordering.is_eq(),
        Operator::Unequal => ordering.is_ne(),
        Operator::Less => ordering.is_lt(),
        Operator::LessOrEqual => ordering.is_le(),
        Operator::Greater => ordering.is_gt(),
        Operator::GreaterOrEqual => ordering.is_ge(),
        _ => false,
    }
}

/// Characters from a position, counted from 1 and rounded; NaN finds nothing.
fn substring(text: &str, from: f64, length: f64) -> String {
    let start = (from + 0.5).floor();
    let end = start + (length + 0.5).floor();
    let inside = |(at, _): &(usize, char)| {
        let position = (at + 1) as f64;
        position >= start && position < end
    };
    text.chars().enumerate().filter(inside).map(|(_, c)| c).collect()
}

fn translate(text: &str, from: &str, to: &str) -> String {
    let to: Vec<char> = to.chars().collect();
    text.chars()
        .filter_map(|c| match from.chars().position(|found| found == c) {
            Some(at) => to.get(at).copied(),
            None => Some(c),
        })
        .collect()
}
