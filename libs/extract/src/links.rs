//! Links and images of a page. Each address is resolved once; the Markdown renderer asks here for the result.

use std::collections::{HashMap, HashSet};

use dom_query::local_name;
use url::Url;

use crate::notes::Notes;
use crate::selection::Exclude;
use crate::tag::Tag;
use crate::tree::{Index, Tree};
use crate::{Image, Link, Options, Recording, RecordingKind};

/// Longest address kept, in bytes; the mesh accepts none that is longer.
const MAX_URL_BYTES: usize = 8192;

/// Where the links of a page lead.
pub(crate) struct Targets {
    base: Url,
    page: String,
    resolved: HashMap<Index, String>,
    /// The footnotes of the page.
    pub(crate) notes: Notes,
    exclude: Exclude,
}

impl Targets {
    /// Resolves the addresses of all links of a page against `<base>` and the page's own address.
    pub(crate) fn new(tree: &Tree<'_>, page: &Url) -> Self {
        let base = tree.find(Tag::Base).and_then(|at| tree.attr(at, local_name!("href")));
        let base = base.and_then(|href| page.join(href.trim()).ok());
        let base =
            base.filter(|base| matches!(base.scheme(), "http" | "https")).unwrap_or_else(|| page.clone());
        let mut targets = Self {
            base,
            page: without_fragment(page),
            resolved: HashMap::new(),
            notes: Notes::new(tree),
            exclude: Exclude::default(),
        };
        for at in 0..tree.len() {
            if matches!(tree.tag(at), Tag::A | Tag::Area)
                && let Some(href) = tree.attr(at, local_name!("href"))
                && let Some(target) = targets.resolve(href)
            {
                targets.resolved.insert(at, target);
            }
        }
        targets
    }

    /// Forgets the links and images that are left out; what remains of a link are its words.
    pub(crate) fn exclude(&mut self, exclude: &Exclude) {
        let page = self.host();
        let internal = |url: &str| page.is_some() && host_of(url) == page;
        self.resolved.retain(|_, url| !url.starts_with("http") || !exclude.link(url, internal(url)));
        self.exclude = exclude.clone();
    }

    /// Absolute address of a link as Markdown should show it: `#part` inside the page; nothing for scripts.
    pub(crate) fn shown(&self, at: Index) -> Option<&str> {
        let target = self.resolved.get(&at)?;
        match target.strip_prefix(&self.page) {
            Some("") => None,
            Some(fragment) if fragment.starts_with('#') => (fragment.len() > 1).then_some(fragment),
            _ => Some(target),
        }
    }

    /// Absolute address; nothing if it is not one, or leads nowhere (`javascript:`, `data:`).
    pub(crate) fn resolve(&self, href: &str) -> Option<String> {
        let href = href.trim();
        if href.is_empty() || href.len() > MAX_URL_BYTES {
            return None;
        }
        let url = self.base.join(href).ok()?;
        let leads = matches!(url.scheme(), "http" | "https" | "mailto" | "tel" | "ftp");
        (leads && url.as_str().len() <= MAX_URL_BYTES).then(|| url.into())
    }

    /// The links to other pages, each address once.
    pub(crate) fn links(&self, tree: &Tree<'_>, options: &Options) -> Vec<Link> {
        let (mut links, mut seen) = (Vec::new(), HashSet::new());
        for at in 0..tree.len() {
            if links.len() >= options.max_links {
                break;
            }
            let Some(url) = self.resolved.get(&at).filter(|url| url.starts_with("http")) else { continue };
            let own = url.strip_prefix(&self.page).is_some_and(|rest| rest.starts_with('#'));
            if own || !seen.insert(url.as_str()) {
                continue;
            }
            let attr = |name| {
                tree.attr(at, name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
            };
            links.push(Link {
                url: url.clone(),
                text: link_text(tree, at),
                title: attr(local_name!("title")),
                rel: attr(local_name!("rel")),
                internal: self.internal(url),
            });
        }
        links
    }

    /// The images of a page, each address once.
    pub(crate) fn images(&self, tree: &Tree<'_>, options: &Options) -> Vec<Image> {
        let (mut images, mut seen) = (Vec::new(), HashSet::new());
        for at in 0..tree.len() {
            if images.len() >= options.max_images {
                break;
            }
            if tree.tag(at) != Tag::Img {
                continue;
            }
            let Some(url) = self.image(tree, at) else { continue };
            if seen.insert(url.clone()) {
                let pixels = |name| {
                    tree.attr(at, name).and_then(|value| value.trim().trim_end_matches("px").parse().ok())
                };
                images.push(Image {
                    url,
                    alt: tree.attr(at, local_name!("alt")).unwrap_or_default().trim().to_owned(),
                    width: pixels(local_name!("width")),
                    height: pixels(local_name!("height")),
                });
            }
        }
        images
    }

    /// The films and recordings of a page, each address once; as many as images at most.
    pub(crate) fn recordings(&self, tree: &Tree<'_>, options: &Options) -> Vec<Recording> {
        let (mut recordings, mut seen) = (Vec::new(), HashSet::new());
        for at in 0..tree.len() {
            let kind = match tree.tag(at) {
                Tag::Video => RecordingKind::Video,
                Tag::Audio => RecordingKind::Audio,
                _ => continue,
            };
            let Some(url) = self.recording(tree, at).filter(|url| seen.insert(url.clone())) else { continue };
            if recordings.len() >= options.max_images {
                break;
            }
            let poster = tree.attr_named(at, "poster").and_then(|poster| self.resolve(poster));
            let title = tree.attr(at, local_name!("title")).or_else(|| tree.attr_named(at, "aria-label"));
            let title = title.map(str::trim).filter(|title| !title.is_empty()).map(str::to_owned);
            recordings.push(Recording { kind, url, poster, title });
        }
        recordings
    }

    /// The address of a film or a recording: its own, else that of its first source.
    pub(crate) fn recording(&self, tree: &Tree<'_>, at: Index) -> Option<String> {
        let sources = tree.all(at, Tag::Source).map(Some);
        let found = std::iter::once(Some(at)).chain(sources).flatten();
        let found = found.filter_map(|at| tree.attr(at, local_name!("src")));
        found.filter_map(|src| self.resolve(src)).find(|url| url.starts_with("http"))
    }

    /// The address of an image: the one a script would load, else the source, else the largest of a set.
    pub(crate) fn image(&self, tree: &Tree<'_>, at: Index) -> Option<String> {
        const LAZY: &[&str] = &[
            "data-src",
            "data-original",
            "data-lazy-src",
            "data-lazy",
            "data-original-src",
            "data-hi-res-src",
        ];
        const LAZY_SETS: &[&str] = &["data-srcset", "data-lazy-srcset"];
        let lazy = LAZY.iter().filter_map(|name| tree.attr_named(at, name));
        let lazy_sets = LAZY_SETS.iter().filter_map(|name| tree.attr_named(at, name)).filter_map(largest);
        let src = tree.attr(at, local_name!("src")).filter(|src| !src.trim_start().starts_with("data:"));
        let set = tree.attr(at, local_name!("srcset")).and_then(largest);
        let sources = || {
            let picture = tree.ancestors(at).take(2).find(|up| tree.tag(*up) == Tag::Picture)?;
            let sets = tree.all(picture, Tag::Source).filter_map(|source| {
                tree.attr(source, local_name!("srcset")).or_else(|| tree.attr_named(source, "data-srcset"))
            });
            sets.filter_map(largest).find(|url| !url.starts_with("data:"))
        };
        let found = lazy.chain(lazy_sets).chain(src).chain(set).find_map(|candidate| self.resolve(candidate));
        let found = found.or_else(|| sources().and_then(|url| self.resolve(url)));
        let wanted = |url: &String| url.starts_with("http") && !self.exclude.image(|| self.internal(url));
        found.filter(wanted)
    }

    fn internal(&self, url: &str) -> bool {
        let host = host_of(url);
        host.is_some() && host == self.host()
    }

    fn host(&self) -> Option<String> {
        host_of(&self.page)
    }
}

/// Host of an address without `www.`.
pub(crate) fn bare_host(url: &Url) -> Option<String> {
    url.host_str().map(|host| host.strip_prefix("www.").unwrap_or(host).to_owned())
}

fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok().and_then(|url| bare_host(&url))
}

fn without_fragment(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    url.into()
}

/// The text of a link, or what stands for it: label, title, text of its image.
fn link_text(tree: &Tree<'_>, at: Index) -> String {
    let text = tree.line(at);
    if !text.is_empty() {
        return text;
    }
    let alt = tree
        .all(at, Tag::Img)
        .find_map(|image| tree.attr(image, local_name!("alt")).filter(|alt| !alt.trim().is_empty()));
    let label =
        alt.or_else(|| tree.attr_named(at, "aria-label")).or_else(|| tree.attr(at, local_name!("title")));
    let mut line = String::new();
    crate::tree::push_collapsed(&mut line, label.unwrap_or_default().trim());
    line
}

/// The candidate with the largest descriptor of a `srcset`.
fn largest(set: &str) -> Option<&str> {
    let candidates = set.split([',']).filter_map(|candidate| {
        let mut parts = candidate.split_ascii_whitespace();
        let url = parts.next()?;
        let size = parts
            .next()
            .and_then(|size| size.trim_end_matches(['w', 'x']).parse::<f32>().ok())
            .unwrap_or(1.0);
        Some((url, size))
    });
    candidates.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(url, _)| url)
}
