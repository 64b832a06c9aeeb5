//! Real pages: nothing that a reader sees is lost on the way to Markdown. The pages are those of the HTML documentation
//! that comes with the Rust toolchain: made by rustdoc and mdBook, full of code, tables, lists and notes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use dom_query::{Document as Dom, NodeRef};

use super::html;

/// Pages looked at, taken evenly from all there are.
const PAGES: usize = 150;
/// Largest page looked at: a debug build reads about a megabyte a second.
const MAX_BYTES: u64 = 150_000;

/// Elements whose text a browser does not show, or shows as a control.
const SILENT: &[&str] = &[
    "head", "script", "style", "template", "noscript", "svg", "select", "textarea", "object", "datalist",
    "iframe", "dialog",
];

#[test]
fn less_than_a_thousandth_of_the_visible_words_is_lost() {
    let pages = pages();
    if pages.is_empty() {
        // A toolchain of the minimal profile has no documentation: there is nothing to measure.
        return;
    }
    let (mut seen, mut lost, mut worst) = (0, 0, Vec::new());
    for path in pages {
        let page = std::fs::read_to_string(&path).unwrap();
        let mut shown = String::new();
        let dom = Dom::from(page.as_str());
        visible(dom.select("body").nodes().first().expect("because the parser makes one"), &mut shown);
        let visible: Vec<String> = words(&shown).collect();
        let mut written = HashMap::<String, usize>::new();
        for word in words(&without_addresses(&html(&page).markdown)) {
            *written.entry(word).or_default() += 1;
        }
        let missing: Vec<&String> = visible
            .iter()
            .filter(|word| match written.get_mut(*word) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    false
                }
                _ => true,
            })
            .collect();
        seen += visible.len();
        lost += missing.len();
        if !missing.is_empty() {
            worst.push(format!("{}: {:?}", path.display(), &missing[..missing.len().min(20)]));
        }
    }
    assert!(seen > 10_000, "only {seen} words on the pages");
    assert!(lost * 1_000 < seen, "{lost} of {seen} words lost:\n{}", worst.join("\n"));
}

fn pages() -> Vec<PathBuf> {
    let output =
        Command::new("rustc").args(["--print", "sysroot"]).output().expect("because cargo has run it");
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).expect("because it is a path").trim());
    let mut all = Vec::new();
    collect(&sysroot.join("share/doc/rust/html"), &mut all);
    all.sort();
    let step = all.len().div_ceil(PAGES).max(1);
    all.into_iter().step_by(step).collect()
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "html")
            && entry.metadata().is_ok_and(|metadata| metadata.len() <= MAX_BYTES)
        {
            pages.push(path);
        }
    }
}

/// The text that a browser shows, by a walk of its own over the parsed page.
fn visible(node: &NodeRef<'_>, text: &mut String) {
    if node.is_text() {
        text.push_str(&node.text());
        return;
    }
    let name = node.node_name().unwrap_or_default();
    // The numbers beside lines of source are marked so; they are left out on purpose.
    let hidden = node.has_attr("data-nosnippet")
        || node.has_attr("hidden")
        || node.attr("aria-hidden").is_some_and(|value| &*value == "true")
        || node
            .attr("style")
            .is_some_and(|style| style.contains("display:none") || style.contains("display: none"));
    if hidden || SILENT.contains(&&*name) {
        return;
    }
    // Colours of code and places where a word may be broken do not part words; whatever else there is does.
    let parts = !matches!(&*name, "span" | "wbr");
    if parts {
        text.push('\n');
    }
    for child in node.children() {
        visible(&child, text);
    }
    if parts {
        text.push('\n');
    }
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned)
}

/// Markdown without what stands in the parentheses of links, so that no word of an address makes up for a lost one.
fn without_addresses(markdown: &str) -> String {
    let (mut text, mut code) = (String::new(), false);
    for line in markdown.lines() {
        code ^= line.trim_start_matches([' ', '>', '-']).starts_with("```");
        if code {
            text.push_str(line);
        } else {
            without_destinations(line, &mut text);
        }
        text.push('\n');
    }
    text
}

fn without_destinations(mut rest: &str, text: &mut String) {
    while let Some(at) = rest.find("](") {
        text.push_str(&rest[..at]);
        rest = &rest[at + 2..];
        let mut depth = 1;
        let end = rest.find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    text.push_str(rest);
}
