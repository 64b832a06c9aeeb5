//! Relevance of blocks to a query by Okapi BM25 (Robertson and Zaragoza, 2009), headings and code weighing more.
//! Words are compared in lower case and without English plurals; an ideograph is a word.

use std::collections::{HashMap, HashSet};

use super::boilerplate;
use super::mass::Mass;
use crate::Document;
use crate::tag::Tag;
use crate::tree::{Index, Tree};

const K1: f32 = 1.5;
const B: f32 = 0.75;
/// Most different words of a query.
const MAX_QUERY_WORDS: usize = 64;

/// Roots of the subtrees that are cut.
pub(super) fn cut(
    tree: &Tree<'_>,
    root: Index,
    query: &str,
    threshold: f32,
    document: &Document,
) -> Vec<bool> {
    let frame = boilerplate::mark(tree, root, &Mass::new(tree, root, &vec![false; tree.len()]), true);
    let blocks = blocks(tree, root, &frame);
    let texts: Vec<Vec<String>> = blocks.iter().map(|at| words(&tree.line(*at)).collect()).collect();
    let scores = scores(&texts, &query_words(query, document));
    let mut keep = vec![false; tree.len()];
    let mut headings: Vec<(u8, Index)> = Vec::new();
    for (at, score) in blocks.into_iter().zip(scores) {
        let level = tree.tag(at).heading();
        if let Some(level) = level {
            headings.retain(|(above, _)| *above < level);
            headings.push((level, at));
        }
        if score * weight(tree.tag(at)) >= threshold && score > 0.0 {
            let head = head_row(tree, at).into_iter();
            for wanted in headings.drain(..).map(|(_, heading)| heading).chain(head).chain([at]) {
                keep[wanted..tree.end(wanted)].fill(true);
                for up in tree.ancestors(wanted).take_while(|up| !keep[*up]).collect::<Vec<_>>() {
                    keep[up] = true;
                }
            }
        }
    }
    keep[root] = true;
    // What is kept is kept whole, or is around it; below that, the rest is cut.
    keep.iter().map(|kept| !kept).collect()
}

/// The innermost blocks with text, in document order: table rows, items and paragraphs rather than what holds them.
fn blocks(tree: &Tree<'_>, root: Index, frame: &[bool]) -> Vec<Index> {
    let mut blocks = Vec::new();
    let mut at = root + 1;
    while at < tree.end(root) {
        let tag = tree.tag(at);
        let whole = matches!(tag, Tag::Tr | Tag::Pre | Tag::Li | Tag::Figure) || tag.heading().is_some();
        let leaf = || !(at + 1..tree.end(at)).any(|below| tree.tag(below).block());
        if frame[at] || tree.hidden(at) {
            at = tree.end(at);
        } else if tag.block() && (whole || leaf()) {
            blocks.push(at);
            at = tree.end(at);
        } else if tag == Tag::Text && !tree.text(at).trim().is_empty() {
            // Text beside blocks is a block of its own.
            blocks.push(at);
            at += 1;
        } else {
            at += 1;
        }
    }
    blocks
}

/// The first row of the table of a row: without it, the row says nothing.
fn head_row(tree: &Tree<'_>, at: Index) -> Option<Index> {
    let table = tree
        .ancestors(at)
        .take(2)
        .find(|up| tree.tag(*up) == Tag::Table)
        .filter(|_| tree.tag(at) == Tag::Tr)?;
    tree.all(table, Tag::Tr).next()
}

fn query_words(query: &str, document: &Document) -> HashSet<String> {
    let own = [
        document.title.as_deref(),
        document.headings.first().map(|heading| heading.text.as_str()),
        document.description.as_deref(),
    ];
    let text = if query.trim().is_empty() {
        own.into_iter().flatten().collect::<Vec<_>>().join(" ")
    } else {
        query.to_owned()
    };
    words(&text).take(MAX_QUERY_WORDS).collect()
}

fn scores(texts: &[Vec<String>], query: &HashSet<String>) -> Vec<f32> {
    let count = texts.len() as f32;
    let average = (texts.iter().map(Vec::len).sum::<usize>() as f32 / count.max(1.0)).max(1.0);
    let frequencies: Vec<HashMap<&str, f32>> = texts
        .iter()
        .map(|text| {
            let mut frequencies = HashMap::new();
            for word in text.iter().filter(|word| query.contains(*word)) {
                *frequencies.entry(word.as_str()).or_insert(0.0) += 1.0;
            }
            frequencies
        })
        .collect();
    let rarity: HashMap<&str, f32> = query
        .iter()
        .map(|word| {
            let having = frequencies.iter().filter(|found| found.contains_key(word.as_str())).count() as f32;
            (word.as_str(), (1.0 + (count - having + 0.5) / (having + 0.5)).ln())
        })
        .collect();
    let one = |(text, found): (&Vec<String>, &HashMap<&str, f32>)| {
        let norm = K1 * (1.0 - B + B * text.len() as f32 / average);
        found
            .iter()
            .map(|(word, times)| {
                rarity.get(word).copied().unwrap_or(0.0) * times * (K1 + 1.0) / (times + norm)
            })
            .sum()
    };
    texts.iter().zip(&frequencies).map(one).collect()
}

/// The words of a text as they are compared.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let wide = |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}');
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).flat_map(move |word| {
        if word.chars().any(wide) {
            word.chars().map(String::from).collect()
        } else {
            vec![singular(word.to_lowercase())]
        }
    })
}

/// Harman's S-stemmer (1991): queries → query, pages → page, but not class.
fn singular(word: String) -> String {
    if !word.is_ascii() || word.len() < 4 || word.ends_with("ss") || word.ends_with("us") {
        return word;
    }
    match (word.strip_suffix("ies"), word.strip_suffix('s')) {
        (Some(stem), _) if !stem.ends_with(['e', 'a']) => format!("{stem}y"),
        (_, Some(stem)) => stem.to_owned(),
        _ => word,
    }
}

fn weight(tag: Tag) -> f32 {
    match tag {
        Tag::H1 => 5.0,
        Tag::H2 => 4.0,
        Tag::H3 => 3.0,
        Tag::Blockquote => 2.0,
        Tag::Pre | Tag::Tr => 1.5,
        _ => 1.0,
    }
}
