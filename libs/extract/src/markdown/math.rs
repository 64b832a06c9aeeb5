//! Mathematics as TeX between dollars, from the annotation of MathML or the scripts of MathJax.

use dom_query::local_name;

use super::Renderer;
use crate::tag::Tag;
use crate::tree::Index;

impl Renderer<'_> {
    pub(super) fn math(&mut self, at: Index) {
        let tree = self.view.tree;
        let display = tree.attr(at, local_name!("display")).is_some_and(|display| display == "block");
        let annotation = (at + 1..tree.end(at)).find(|below| {
            tree.attr(*below, local_name!("encoding"))
                .is_some_and(|encoding| encoding.contains("tex") || encoding.contains("TeX"))
        });
        let alt = || tree.attr_named(at, "alttext").map(str::to_owned);
        match annotation.map(|annotation| tree.raw(annotation)).or_else(alt) {
            Some(tex) => self.tex(&tex, display),
            None => self.writer.text(&tree.raw(at)),
        }
    }

    /// A script of MathJax that stands for a formula; other scripts write nothing.
    pub(super) fn math_script(&mut self, at: Index) {
        let kind = self.view.tree.attr(at, local_name!("type")).unwrap_or_default();
        if self.view.tree.tag(at) == Tag::Script && kind.starts_with("math/tex") {
            self.tex(&self.view.tree.raw(at), kind.contains("display"));
        }
    }

    /// Writes TeX that waits in the page for a script to typeset it, in the marks that MathJax and KaTeX look for:
    /// `\(…\)`, `\[…\]`. Only where a class says so; elsewhere such text is text.
    pub(super) fn waiting_math(&mut self, at: Index) -> bool {
        let tree = self.view.tree;
        let math =
            tree.class(at).split_ascii_whitespace().any(|class| matches!(class, "math" | "arithmatex"));
        if !math || (at + 1..tree.end(at)).any(|below| tree.tag(below) != Tag::Text) {
            return false;
        }
        let text = tree.raw(at);
        let between = |open, close| text.trim().strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        let found = between("\\(", "\\)").map(|tex| (tex, false));
        let Some((tex, display)) = found.or_else(|| between("\\[", "\\]").map(|tex| (tex, true))) else {
            return false;
        };
        self.tex(tex, display);
        true
    }

    pub(super) fn tex(&mut self, tex: &str, display: bool) {
        let tex = tex.trim();
        let inner =
            tex.strip_prefix("{\\displaystyle").and_then(|tex| tex.strip_suffix('}')).unwrap_or(tex).trim();
        if !inner.is_empty() {
            let line = inner.split_whitespace().collect::<Vec<_>>().join(" ");
            self.writer.raw(&if display { format!("$${line}$$") } else { format!("${line}$") });
        }
    }
}
