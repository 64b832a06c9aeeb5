//! Sitemaps (sitemaps.org): XML lists and indexes, feeds, plain text, each also packed with gzip.
//!
//! Promises: at most 50 000 entries and 50 MiB unpacked, as the protocol has it; one pass; what breaks off is read as far as it
//! goes; no external entities.

use std::io::Read;

use flate2::read::GzDecoder;
use quick_xml::Reader;
use quick_xml::events::Event;
use url::Url;

use crate::{Options, charset, feed};

/// Most entries of one sitemap.
const MAX_ENTRIES: usize = 50_000;
/// Most bytes of one sitemap, unpacked.
const MAX_BYTES: u64 = 50 << 20;
const MAX_URL_BYTES: usize = 2048;
const MAX_DATE_BYTES: usize = 40;

/// What a sitemap lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sitemap {
    /// Pages.
    pub pages: Vec<Entry>,
    /// Other sitemaps.
    pub sitemaps: Vec<Entry>,
    /// Entries that were left out: too many, or not absolute http addresses.
    pub dropped: usize,
}

/// An entry of a sitemap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absolute address.
    pub url: String,
    /// When it last changed, as the sitemap writes it (W3C date and time).
    pub lastmod: Option<String>,
}

/// Reads a sitemap; nothing if the bytes are none.
#[must_use]
pub fn sitemap(bytes: &[u8], url: &Url) -> Option<Sitemap> {
    let unpacked;
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut all = Vec::new();
        // What breaks off is read as far as it goes.
        let _ = GzDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut all);
        unpacked = all;
        &unpacked
    } else {
        &bytes[..bytes.len().min(usize::try_from(MAX_BYTES).unwrap_or(usize::MAX))]
    };
    let text = charset::decode(bytes, None, None).0;
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if text.starts_with('<') {
        return xml(text).or_else(|| from_feed(text, url));
    }
    plain(text)
}

impl Sitemap {
    fn add(&mut self, index: bool, url: &str, lastmod: &str) {
        let url = url.trim();
        let absolute = url.len() <= MAX_URL_BYTES
            && Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !absolute || self.pages.len() + self.sitemaps.len() >= MAX_ENTRIES {
            self.dropped += 1;
            return;
        }
        let lastmod = Some(lastmod.trim()).filter(|date| !date.is_empty() && date.len() <= MAX_DATE_BYTES);
        let entry = Entry { url: url.to_owned(), lastmod: lastmod.map(str::to_owned) };
        if index { self.sitemaps.push(entry) } else { self.pages.push(entry) }
    }
}

/// `<urlset>` and `<sitemapindex>`.
fn xml(text: &str) -> Option<Sitemap> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut sitemap = Sitemap::default();
    let (mut depth, mut known, mut index) = (0_usize, false, false);
    // The text of `<loc>` and `<lastmod>` right below an entry, which is below the root; `<image:loc>` is farther down.
    let (mut loc, mut lastmod) = (String::new(), String::new());
    let mut field: Option<bool> = None;
    while let Ok(event) = reader.read_event() {
        let piece = match event {
            Event::Start(tag) => {
                depth += 1;
                let name = tag.local_name();
                match (depth, name.as_ref()) {
                    (1, b"urlset") => known = true,
                    (1, b"sitemapindex") => (known, index) = (true, true),
                    (1, _) => return None,
                    (2, _) => (loc, lastmod) = (String::new(), String::new()),
                    (3, b"loc") => field = Some(true),
                    (3, b"lastmod") => field = Some(false),
                    _ => {}
                }
                continue;
            }
            Event::End(_) => {
                field = field.filter(|_| depth > 3);
                if depth == 2 && !loc.trim().is_empty() {
                    sitemap.add(index, &loc, &lastmod);
                }
                depth = depth.saturating_sub(1);
                continue;
            }
            Event::Text(text) => text.decode().unwrap_or_default().into_owned(),
            Event::CData(text) => text.decode().unwrap_or_default().into_owned(),
            Event::GeneralRef(entity) => feed::resolved(&entity),
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                continue;
            }
        };
        let place = match field {
            Some(true) => &mut loc,
            Some(false) => &mut lastmod,
            None => continue,
        };
        if place.len() <= MAX_URL_BYTES {
            place.push_str(&piece);
        }
    }
    known.then_some(sitemap)
}

fn from_feed(text: &str, url: &Url) -> Option<Sitemap> {
    let document = feed::read(text, url, &Options { max_links: MAX_ENTRIES, ..Options::default() })?;
    let mut sitemap = Sitemap::default();
    for link in document.links {
        sitemap.add(false, &link.url, "");
    }
    Some(sitemap)
}

/// One address a line; a text without any is no sitemap.
fn plain(text: &str) -> Option<Sitemap> {
    let mut sitemap = Sitemap::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        sitemap.add(false, line, "");
    }
    (!sitemap.pages.is_empty()).then_some(sitemap)
}
