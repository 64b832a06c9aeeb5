//! Whether a page is what its address promises, and whether it needs a browser. Both speak up on strong evidence
//! only, and never about a page with much to read.

use dom_query::local_name;

use crate::tag::Tag;
use crate::tree::{Index, Tree};
use crate::{Document, PageStatus};

/// A page with more words than this is no challenge, error or login page, whatever words it holds.
pub(crate) const MANY_WORDS: u32 = 250;
/// A page with fewer visible words than this may be waiting for its scripts.
const FEW_WORDS: u32 = 50;
/// And one with fewer words of content than this surely has none: a title, a note that it is loading.
const NO_CONTENT: usize = 10;

/// Marks in the source of bot walls, and their names.
const CHALLENGE_MARKS: &[(&str, &str)] = &[
    ("cf-challenge", "Cloudflare challenge"),
    ("challenge-platform", "Cloudflare challenge"),
    ("cf-browser-verification", "Cloudflare challenge"),
    ("challenge-form", "Cloudflare challenge"),
    ("cf-error-details", "Cloudflare block page"),
    ("px-captcha", "PerimeterX captcha"),
    ("captcha-delivery", "DataDome captcha"),
    ("_incapsula_resource", "Incapsula challenge"),
    ("awswafcaptcha", "AWS WAF captcha"),
    ("awswaf", "AWS WAF challenge"),
];

/// Sentences that bot walls show people.
const CHALLENGE_WORDS: &[&str] = &[
    "verify you are human",
    "verify that you are human",
    "verifying you are human",
    "are you a robot",
    "are not a robot",
    "i'm not a robot",
    "checking your browser before accessing",
    "checking if the site connection is secure",
    "needs to review the security of your connection",
    "unusual traffic from your computer network",
    "complete the security check to access",
    "please complete the captcha",
    "enable javascript and cookies to continue",
    "you have been blocked",
    "access to this page has been denied",
    "press & hold to confirm",
    "automated access to",
];

const MISSING_TITLES: &[&str] = &[
    "404",
    "page not found",
    "not found",
    "file not found",
    "nothing found",
    "page missing",
    "seite nicht gefunden",
    "página no encontrada",
    "page introuvable",
    "страница не найдена",
];

const MISSING_WORDS: &[&str] = &[
    "page not found",
    "page you requested could not be found",
    "page you are looking for does not exist",
    "page you are looking for doesn't exist",
    "page you were looking for doesn't exist",
    "page you're looking for doesn't exist",
    "page you're looking for can't be found",
    "page cannot be found",
    "page can't be found",
    "page does not exist",
    "page doesn't exist",
    "page could not be found",
    "this page isn't available",
    "error 404",
    "404 error",
    "404 not found",
];

/// The status of a page, from its finished document.
pub(crate) fn page_status(tree: &Tree<'_>, document: &Document) -> PageStatus {
    if document.word_count > MANY_WORDS {
        return PageStatus::Ok;
    }
    let words = document.markdown.to_lowercase().replace('’', "'");
    let title = document.title.as_deref().unwrap_or_default().to_lowercase();
    if let Some(evidence) = challenge(tree, document, &title, &words) {
        return PageStatus::Blocked(evidence);
    }
    if document.markdown.trim().is_empty() {
        return PageStatus::Empty;
    }
    if let Some(evidence) = missing(document, &title, &words) {
        return PageStatus::Soft404(evidence);
    }
    login(tree, document, &title).map_or(PageStatus::Ok, PageStatus::LoginWall)
}

fn challenge(tree: &Tree<'_>, document: &Document, title: &str, words: &str) -> Option<String> {
    if title.starts_with("just a moment") || title.starts_with("attention required! | cloudflare") {
        return Some(format!("title: {title}"));
    }
    if let Some(found) = CHALLENGE_WORDS.iter().find(|found| words.contains(*found)) {
        return Some(format!("text: {found}"));
    }
    let marked = (0..tree.len())
        .filter(|at| matches!(tree.tag(*at), Tag::Script | Tag::Form | Tag::Div | Tag::Iframe))
        .find_map(|at| {
            let places = [tree.id(at), tree.class(at), tree.attr(at, local_name!("src")).unwrap_or_default()];
            let marks = |place: &str| {
                let place = place.to_ascii_lowercase();
                CHALLENGE_MARKS.iter().find(|(mark, _)| place.contains(mark)).map(|(_, name)| *name)
            };
            places.into_iter().find_map(marks)
        })?;
    // Cloudflare puts its script on pages that it lets through as well.
    (document.word_count < FEW_WORDS).then(|| format!("element: {marked}"))
}

fn missing(document: &Document, title: &str, words: &str) -> Option<String> {
    let heading = document.headings.first().map(|heading| heading.text.to_lowercase()).unwrap_or_default();
    // "404 | Site", but not "404 ways to cook rice".
    let alone = |rest: &str| {
        !rest.starts_with(char::is_alphanumeric) && !rest.trim_start().starts_with(char::is_alphanumeric)
    };
    let named = |text: &str| {
        MISSING_TITLES.iter().find(|missing| text.strip_prefix(**missing).is_some_and(alone)).copied()
    };
    let said = MISSING_WORDS.iter().find(|missing| words.contains(*missing)).copied();
    let titled =
        named(title).or_else(|| MISSING_WORDS.iter().find(|missing| title.contains(*missing)).copied());
    match (titled.or_else(|| named(&heading)), said) {
        (Some(titled), _) => Some(format!("title: {titled}")),
        (None, Some(said)) if document.word_count < 2 * FEW_WORDS => Some(format!("text: {said}")),
        _ => None,
    }
}

fn login(tree: &Tree<'_>, document: &Document, title: &str) -> Option<String> {
    let password = (0..tree.len()).any(|at| {
        tree.tag(at) == Tag::Input
            && tree.attr(at, local_name!("type")).is_some_and(|kind| kind.eq_ignore_ascii_case("password"))
    });
    const TITLES: &[&str] =
        &["log in", "login", "sign in", "signin", "anmelden", "connexion", "iniciar sesión"];
    let heading = document.headings.first().map(|heading| heading.text.to_lowercase()).unwrap_or_default();
    let named = TITLES
        .iter()
        .find(|name| title.starts_with(*name) || heading.starts_with(*name) || title.ends_with(*name));
    match named {
        Some(name) if password => Some(format!("password field, titled: {name}")),
        _ if password && document.word_count < FEW_WORDS => Some("password field and little else".to_owned()),
        _ => None,
    }
}

/// Ids of the elements into which applications write themselves.
const ROOTS: &[&str] = &[
    "root",
    "app",
    "__next",
    "__nuxt",
    "___gatsby",
    "svelte",
    "main-app",
    "application",
    "react-root",
    "app-root",
    "ember-app",
];

/// Why a page shows nothing without its scripts, if that is evidently so. `words` are those of the whole page; what stands around its
/// content (navigation, header, footer) is there before any script has run.
pub(crate) fn needs_javascript(tree: &Tree<'_>, root: Index, words: u32) -> Option<&'static str> {
    if words > MANY_WORDS || tree.find(Tag::Script).is_none() {
        return None;
    }
    let content = content_words(tree, root);
    if content >= FEW_WORDS as usize {
        return None;
    }
    let below = || root..tree.end(root);
    // A few words that stand for themselves may well ask for scripts, e.g. to show comments.
    if content < NO_CONTENT && (0..tree.len()).any(|at| demands_javascript(tree, at)) {
        return Some("noscript asks for JavaScript");
    }
    if below().any(|at| empty_root(tree, at) || (words < 10 && custom_root(tree, at))) {
        return Some("empty application root");
    }
    if content < NO_CONTENT && below().any(|at| empty_main(tree, at)) {
        return Some("empty main content");
    }
    if content < 2 * NO_CONTENT && unfilled(tree, root) {
        return Some("unfilled template");
    }
    if words == 0 && tree.find(Tag::Img).is_none() {
        return Some("a script and no text");
    }
    let heavy = (0..tree.len()).filter(|at| tree.tag(*at) == Tag::Script).count() >= 3;
    (words < 5 && heavy).then_some("scripts but no text")
}

/// Words of a page outside of what stands around its content.
fn content_words(tree: &Tree<'_>, root: Index) -> usize {
    let (mut at, end, mut words) = (root + 1, tree.end(root), 0);
    while at < end {
        let around = matches!(
            tree.tag(at),
            Tag::Nav | Tag::Header | Tag::Footer | Tag::Aside | Tag::Menu | Tag::Dialog
        );
        if tree.hidden(at) || around {
            at = tree.end(at);
        } else {
            words += tree.text(at).split_whitespace().count();
            at += 1;
        }
    }
    words
}

fn demands_javascript(tree: &Tree<'_>, at: Index) -> bool {
    if tree.tag(at) != Tag::Noscript {
        return false;
    }
    let text = tree.raw(at).to_lowercase();
    let asks = ["enable", "need", "require", "without"];
    text.contains("javascript") && asks.iter().any(|word| text.contains(word))
}

fn empty_root(tree: &Tree<'_>, at: Index) -> bool {
    let named = ROOTS.iter().any(|name| tree.id(at).eq_ignore_ascii_case(name))
        || tree.attr_named(at, "data-reactroot").is_some()
        || tree.attr_named(at, "ng-app").is_some();
    named && tree.tag(at) != Tag::Body && words_below(tree, at) < 10
}

fn empty_main(tree: &Tree<'_>, at: Index) -> bool {
    let main = tree.tag(at) == Tag::Main || tree.attr_named(at, "role") == Some("main");
    main && words_below(tree, at) == 0
}

/// Whether the page is its own template: `{{ title }}`.
fn unfilled(tree: &Tree<'_>, root: Index) -> bool {
    tree.shown(root).any(|at| tree.text(at).split_once("{{").is_some_and(|(_, rest)| rest.contains("}}")))
}

/// `<app-root></app-root>` and the like: a custom element that is all there is.
fn custom_root(tree: &Tree<'_>, at: Index) -> bool {
    tree.tag(at) == Tag::Other
        && tree.parent(at).is_some_and(|up| tree.tag(up) == Tag::Body)
        && tree.name(at).contains('-')
        && words_below(tree, at) < 10
}

fn words_below(tree: &Tree<'_>, at: Index) -> usize {
    tree.shown(at).map(|below| tree.text(below).split_whitespace().count()).sum()
}
