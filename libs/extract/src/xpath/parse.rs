//! Text to expression: a recursive descent over XPath 1.0's grammar, no deeper than [`MAX_DEPTH`].

use super::{Axis, Expr, Function, Operator, Start, Step, Test};

/// Deepest nesting of parentheses, predicates and calls.
const MAX_DEPTH: usize = 24;

/// Operators by how tightly they bind, loosest first; longer spellings before their beginnings.
const LEVELS: &[&[(&str, Operator)]] = &[
    &[("or", Operator::Or)],
    &[("and", Operator::And)],
    &[("!=", Operator::Unequal), ("=", Operator::Equal)],
    &[
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("div", Operator::Divide), ("mod", Operator::Modulo)],
];

const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("last", Function::Last, 0, 0),
    ("position", Function::Position, 0, 0),
    ("count", Function::Count, 1, 1),
    ("local-name", Function::Name, 0, 1),
    ("name", Function::Name, 0, 1),
    ("string", Function::String, 0, 1),
    ("concat", Function::Concat, 2, 16),
    ("starts-with", Function::StartsWith, 2, 2),
    ("contains", Function::Contains, 2, 2),
    ("substring-before", Function::SubstringBefore, 2, 2),
    ("substring-after", Function::SubstringAfter, 2, 2),
    ("substring", Function::Substring, 2, 3),
    ("string-length", Function::StringLength, 0, 1),
    ("normalize-space", Function::NormalizeSpace, 0, 1),
    ("translate", Function::Translate, 3, 3),
    ("boolean", Function::Boolean, 1, 1),
    ("not", Function::Not, 1, 1),
    ("true", Function::True, 0, 0),
    ("false", Function::False, 0, 0),
    ("number", Function::Number, 0, 1),
    ("sum", Function::Sum, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("ceiling", Function::Ceiling, 1, 1),
    ("round", Function::Round, 1, 1),
];

const AXES: &[(&str, Axis)] = &[
    ("child", Axis::Child),
    ("descendant", Axis::Descendant),
    ("descendant-or-self", Axis::DescendantOrSelf),
    ("self", Axis::Own),
    ("parent", Axis::Parent),
    ("ancestor", Axis::Ancestor),
    ("ancestor-or-self", Axis::AncestorOrSelf),
    ("following-sibling", Axis::FollowingSibling),
    ("preceding-sibling", Axis::PrecedingSibling),
    ("attribute", Axis::Attribute),
];

type Parsed<T> = Result<T, String>;

pub(super) fn expression(source: &str) -> Parsed<Expr> {
    let mut parser = Parser { rest: source.trim(), depth: 0 };
    let expr = parser.expr()?;
    if parser.rest.is_empty() { Ok(expr) } else { Err(parser.unexpected()) }
}

struct Parser<'s> {
    rest: &'s str,
    depth: usize,
}

impl<'s> Parser<'s> {
    fn unexpected(&self) -> String {
        match self.rest.chars().next() {
            Some(_) => format!("unexpected {:?}", self.rest.chars().take(12).collect::<String>()),
            None => "unexpected end".to_owned(),
        }
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.blank();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str) -> Parsed<()> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Eats an operator; one that is a word must end where the word ends.
    fn operator(&mut self, level: &[(&str, Operator)]) -> Option<Operator> {
        self.blank();
        for (token, operator) in level {
            let Some(rest) = self.rest.strip_prefix(token) else { continue };
            let word = token.starts_with(|c: char| c.is_ascii_alphabetic());
            if !(word && rest.starts_with(is_name)) {
                self.rest = rest;
                return Some(*operator);
            }
        }
        None
    }

    fn name(&mut self) -> Option<&'s str> {
        self.blank();
        let first = self.rest.chars().next()?;
        if !first.is_alphabetic() && first != '_' {
            return None;
        }
        let end = self.rest.find(|c: char| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(name)
    }

    fn expr(&mut self) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("too deep".to_owned());
        }
        let expr = self.binary(0);
        self.depth -= 1;
        expr
    }

    fn binary(&mut self, level: usize) -> Parsed<Expr> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        let mut terms = 1;
        while let Some(operator) = self.operator(operators) {
            terms += 1;
            // Each term nests the ones before it one deeper, and evaluation recurses.
            if terms > 64 {
                return Err("too many terms".to_owned());
            }
            left = Expr::Binary(operator, Box::new(left), Box::new(self.binary(level + 1)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let mut negative = false;
        while self.eat("-") {
            negative = !negative;
        }
        let mut left = self.path()?;
        let mut terms = 1;
        while self.eat("|") {
            terms += 1;
            if terms > 64 {
                return Err("too many terms".to_owned());
            }
            left = Expr::Binary(Operator::Union, Box::new(left), Box::new(self.path()?));
        }
        Ok(if negative { Expr::Negate(Box::new(left)) } else { left })
    }

    fn path(&mut self) -> Parsed<Expr> {
        self.blank();
        if let Some(primary) = self.primary()? {
            let predicates = self.predicates()?;
            let steps = self.more_steps()?;
            let plain = predicates.is_empty() && steps.is_empty();
            return Ok(if plain { primary } else { Expr::Filter(Box::new(primary), predicates, steps) });
        }
        let (start, mut steps) = if self.rest.starts_with("//") {
            (Start::Root, Vec::new())
        } else if self.eat("/") {
            (Start::Root, self.first_step()?)
        } else {
            (Start::Context, vec![self.step()?])
        };
        steps.extend(self.more_steps()?);
        Ok(Expr::Path(start, steps))
    }

    /// `/` alone is a path too.
    fn first_step(&mut self) -> Parsed<Vec<Step>> {
        self.blank();
        let begins = self.rest.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '*' | '@' | '.'));
        if begins { Ok(vec![self.step()?]) } else { Ok(Vec::new()) }
    }

    fn more_steps(&mut self) -> Parsed<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if self.eat("//") {
                steps.push(Step { axis: Axis::DescendantOrSelf, test: Test::Node, predicates: Vec::new() });
            } else if !self.eat("/") {
                return Ok(steps);
            }
            steps.push(self.step()?);
            if steps.len() > 64 {
                return Err("too many steps".to_owned());
            }
        }
    }

    /// A literal, number, call or parenthesis; nothing if a path begins here.
    fn primary(&mut self) -> Parsed<Option<Expr>> {
        let Some(first) = self.rest.chars().next() else { return Err(self.unexpected()) };
        match first {
            '"' | '\'' => {
                let (literal, rest) = self.rest[1..].split_once(first).ok_or("unclosed quote")?;
                self.rest = rest;
                Ok(Some(Expr::Literal(literal.to_owned())))
            }
            '(' => {
                self.rest = &self.rest[1..];
                let inner = self.expr()?;
                self.need(")")?;
                Ok(Some(inner))
            }
            '0'..='9' => self.number().map(Some),
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number().map(Some),
            '$' => Err("variables".to_owned()),
            _ => self.call(),
        }
    }

    fn number(&mut self) -> Parsed<Expr> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits.parse().map(Expr::Number).map_err(|_| format!("number {digits:?}"))
    }

    fn call(&mut self) -> Parsed<Option<Expr>> {
        let before = self.rest;
        let Some(name) = self.name() else { return Ok(None) };
        self.blank();
        if !self.rest.starts_with('(')
            || matches!(name, "text" | "node" | "comment" | "processing-instruction")
        {
            self.rest = before;
            return Ok(None);
        }
        let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
        let (_, function, least, most) = known.ok_or_else(|| format!("function {name}()"))?;
        self.need("(")?;
        let mut arguments = Vec::new();
        if !self.eat(")") {
            loop {
                arguments.push(self.expr()?);
                if self.eat(")") {
                    break;
                }
                self.need(",")?;
            }
        }
        if arguments.len() < *least || arguments.len() > *most {
            return Err(format!("number of arguments of {name}()"));
        }
        Ok(Some(Expr::Call(*function, arguments)))
    }

    fn step(&mut self) -> Parsed<Step> {
        let node = |axis| Step { axis, test: Test::Node, predicates: Vec::new() };
        if self.eat("..") {
            return Ok(node(Axis::Parent));
        }
        if self.eat(".") {
            return Ok(Step { predicates: self.predicates()?, ..node(Axis::Own) });
        }
        let axis = if self.eat("@") { Axis::Attribute } else { self.axis()? };
        let test = self.test()?;
        Ok(Step { axis, test, predicates: self.predicates()? })
    }

    fn axis(&mut self) -> Parsed<Axis> {
        let before = self.rest;
        if let Some(name) = self.name()
            && self.eat("::")
        {
            let known = AXES.iter().find(|(known, _)| *known == name);
            return known.map(|(_, axis)| *axis).ok_or_else(|| format!("axis {name}"));
        }
        self.rest = before;
        Ok(Axis::Child)
    }

    fn test(&mut self) -> Parsed<Test> {
        if self.eat("*") {
            return Ok(Test::Any);
        }
        let name = self.name().ok_or_else(|| self.unexpected())?;
        if !self.eat("(") {
            return Ok(Test::Name(name.to_ascii_lowercase()));
        }
        self.need(")")?;
        match name {
            "text" => Ok(Test::Text),
            "node" => Ok(Test::Node),
            _ => Err(format!("{name}()")),
        }
    }

    fn predicates(&mut self) -> Parsed<Vec<Expr>> {
        let mut predicates = Vec::new();
        while self.eat("[") {
            predicates.push(self.expr()?);
            self.need("]")?;
        }
        Ok(predicates)
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}
