//! Markdown with its links as numbered citations, and the list of references they point to, in Crawl4AI's notation:
//! `text⟨1⟩` in the text, `⟨1⟩ address: title` in the list. One pass over Markdown of this crate, code left alone.

use std::collections::HashMap;

/// Markdown without addresses, and the addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Citations {
    /// The Markdown; each link is its text and a number in ⟨⟩. Links inside the page are their text.
    pub markdown: String,
    /// `## References` and a line for each address, in order of their numbers; empty if there are none.
    pub references: String,
}

/// Replaces the links and images of Markdown by citations. The same address always has the same number.
#[must_use]
pub fn cite(markdown: &str) -> Citations {
    let mut scanner = Scanner { out: String::with_capacity(markdown.len()), ..Scanner::default() };
    let mut fence: Option<&str> = None;
    for line in markdown.split_inclusive('\n') {
        let marker = fence_marker(line);
        match (fence, marker) {
            (Some(open), Some(close)) if close.starts_with(open) && line.trim().len() == close.len() => {
                fence = None
            }
            (None, Some(open)) => {
                scanner.brackets.clear();
                fence = Some(open);
            }
            (None, None) => {
                if line.trim().is_empty() {
                    // No link goes on over the end of a paragraph.
                    scanner.brackets.clear();
                }
                scanner.line(line);
                continue;
            }
            _ => {}
        }
        scanner.out.push_str(line);
    }
    let references = scanner.references();
    Citations { markdown: scanner.out, references }
}

/// The run of backticks or tildes that opens or closes a code block, behind the prefixes of quotes and items.
pub(crate) fn fence_marker(line: &str) -> Option<&str> {
    let inner = line.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '>');
    let inner = inner.strip_prefix("- ").unwrap_or(inner).trim_start();
    let first = inner.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = inner.len() - inner.trim_start_matches(first).len();
    (length >= 3 && !inner[length..].contains(first)).then_some(&inner[..length])
}

/// An opening bracket that may yet turn out to be a link.
struct Bracket {
    /// Where it stands in the output.
    at: usize,
    image: bool,
}

#[derive(Default)]
struct Scanner {
    out: String,
    brackets: Vec<Bracket>,
    numbers: HashMap<String, usize>,
    list: Vec<(String, String)>,
}

impl Scanner {
    fn line(&mut self, line: &str) {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let length = match c {
                '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
                '`' => code_span(rest),
                '[' => {
                    let image = self.out.ends_with('!') && !self.out.ends_with("\\!");
                    self.brackets.push(Bracket { at: self.out.len(), image });
                    1
                }
                ']' => match self.brackets.pop().zip(destination(&rest[1..])) {
                    Some((bracket, (url, title, length))) => {
                        self.close(bracket, url, title);
                        rest = &rest[1 + length..];
                        continue;
                    }
                    None => 1,
                },
                _ => c.len_utf8(),
            };
            self.out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }

    /// Turns what stands since a bracket into a citation.
    fn close(&mut self, bracket: Bracket, url: &str, title: &str) {
        let text = self.out.split_off(bracket.at).split_off(1);
        if !bracket.image && url.starts_with('#') {
            self.out.push_str(&text);
            return;
        }
        let number = self.number(url, title, &text);
        if bracket.image {
            self.out.push_str(&format!("[{text}⟨{number}⟩]"));
        } else {
            self.out.push_str(&format!("{text}⟨{number}⟩"));
        }
    }

    fn number(&mut self, url: &str, title: &str, text: &str) -> usize {
        if let Some(number) = self.numbers.get(url) {
            return *number;
        }
        let text = if text.contains('⟨') { "" } else { text };
        let named = [title, text].into_iter().map(str::trim).filter(|part| !part.is_empty());
        let mut named: Vec<&str> = named.collect();
        named.dedup();
        self.list.push((url.to_owned(), named.join(" - ")));
        self.numbers.insert(url.to_owned(), self.list.len());
        self.list.len()
    }

    fn references(&self) -> String {
        let mut references = String::new();
        for (at, (url, name)) in self.list.iter().enumerate() {
            let start = if at == 0 { "## References\n\n" } else { "" };
            let colon = if name.is_empty() { "" } else { ": " };
            references += &format!("{start}⟨{}⟩ {url}{colon}{name}\n", at + 1);
        }
        references
    }
}

/// Length of a code span, or of the backticks if none closes.
fn code_span(text: &str) -> usize {
    let ticks = text.len() - text.trim_start_matches('`').len();
    let mut from = ticks;
    while let Some(at) = text[from..].find('`') {
        let run = &text[from + at..];
        let length = run.len() - run.trim_start_matches('`').len();
        from += at + length;
        if length == ticks {
            return from;
        }
    }
    ticks
}

/// Address, title and length of `(address "title")`.
fn destination(text: &str) -> Option<(&str, &str, usize)> {
    let inner = text.strip_prefix('(')?;
    let mut depth = 0usize;
    let end = inner.char_indices().find_map(|(at, c)| {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(at),
            ')' => depth -= 1,
            c if c.is_whitespace() => return Some(at),
            _ => {}
        }
        None
    })?;
    let url = &inner[..end];
    if inner[end..].starts_with(')') {
        return (!url.is_empty()).then_some((url, "", end + 2));
    }
    let quoted = inner[end..].strip_prefix(" \"")?;
    let mut escaped = false;
    let close = quoted.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })?;
    quoted[close..].starts_with("\")").then(|| (url, &quoted[..close], 1 + end + 2 + close + 2))
}
