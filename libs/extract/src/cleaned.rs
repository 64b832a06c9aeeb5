//! The page as clean HTML: its structure and words, without scripts, styles, frames, forms and what is not shown.
//! Promises that nothing in it can run: elements and attributes are those of two short lists, links lead to pages, mail or
//! telephones, and all text is escaped.

use dom_query::local_name;

use crate::markdown::View;
use crate::tag::Tag;
use crate::tree::Index;

/// Attributes that are kept as they are, on any element that is kept.
const ATTRIBUTES: &[&str] = &[
    "alt", "cite", "colspan", "datetime", "dir", "headers", "height", "id", "lang", "rowspan", "scope",
    "span", "start", "title", "width",
];

/// Renders what is below a node. One loop, no recursion.
pub(crate) fn html(view: View<'_>, root: Index) -> String {
    let (mut out, mut open): (String, Vec<(Index, Option<&str>)>) = (String::new(), Vec::new());
    let (mut at, end, mut pre) = (root, view.tree.end(root), 0usize);
    loop {
        while open.last().is_some_and(|(last, _)| *last <= at) {
            if let Some((_, Some(name))) = open.pop() {
                pre -= usize::from(name == "pre");
                out.extend(["</", name, ">"]);
            }
        }
        if at >= end {
            return out;
        }
        let tag = view.tree.tag(at);
        if view.skipped(at) || matches!(tag, Tag::Iframe | Tag::Frame | Tag::Input) {
            at = view.tree.end(at);
            continue;
        }
        if tag == Tag::Text {
            text(&mut out, view.tree.text(at), pre > 0);
        } else {
            let name = Some(view.tree.name(at)).filter(|name| kept(tag, name));
            if let Some(name) = name {
                start(&mut out, view, at, name);
                pre += usize::from(name == "pre");
            }
            open.push((view.tree.end(at), name.filter(|name| !void(name))));
        }
        at += 1;
    }
}

/// Whether an element is written. What is inside of another one is written in its place.
fn kept(tag: Tag, name: &str) -> bool {
    if tag.block() {
        return !matches!(tag, Tag::Html | Tag::Body | Tag::Form | Tag::Fieldset | Tag::Dialog | Tag::Legend);
    }
    matches!(
        tag,
        Tag::A
            | Tag::Audio
            | Tag::B
            | Tag::Br
            | Tag::Cite
            | Tag::Code
            | Tag::Del
            | Tag::Dfn
            | Tag::Em
            | Tag::I
            | Tag::Img
            | Tag::Kbd
            | Tag::Picture
            | Tag::Q
            | Tag::S
            | Tag::Samp
            | Tag::Strike
            | Tag::Strong
            | Tag::Sub
            | Tag::Sup
            | Tag::Var
            | Tag::Video
    ) || (tag == Tag::Other
        && matches!(
            name,
            "abbr"
                | "bdi"
                | "bdo"
                | "col"
                | "colgroup"
                | "ins"
                | "mark"
                | "ruby"
                | "rp"
                | "rt"
                | "small"
                | "time"
        ))
}

fn void(name: &str) -> bool {
    matches!(name, "br" | "col" | "hr" | "img")
}

fn start(out: &mut String, view: View<'_>, at: Index, name: &str) {
    let tree = view.tree;
    out.extend(["<", name]);
    let tag = tree.tag(at);
    let href = (tag == Tag::A).then(|| view.targets.shown(at)).flatten();
    let src = match tag {
        Tag::Img => view.targets.image(tree, at),
        Tag::Video | Tag::Audio => view.targets.recording(tree, at),
        _ => None,
    };
    for (name, value) in [("href", href), ("src", src.as_deref())] {
        if let Some(value) = value {
            attribute(out, name, value);
        }
    }
    if tag == Tag::Code {
        // The language of a code block, as highlighters name it.
        let class = tree.attr(at, local_name!("class")).unwrap_or_default();
        if let Some(class) = class.split_ascii_whitespace().find(|class| class.starts_with("language-")) {
            attribute(out, "class", class);
        }
    }
    for (name, value) in (0..).map_while(|number| tree.attribute(at, number)) {
        if ATTRIBUTES.contains(&name) {
            attribute(out, name, value);
        }
    }
    out.push('>');
}

fn attribute(out: &mut String, name: &str, value: &str) {
    out.extend([" ", name, "=\""]);
    escape(out, value);
    out.push('"');
}

fn text(out: &mut String, text: &str, verbatim: bool) {
    if verbatim {
        return escape(out, text);
    }
    let space = |c: char| c.is_ascii_whitespace();
    if text.starts_with(space) && !out.is_empty() && !out.ends_with(' ') {
        out.push(' ');
    }
    let mut words = text.split(space).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        escape(out, word);
        if words.peek().is_some() || text.ends_with(space) {
            out.push(' ');
        }
    }
}

fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\0']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}
