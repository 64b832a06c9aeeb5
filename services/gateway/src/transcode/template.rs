//! Path templates of `google.api.http` (AIP-127), and the tree that finds the one a path belongs to.
//!
//! A path reaches a route only in its one spelling: no empty segment, no dot segment, no `;`, no encoded slash or NUL.
//! Literals are compared before percent-decoding; variables are decoded once.

use std::collections::BTreeMap;

/// A segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Any,
}

/// A parsed template, e.g. `/v1/{name=jobs/*}:cancel`.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    segments: Vec<Segment>,
    /// Field path and the segments that it covers.
    variables: Vec<(String, std::ops::Range<usize>)>,
    verb: Option<String>,
}

/// Why a template cannot be used. A mistake in a proto file.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a path template that the gateway knows")]
pub(crate) struct BadTemplate(String);

impl Template {
    /// Parses a template. `**` is not supported.
    pub(crate) fn parse(text: &str) -> Result<Self, BadTemplate> {
        let bad = || BadTemplate(text.to_owned());
        let path = text.strip_prefix('/').ok_or_else(bad)?;
        // A verb follows the last colon, outside of braces and after the last slash.
        let (path, verb) = match path.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['/', '}']) => (path, Some(verb.to_owned())),
            _ => (path, None),
        };
        let mut template = Self { segments: Vec::new(), variables: Vec::new(), verb };
        let mut rest = path;
        while !rest.is_empty() {
            rest = template.parse_part(rest).ok_or_else(bad)?;
            rest = match rest.strip_prefix('/') {
                Some("") => return Err(bad()),
                Some(rest) => rest,
                None if rest.is_empty() => rest,
                None => return Err(bad()),
            };
        }
        if template.segments.is_empty() { Err(bad()) } else { Ok(template) }
    }

    fn parse_part<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let Some(inner) = text.strip_prefix('{') else {
            let end = text.find('/').unwrap_or(text.len());
            self.push(&text[..end])?;
            return Some(&text[end..]);
        };
        let (inner, rest) = inner.split_once('}')?;
        let (name, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
        let start = self.segments.len();
        for segment in pattern.split('/') {
            self.push(segment)?;
        }
        self.variables.push((name.to_owned(), start..self.segments.len()));
        Some(rest)
    }

    fn push(&mut self, segment: &str) -> Option<()> {
        let segment = match segment {
            "*" => Segment::Any,
            literal if literal.is_empty() || literal.contains(['*', '{', '}', ':']) => return None,
            literal => Segment::Literal(literal.to_owned()),
        };
        self.segments.push(segment);
        Some(())
    }

    /// The field paths that the path binds, in order.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    /// The template as OpenAPI writes it: each `*` is a parameter of its own, because OpenAPI's never span a slash.
    /// Returns the path and the names of its parameters.
    pub(crate) fn openapi(&self) -> (String, Vec<String>) {
        let (mut path, mut names) = (String::new(), Vec::new());
        for (index, segment) in self.segments.iter().enumerate() {
            path.push('/');
            match segment {
                Segment::Literal(text) => path.push_str(text),
                Segment::Any => {
                    let name = self.parameter(index);
                    path.push_str(&format!("{{{name}}}"));
                    names.push(name);
                }
            }
        }
        if let Some(verb) = &self.verb {
            path.push(':');
            path.push_str(verb);
        }
        (path, names)
    }

    /// `jobs/*` gives `job`; a variable of one segment gives its own name.
    fn parameter(&self, index: usize) -> String {
        let covering = self.variables.iter().find(|(_, range)| range.contains(&index));
        match (covering, index.checked_sub(1).and_then(|before| self.segments.get(before))) {
            (Some((name, range)), _) if range.len() == 1 => name.clone(),
            (_, Some(Segment::Literal(collection))) => {
                collection.strip_suffix('s').unwrap_or(collection).replace('-', "_")
            }
            (Some((name, _)), _) => name.clone(),
            (None, _) => format!("segment_{index}"),
        }
    }
}

/// Values of a template's variables.
pub(crate) type Bindings = Vec<(String, String)>;

/// Why no template fits a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// No template has this form.
    None,
    /// The path is spelled in a way that no client needs.
    Spelling,
}

/// Templates as a tree, with what belongs to each.
#[derive(Debug)]
pub(crate) struct Tree<T> {
    literals: BTreeMap<String, Tree<T>>,
    any: Option<Box<Tree<T>>>,
    ends: Vec<(Template, T)>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { literals: BTreeMap::new(), any: None, ends: Vec::new() }
    }
}

impl<T> Tree<T> {
    /// Adds a template. Several may have the same form; they are found together.
    pub(crate) fn add(&mut self, template: Template, value: T) {
        let mut node = self;
        for segment in &template.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
            };
        }
        node.ends.push((template, value));
    }

    /// All templates of the form that fits `path` best, literals before variables, with their variables' values.
    pub(crate) fn find(&self, path: &str) -> Result<Vec<(&T, Bindings)>, Mismatch> {
        let raw = path.strip_prefix('/').ok_or(Mismatch::None)?;
        let mut segments: Vec<&str> = raw.split('/').collect();
        let last = segments.last_mut().ok_or(Mismatch::None)?;
        let verb = last.rsplit_once(':').map(|(segment, verb)| {
            *last = segment;
            verb
        });
        let ends = self.walk(&segments, verb).ok_or(Mismatch::None)?;
        let decoded = segments.iter().map(|segment| decode(segment)).collect::<Option<Vec<_>>>();
        let decoded = decoded.ok_or(Mismatch::Spelling)?;
        Ok(ends.into_iter().map(|(template, value)| (value, bind(template, &decoded))).collect())
    }

    fn walk(&self, segments: &[&str], verb: Option<&str>) -> Option<Vec<(&Template, &T)>> {
        let Some((first, rest)) = segments.split_first() else {
            let ends: Vec<_> =
                self.ends.iter().filter(|(template, _)| template.verb.as_deref() == verb).collect();
            return (!ends.is_empty())
                .then(|| ends.into_iter().map(|(template, value)| (template, value)).collect());
        };
        if first.is_empty() || first.contains(';') {
            return None;
        }
        let literal = self.literals.get(*first).and_then(|node| node.walk(rest, verb));
        literal.or_else(|| self.any.as_ref()?.walk(rest, verb))
    }
}

fn bind(template: &Template, segments: &[String]) -> Bindings {
    let value = |range: &std::ops::Range<usize>| segments[range.clone()].join("/");
    template.variables.iter().map(|(name, range)| (name.clone(), value(range))).collect()
}

/// Decodes a segment once. None for what must not stand in one.
fn decode(segment: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?.into_owned();
    let bad = text == "."
        || text == ".."
        || text.contains(['/', '\\', ';', '%'])
        || text.contains(char::is_control);
    (!bad).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATES: [&str; 8] = [
        "/v1/jobs",
        "/v1/{name=jobs/*}",
        "/v1/{name=jobs/*}:cancel",
        "/v1/{parent=jobs/*}/pages",
        "/v1/{name=jobs/*/pages/*}",
        "/v1/{name=jobs/*/pages/*}/{kind}",
        "/.well-known/jwks.json",
        "/v1/{api_key.name=api-keys/*}",
    ];

    fn tree() -> Tree<&'static str> {
        let mut tree = Tree::default();
        for text in TEMPLATES {
            tree.add(Template::parse(text).unwrap(), text);
        }
        tree
    }

    #[test]
    fn a_path_finds_its_template_and_variables() {
        let tree = tree();
        for (path, template, variables) in [
            ("/v1/jobs", TEMPLATES[0], vec![]),
            ("/v1/jobs/a", TEMPLATES[1], vec![("name", "jobs/a")]),
            ("/v1/jobs/a%20b", TEMPLATES[1], vec![("name", "jobs/a b")]),
            ("/v1/jobs/a:cancel", TEMPLATES[2], vec![("name", "jobs/a")]),
            ("/v1/jobs/a/pages", TEMPLATES[3], vec![("parent", "jobs/a")]),
            ("/v1/jobs/a/pages/b", TEMPLATES[4], vec![("name", "jobs/a/pages/b")]),
            ("/v1/jobs/a/pages/b/html", TEMPLATES[5], vec![("name", "jobs/a/pages/b"), ("kind", "html")]),
            ("/.well-known/jwks.json", TEMPLATES[6], vec![]),
            ("/v1/api-keys/k", TEMPLATES[7], vec![("api_key.name", "api-keys/k")]),
        ] {
            let found = tree.find(path).unwrap();
            assert_eq!(found.len(), 1, "{path}");
            assert_eq!(*found[0].0, template, "{path}");
            let expected: Bindings =
                variables.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(found[0].1, expected, "{path}");
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        let tree = tree();
        for path in [
            "",
            "/",
            "v1/jobs",
            "//v1/jobs",
            "/v1//jobs",
            "/v1/jobs/",
            "/v1/./jobs",
            "/v1/x/../jobs",
            "/V1/jobs",
            "/v1/%6aobs",
            "/v1/jobs;x",
            "/v1/jobs/a;b",
            "/v1/jobs/a:nosuchverb",
            "/v1/jobs/a%3Acancel/x/y/z",
            "/v1/jobs:cancel",
            "/v1/jobs/:cancel",
            "/v1/jobs/a/pages/b/c/d",
        ] {
            assert_eq!(tree.find(path).unwrap_err(), Mismatch::None, "{path}");
        }
        for path in [
            "/v1/jobs/..",
            "/v1/jobs/.",
            "/v1/jobs/%2e%2e",
            "/v1/jobs/a%2Fpages",
            "/v1/jobs/a%5c",
            "/v1/jobs/a%00",
            "/v1/jobs/a%0a",
            "/v1/jobs/a%3b",
            "/v1/jobs/%252e",
            "/v1/jobs/%ff",
            "/v1/jobs/../pages/x",
        ] {
            assert_eq!(tree.find(path).unwrap_err(), Mismatch::Spelling, "{path}");
        }
    }

    #[test]
    fn an_encoded_colon_is_no_verb() {
        let tree = tree();
        let found = tree.find("/v1/jobs/a%3Acancel").unwrap();
        assert_eq!((*found[0].0, found[0].1[0].1.as_str()), (TEMPLATES[1], "jobs/a:cancel"));
    }

    #[test]
    fn bad_templates_are_refused() {
        for text in
            ["", "v1/jobs", "/", "/v1/", "/v1//x", "/v1/{name", "/v1/{name=**}", "/v1/{a}{b}", "/v1/a*"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn openapi_has_a_parameter_for_each_star() {
        for (text, path, names) in [
            ("/v1/{name=jobs/*}:cancel", "/v1/jobs/{job}:cancel", vec!["job"]),
            (
                "/v1/{name=jobs/*/pages/*}/{kind}",
                "/v1/jobs/{job}/pages/{page}/{kind}",
                vec!["job", "page", "kind"],
            ),
            ("/v1/{name=api-keys/*}:revoke", "/v1/api-keys/{api_key}:revoke", vec!["api_key"]),
        ] {
            let template = Template::parse(text).unwrap();
            let names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
            assert_eq!(template.openapi(), (path.to_owned(), names));
        }
    }
}
