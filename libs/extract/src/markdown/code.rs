//! Code: fenced blocks with their language, and spans.

use dom_query::local_name;

use super::{Exit, Gap, Renderer, Step, Style};
use crate::tag::Tag;
use crate::tree::{Index, Tree, push_collapsed};

/// How far above and below a block its language may be named.
const LANGUAGE_DISTANCE: usize = 3;

impl Renderer<'_> {
    pub(super) fn pre(&mut self, at: Index) -> Step {
        let code = self.verbatim(at);
        let code = code.trim_end().trim_start_matches('\n');
        if code.trim().is_empty() {
            // A picture in a frame of fixed width is still a picture.
            return if self.view.filled(at) { Step::Into(Exit::Gap(Gap::Paragraph)) } else { Step::Over };
        }
        let language = self.language(at).unwrap_or_default();
        self.writer.gap(Gap::Paragraph);
        match self.writer.style {
            Style::Plain => self.writer.lines(code),
            Style::Cell => {
                let spans: Vec<String> =
                    code.lines().filter(|line| !line.trim().is_empty()).map(span).collect();
                self.writer.raw(&spans.join("<br>"));
            }
            Style::Markdown => self.writer.lines(&fenced(code, language)),
        }
        self.writer.gap(Gap::Paragraph);
        Step::Over
    }

    pub(super) fn code(&mut self, at: Index) -> Step {
        if self.writer.style == Style::Plain {
            return Step::Into(Exit::Nothing);
        }
        let mut text = String::new();
        for below in self.view.below(at) {
            match self.view.tree.tag(below) {
                Tag::Text => push_collapsed(&mut text, self.view.tree.text(below)),
                Tag::Br => push_collapsed(&mut text, " "),
                Tag::Img => return Step::Into(Exit::Nothing),
                _ => {}
            }
        }
        let (inner, outer) = (text.trim(), text.as_str());
        if inner.is_empty() {
            return Step::Into(Exit::Nothing);
        }
        if outer.starts_with(' ') {
            self.writer.space();
        }
        let link = self.only_link(at, inner);
        if let Some(close) = &link {
            self.writer.open_link(close.clone(), "");
        }
        self.writer.raw(&span(inner));
        if link.is_some() {
            self.writer.close_mark();
        }
        if outer.ends_with(' ') {
            self.writer.space();
        }
        Step::Over
    }

    /// The end of the link that is all the code there is, so that it can go around the span.
    fn only_link(&self, at: Index, text: &str) -> Option<String> {
        let tree = self.view.tree;
        let link = tree.all(at, Tag::A).next()?;
        let target = self.view.targets.shown(link)?;
        (!self.writer.in_link() && tree.line(link) == text).then(|| format!("]({target})"))
    }

    /// Text of a block as it stands, without line numbers and buttons.
    fn verbatim(&self, at: Index) -> String {
        let tree = self.view.tree;
        let mut code = String::new();
        let (mut next, end) = (at + 1, tree.end(at));
        let mut line_end = usize::MAX;
        while next < end {
            if next >= line_end && !code.ends_with('\n') {
                code.push('\n');
            }
            if next >= line_end {
                line_end = usize::MAX;
            }
            let tag = tree.tag(next);
            if tag == Tag::Button
                || self.view.skipped(next)
                || (tag != Tag::Text && numbers(tree.class(next)))
                || (tag == Tag::A && numbers_line(tree, next))
            {
                next = tree.end(next);
                continue;
            }
            match tag {
                Tag::Text => code.push_str(tree.text(next)),
                Tag::Br => code.push('\n'),
                Tag::Div | Tag::P | Tag::Li | Tag::Tr => {
                    if !code.is_empty() && !code.ends_with('\n') {
                        code.push('\n');
                    }
                    line_end = line_end.min(tree.end(next));
                }
                _ => {}
            }
            next += 1;
        }
        code.replace(['\u{a0}', '\u{200b}'], " ").replace("\r\n", "\n")
    }

    /// The language, from the classes of the block, of what is inside, and of what is around it.
    fn language(&self, at: Index) -> Option<String> {
        let tree = self.view.tree;
        let inside = tree.children(at).filter(|child| matches!(tree.tag(*child), Tag::Code | Tag::Samp));
        let around = tree
            .ancestors(at)
            .take(LANGUAGE_DISTANCE)
            .take_while(|up| !matches!(tree.tag(*up), Tag::Article | Tag::Main | Tag::Body));
        inside.chain(std::iter::once(at)).chain(around).find_map(|near| {
            let named = tree
                .attr_named(near, "data-lang")
                .or_else(|| tree.attr_named(near, "data-language"))
                .or_else(|| tree.attr_named(near, "data-enlighter-language"));
            let lang = || tree.attr(near, local_name!("lang")).filter(|_| tree.tag(near) == Tag::Pre);
            named.or_else(lang).and_then(spelling).or_else(|| class_language(tree.class(near)))
        })
    }
}

fn class_language(class: &str) -> Option<String> {
    const PREFIXES: &[&str] =
        &["language-", "lang-", "highlight-source-", "highlight-text-", "highlight-", "brush:", "code-"];
    let classes: Vec<&str> = class.split_ascii_whitespace().collect();
    for (at, class) in classes.iter().enumerate() {
        for prefix in PREFIXES {
            if let Some(rest) = class.strip_prefix(prefix) {
                let rest =
                    if rest.is_empty() { classes.get(at + 1).copied().unwrap_or_default() } else { rest };
                let rest = rest.trim_end_matches(';').trim_end_matches("-html").trim_start_matches("source-");
                if let Some(language) = spelling(rest).filter(|_| *prefix != "code-" || known(rest)) {
                    return Some(language);
                }
            }
        }
    }
    classes.iter().find(|class| known(class)).and_then(|class| spelling(class))
}

/// Languages that highlighters name without a prefix: `<pre class="rust">`.
fn known(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "bash",
        "c",
        "cpp",
        "csharp",
        "css",
        "diff",
        "go",
        "haskell",
        "html",
        "java",
        "javascript",
        "js",
        "json",
        "kotlin",
        "lua",
        "makefile",
        "perl",
        "php",
        "python",
        "ruby",
        "rust",
        "scala",
        "sh",
        "shell",
        "sql",
        "swift",
        "toml",
        "ts",
        "typescript",
        "xml",
        "yaml",
    ];
    KNOWN.contains(&name)
}

/// A language as it may stand behind a fence; nothing for words that are none.
fn spelling(name: &str) -> Option<String> {
    const NONE: &[&str] = &[
        "none",
        "plaintext",
        "text",
        "nohighlight",
        "auto",
        "default",
        "plain",
        "notranslate",
        "wrapper",
        "block",
        "container",
    ];
    let name = name.trim().to_ascii_lowercase();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '.' | '_' | '-');
    let usable =
        (1..=24).contains(&name.len()) && name.chars().all(allowed) && !NONE.contains(&name.as_str());
    usable.then(|| match name.as_str() {
        "python3" | "ipython3" | "py" | "pycon" => "python".to_owned(),
        "rs" => "rust".to_owned(),
        _ => name,
    })
}

/// Whether classes say that an element holds the numbers of lines.
fn numbers(class: &str) -> bool {
    const NUMBERS: &[&str] = &[
        "lineno",
        "linenos",
        "line-number",
        "line-numbers",
        "line-numbers-rows",
        "linenumber",
        "gutter",
        "rouge-gutter",
        "src-line-numbers",
        "hljs-ln-numbers",
    ];
    class.split_ascii_whitespace().any(|class| NUMBERS.contains(&class))
}

/// Whether a link is the number of a line, which leads to the line itself.
fn numbers_line(tree: &Tree<'_>, link: Index) -> bool {
    let line = tree.line(link);
    !line.is_empty()
        && line.bytes().all(|byte| byte.is_ascii_digit())
        && tree.attr(link, local_name!("href")).and_then(|href| href.strip_prefix('#')) == Some(line.as_str())
}

/// A block between fences longer than any run of backticks inside.
pub(crate) fn fenced(code: &str, language: impl AsRef<str>) -> String {
    let fence = "`".repeat(longest_run(code).max(2) + 1);
    format!("{fence}{}\n{code}\n{fence}", language.as_ref())
}

fn span(code: &str) -> String {
    let fence = "`".repeat(if code.contains('`') { longest_run(code) + 1 } else { 1 });
    let padding = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
    format!("{fence}{padding}{code}{padding}{fence}")
}

fn longest_run(code: &str) -> usize {
    code.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
