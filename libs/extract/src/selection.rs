//! What of a page the caller wants: parts selected and parts left out, by CSS, tag, length and where links lead.
//! Names and meanings are those of Crawl4AI's `CrawlerRunConfig`; links left out keep their words in the text.

use dom_query::Document as Dom;
use url::Url;

use crate::links::{Targets, bare_host};
use crate::select::{Places, Selector};
use crate::tag::Tag;
use crate::tree::{Index, Tree};

/// The parts of a page that are read. The default is all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only what matches is read; all else is as if it were not there, links included. Metadata is always read.
    pub css_selector: Option<Selector>,
    /// Only what matches becomes text, Markdown and tables; links, images and headings are those of the whole page.
    pub target_elements: Vec<Selector>,
    /// Names of elements that are left out, in lower case, such as `nav`.
    pub excluded_tags: Vec<String>,
    /// Elements that are left out.
    pub excluded_selector: Option<Selector>,
    /// Blocks of fewer words are left out, unless they are headings, cells, code or hold a picture.
    pub word_count_threshold: u32,
    /// Which links and images are left out.
    pub exclude: Exclude,
    /// Whether marks inside a line (bold, code, …) are left out and their words kept.
    pub only_text: bool,
}

/// Links and images that are left out, by where they lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclude {
    /// Links to other hosts.
    pub external_links: bool,
    /// Links to the host of the page.
    pub internal_links: bool,
    /// Links to these hosts and the hosts below them, in lower case: `x.com` is also `www.x.com`.
    pub domains: Vec<String>,
    /// Images of other hosts.
    pub external_images: bool,
    /// All images.
    pub all_images: bool,
}

/// Hosts that Crawl4AI calls social media, for [`Exclude::domains`].
pub const SOCIAL_MEDIA_DOMAINS: &[&str] = &[
    "facebook.com",
    "twitter.com",
    "x.com",
    "linkedin.com",
    "instagram.com",
    "pinterest.com",
    "tiktok.com",
    "snapchat.com",
    "reddit.com",
];

impl Selection {
    /// Whether the tree of a page stays as it is.
    fn keeps_all(&self) -> bool {
        self.css_selector.is_none()
            && self.excluded_tags.is_empty()
            && self.excluded_selector.is_none()
            && self.word_count_threshold <= 1
    }

    /// Removes from the tree what is not wanted, and gives back the selectors that were not evaluated.
    pub(crate) fn apply(&self, dom: &Dom, tree: &mut Tree<'_>) -> Vec<String> {
        if self.only_text {
            tree.unmark();
        }
        if self.keeps_all() {
            return Vec::new();
        }
        let places = Places::new(tree);
        let mut keep = match &self.css_selector {
            Some(selector) => kept(tree, &selector.matches(dom, &places)),
            None => vec![true; tree.len()],
        };
        if let Some(selector) = &self.excluded_selector {
            for at in selector.matches(dom, &places) {
                drop_all(tree, &mut keep, at);
            }
        }
        for at in 0..tree.len() {
            let tagged = || self.excluded_tags.iter().any(|tag| tag == tree.name(at));
            if keep[at] && tree.tag(at) != Tag::Text && (tagged() || self.too_short(tree, at)) {
                drop_all(tree, &mut keep, at);
            }
        }
        tree.retain(&keep);
        places.into_skipped()
    }

    /// Reduces the tree to what becomes text, and gives back the selectors that were not evaluated.
    pub(crate) fn focus(&self, dom: &Dom, tree: &mut Tree<'_>) -> Vec<String> {
        let places = Places::new(tree);
        let mut found: Vec<Index> =
            self.target_elements.iter().flat_map(|selector| selector.matches(dom, &places)).collect();
        found.sort_unstable();
        let keep = kept(tree, &found);
        tree.retain(&keep);
        places.into_skipped()
    }

    fn too_short(&self, tree: &Tree<'_>, at: Index) -> bool {
        let tag = tree.tag(at);
        if self.word_count_threshold <= 1 || !measured(tag) {
            return false;
        }
        let whole = |below: Index| {
            tree.tag(below).block()
                || matches!(tree.tag(below), Tag::Img | Tag::Video | Tag::Audio | Tag::Math)
        };
        if (at + 1..tree.end(at)).any(whole) {
            return false;
        }
        let words: usize = tree.shown(at).map(|below| tree.text(below).split_whitespace().count()).sum();
        words < self.word_count_threshold as usize
    }
}

impl Exclude {
    /// Whether a link to an absolute address is left out.
    pub(crate) fn link(&self, url: &str, internal: bool) -> bool {
        let by_host = || {
            let host = Url::parse(url).ok().and_then(|url| bare_host(&url));
            host.is_some_and(|host| self.domains.iter().any(|domain| is_below(&host, domain)))
        };
        (self.external_links && !internal)
            || (self.internal_links && internal)
            || (!self.domains.is_empty() && by_host())
    }

    /// Whether an image is left out.
    pub(crate) fn image(&self, internal: impl Fn() -> bool) -> bool {
        self.all_images || (self.external_images && !internal())
    }

    /// Takes the links that are left out from the targets of a page.
    pub(crate) fn apply(&self, targets: &mut Targets) {
        if *self != Self::default() {
            targets.exclude(self);
        }
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    let domain = domain.strip_prefix("www.").unwrap_or(domain);
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Blocks of text whose words are counted.
fn measured(tag: Tag) -> bool {
    tag.block()
        && tag.heading().is_none()
        && !matches!(
            tag,
            Tag::Html | Tag::Body | Tag::Hr | Tag::Pre | Tag::Td | Tag::Th | Tag::Tr | Tag::Caption | Tag::Dt
        )
}

/// What is left of a page of which only some elements are read: these, the elements around them, and the head.
fn kept(tree: &Tree<'_>, wanted: &[Index]) -> Vec<bool> {
    let mut keep = vec![false; tree.len()];
    let head = tree.find(Tag::Head).into_iter();
    for at in head.chain(wanted.iter().copied()) {
        keep[at..tree.end(at)].fill(true);
        for up in tree.ancestors(at) {
            keep[up] = true;
        }
    }
    for tag in [Tag::Html, Tag::Body] {
        if let Some(at) = tree.find(tag) {
            keep[at] = true;
        }
    }
    keep
}

fn drop_all(tree: &Tree<'_>, keep: &mut [bool], at: Index) {
    keep[at..tree.end(at)].fill(false);
}
