//! Inline elements: emphasis, links, images, embedded media.

use dom_query::local_name;

use super::{Exit, Gap, Renderer, Step, Style};
use crate::tag::Tag;
use crate::tree::Index;

impl Renderer<'_> {
    pub(super) fn enter_inline(&mut self, tag: Tag, at: Index) -> Step {
        match tag {
            Tag::B | Tag::Strong if at < self.heading_end => Step::Into(Exit::Nothing),
            Tag::B | Tag::Strong => self.mark("**"),
            Tag::I | Tag::Em | Tag::Cite | Tag::Dfn | Tag::Var => self.mark("*"),
            Tag::S | Tag::Strike | Tag::Del => self.mark("~~"),
            Tag::Code | Tag::Kbd | Tag::Samp | Tag::Tt => self.code(at),
            Tag::Sup => self.script(at, "<sup>", "</sup>"),
            Tag::Sub => self.script(at, "<sub>", "</sub>"),
            Tag::Q => {
                self.writer.raw("“");
                Step::Into(Exit::Raw("”"))
            }
            Tag::A => self.link(at),
            Tag::Br => {
                if at < self.heading_end {
                    self.writer.space();
                } else {
                    self.writer.gap(Gap::Break);
                }
                Step::Over
            }
            Tag::Img => {
                self.image(at);
                Step::Over
            }
            Tag::Math => {
                self.math(at);
                Step::Over
            }
            Tag::Iframe | Tag::Frame | Tag::Video | Tag::Audio => {
                self.media(tag, at);
                Step::Over
            }
            Tag::Span if self.waiting_math(at) => Step::Over,
            Tag::Other | Tag::Span
                if self
                    .view
                    .tree
                    .class(at)
                    .split_ascii_whitespace()
                    .any(|class| class.starts_with("MathJax")) =>
            {
                Step::Over
            }
            _ => Step::Into(Exit::Nothing),
        }
    }

    fn mark(&mut self, mark: &'static str) -> Step {
        self.writer.open_mark(mark);
        Step::Into(Exit::Mark)
    }

    /// Superscript and subscript stay HTML: Markdown has no mark for them. A note's number in brackets needs none.
    fn script(&mut self, at: Index, open: &'static str, close: &'static str) -> Step {
        let line = self.view.tree.line(at);
        let bracketed = line.starts_with('[') && self.view.tree.all(at, Tag::A).next().is_some();
        let bracketed = bracketed || self.view.targets.notes.refers(at..self.view.tree.end(at));
        if bracketed || self.writer.style == Style::Plain || !self.view.filled(at) {
            return Step::Into(Exit::Nothing);
        }
        self.writer.raw(open);
        Step::Into(Exit::Raw(close))
    }

    fn link(&mut self, at: Index) -> Step {
        if let Some(label) = self.view.targets.notes.reference(at)
            && self.writer.style != Style::Plain
        {
            self.writer.raw(&format!("[^{label}]"));
            return Step::Over;
        }
        let Some(target) = self.view.targets.shown(at) else { return Step::Into(Exit::Nothing) };
        if target.starts_with('#') && self.only_points(at) {
            return Step::Over;
        }
        // A heading that links to itself is a heading.
        let itself = target.starts_with('#') && at < self.heading_end;
        if itself || !self.view.filled(at) || self.writer.style == Style::Plain {
            return Step::Into(Exit::Nothing);
        }
        let line = self.view.tree.line(at);
        let title = self.view.tree.attr(at, local_name!("title")).map(str::trim).unwrap_or_default();
        let title = if title.is_empty() || title == line { "" } else { title };
        let close = format!("]({})", destination(target, title));
        if let Some(heading) =
            self.view.below(at).find(|below| self.view.tree.tag(*below).heading().is_some())
            && self.view.filled(heading)
            && self.heading_end <= at
        {
            self.heading_link = Some((self.view.tree.end(at), close));
            return Step::Into(Exit::Nothing);
        }
        self.writer.open_link(close, &line);
        Step::Into(Exit::Mark)
    }

    /// The little signs beside headings that link to the headings themselves.
    fn only_points(&self, at: Index) -> bool {
        let line = self.view.tree.line(at);
        matches!(line.as_str(), "¶" | "#" | "§" | "🔗" | "\u{200b}" | "\u{f0c1}" | "")
            && !self
                .view
                .tree
                .all(at, Tag::Img)
                .any(|image| self.view.targets.image(self.view.tree, image).is_some())
    }

    fn image(&mut self, at: Index) {
        let tree = self.view.tree;
        let alt = tree.attr(at, local_name!("alt")).unwrap_or_default();
        if tree.class(at).contains("mwe-math-fallback") {
            self.tex(alt, false);
            return;
        }
        let pixel = |name| matches!(tree.attr(at, name).map(str::trim), Some("0" | "1"));
        if self.writer.style == Style::Plain || (pixel(local_name!("width")) && pixel(local_name!("height")))
        {
            return;
        }
        let Some(url) = self.view.targets.image(tree, at) else { return };
        let title = tree.attr(at, local_name!("title")).map(str::trim).unwrap_or_default();
        let mut text = String::new();
        crate::tree::push_collapsed(&mut text, alt.trim());
        let title = if title == text { "" } else { title };
        let text = text.replace('[', "\\[").replace(']', "\\]");
        self.writer.raw(&format!("![{text}]({})", destination(&url, title)));
    }

    fn media(&mut self, tag: Tag, at: Index) {
        let tree = self.view.tree;
        let source = tree.attr(at, local_name!("src")).or_else(|| tree.attr_named(at, "data-src"));
        let source = source
            .or_else(|| tree.all(at, Tag::Source).find_map(|source| tree.attr(source, local_name!("src"))));
        let url =
            source.and_then(|source| self.view.targets.resolve(source)).filter(|url| url.starts_with("http"));
        let Some(url) = url.filter(|_| self.writer.style != Style::Plain) else { return };
        let kind = match tag {
            Tag::Video => "video",
            Tag::Audio => "audio",
            Tag::Frame => "frame",
            _ => "iframe",
        };
        let title =
            [local_name!("title"), local_name!("name")].into_iter().find_map(|name| tree.attr(at, name));
        let title = title
            .or_else(|| tree.attr_named(at, "aria-label"))
            .map(str::trim)
            .filter(|title| !title.is_empty());
        let text = title.unwrap_or(kind).replace(['[', ']', '\n'], " ");
        self.writer.gap(Gap::Paragraph);
        self.writer.raw(&format!("[{text}]({})", destination(&url, "")));
        self.writer.gap(Gap::Paragraph);
    }
}

/// The inside of the parentheses of a link.
fn destination(url: &str, title: &str) -> String {
    let mut depth = 0i32;
    let balanced = url.bytes().all(|byte| {
        depth += i32::from(byte == b'(') - i32::from(byte == b')');
        depth >= 0
    });
    let url =
        if balanced && depth == 0 { url.to_owned() } else { url.replace('(', "%28").replace(')', "%29") };
    if title.is_empty() {
        return url;
    }
    let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{url} \"{}\"", title.replace('\\', "\\\\").replace('"', "\\\""))
}
