//! What sort of page it is: by what it says of itself (JSON-LD, Open Graph, generator), then by its shape.

use super::mass::Mass;
use crate::tag::Tag;
use crate::tree::{Index, Tree};
use crate::{ContentKind, Document};

/// Mass, in characters of sentences, that makes an article.
const ARTICLE_MASS: f32 = 500.0;

const GENERATORS: &[&str] = &[
    "sphinx",
    "mkdocs",
    "docusaurus",
    "rustdoc",
    "mdbook",
    "javadoc",
    "doxygen",
    "vitepress",
    "antora",
    "docsify",
    "hugo-book",
    "gitbook",
    "readthedocs",
    "asciidoctor",
    "typedoc",
    "jsdoc",
    "exdoc",
];

/// The sort of a page.
pub(super) fn of(tree: &Tree<'_>, root: Index, mass: &Mass, document: &Document) -> ContentKind {
    let linked = linked_types(document);
    let typed = |names: &[&str]| linked.iter().any(|found| names.contains(found));
    let graph = document.metadata.get("og:type").map(String::as_str).unwrap_or_default();
    let (sum, density) = (mass.sum[root], mass.link_density(root));
    if typed(&["QAPage", "DiscussionForumPosting"]) {
        return ContentKind::Forum;
    }
    if documentation(tree, root, document) {
        return ContentKind::Documentation;
    }
    if typed(&[
        "Article",
        "NewsArticle",
        "BlogPosting",
        "ReportageNewsArticle",
        "TechArticle",
        "ScholarlyArticle",
        "OpinionNewsArticle",
        "Recipe",
        "ClaimReview",
    ]) && sum > ARTICLE_MASS / 2.0
    {
        return ContentKind::Article;
    }
    if typed(&["Product"]) || graph.starts_with("product") || graph == "og:product" {
        return ContentKind::Product;
    }
    if density > 0.5 && sum < 4.0 * ARTICLE_MASS {
        return ContentKind::Listing;
    }
    if sum > ARTICLE_MASS || (graph == "article" && sum > ARTICLE_MASS / 4.0) {
        return ContentKind::Article;
    }
    ContentKind::Other
}

fn linked_types(document: &Document) -> Vec<&str> {
    let mut types = Vec::new();
    for value in &document.json_ld {
        match &value["@type"] {
            serde_json::Value::String(name) => types.push(name.as_str()),
            serde_json::Value::Array(names) => {
                types.extend(names.iter().filter_map(serde_json::Value::as_str))
            }
            _ => {}
        }
    }
    types
}

/// Made by a generator of documentation, or with as much code and as many anchored headings as such pages have.
fn documentation(tree: &Tree<'_>, root: Index, document: &Document) -> bool {
    let generator = document.metadata.get("generator").map(|name| name.to_lowercase()).unwrap_or_default();
    if GENERATORS.iter().any(|name| generator.contains(name)) {
        return true;
    }
    let (mut blocks, mut spans) = (0, 0);
    for at in tree.shown(root) {
        match tree.tag(at) {
            Tag::Pre => blocks += 1,
            Tag::Code => spans += 1,
            _ => {}
        }
    }
    let anchored =
        document.headings.iter().filter(|heading| heading.level > 1 && heading.id.is_some()).count();
    anchored >= 2 && (blocks >= 2 || spans >= 15)
}
