//! RSS 0.9 to 2.0, RSS 1.0 (RDF) and Atom: title, entries as links, and the text of the entries as Markdown.
//! Other XML is no feed and stays data. Promises one pass over the XML, no external entities, and bounded entries.

use std::collections::HashSet;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use url::Url;

use crate::{ContentKind, Document, Heading, Link, Options, PageStatus, Selection, page};

/// Most bytes of one field of an entry; the rest of it is left out.
const MAX_FIELD_BYTES: usize = 1 << 20;
/// Deepest element that is looked at by name.
const MAX_DEPTH: usize = 64;

/// The document of a feed; nothing if the XML is none.
pub(crate) fn read(xml: &str, url: &Url, options: &Options) -> Option<Document> {
    let mut reader = Reader::from_str(xml);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut parser = Parser { limit: options.max_links, ..Parser::default() };
    // XML that breaks off is a feed as far as it goes.
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) => parser.start(&tag, false)?,
            Event::Empty(tag) => parser.start(&tag, true)?,
            Event::End(_) => parser.end(),
            Event::Text(text) => parser.text(&text.decode().ok()?),
            Event::CData(text) => parser.text(&text.decode().ok()?),
            Event::GeneralRef(entity) => parser.text(&resolved(&entity)),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let feed = parser.feed;
    (!feed.title.is_empty() || !parser.entries.is_empty())
        .then(|| document(feed, parser.entries, url, options))
}

pub(crate) fn resolved(entity: &quick_xml::events::BytesRef<'_>) -> String {
    if let Ok(Some(c)) = entity.resolve_char_ref() {
        return c.to_string();
    }
    let name = entity.decode().unwrap_or_default();
    quick_xml::escape::resolve_predefined_entity(&name).map_or_else(|| format!("&{name};"), str::to_owned)
}

/// What a feed or an entry says of itself.
#[derive(Debug, Default)]
struct Entry {
    title: String,
    link: String,
    id: String,
    author: String,
    date: String,
    language: String,
    summary: String,
    content: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Title,
    Link,
    Id,
    Author,
    Date,
    Language,
    Summary,
    Content,
}

#[derive(Default)]
struct Parser {
    limit: usize,
    depth: usize,
    feed: Entry,
    entries: Vec<Entry>,
    /// Depth of the open entry.
    entry: Option<usize>,
    /// The open entry is beyond the limit.
    dropped: bool,
    /// The open field and its depth.
    field: Option<(Field, usize)>,
    /// A part of the open field that is not read, by its depth: the address of an author, say.
    ignored: Option<usize>,
    text: String,
}

impl Parser {
    /// Nothing if the first element is not one of a feed.
    fn start(&mut self, tag: &BytesStart<'_>, empty: bool) -> Option<()> {
        let (full, local) = (tag.name(), tag.local_name());
        let name = std::str::from_utf8(local.as_ref()).unwrap_or_default();
        if self.depth == 0 && !matches!(name, "rss" | "feed" | "RDF") {
            return None;
        }
        self.depth += 1;
        if let Some((field, _)) = self.field {
            if field == Field::Author && name != "name" {
                self.ignored.get_or_insert(self.depth);
            }
        } else if matches!(name, "item" | "entry") && self.entry.is_none() && self.depth <= MAX_DEPTH {
            self.dropped = self.entries.len() >= self.limit;
            if !self.dropped {
                self.entries.push(Entry::default());
            }
            self.entry = Some(self.depth);
        } else if let Some(field) = self.wanted(full.as_ref(), name) {
            self.text.clear();
            self.field = Some((field, self.depth));
            if field == Field::Link {
                self.link(tag);
            }
        }
        if empty {
            self.end();
        }
        Some(())
    }

    /// The field that an element right below a feed or an entry holds.
    fn wanted(&self, full: &[u8], name: &str) -> Option<Field> {
        let above = self.entry.unwrap_or(match name {
            // `<channel>` stands between `<rss>` and its fields, nothing between `<feed>` and its.
            _ if self.depth == 2 => 1,
            _ => 2,
        });
        if self.depth != above + 1 {
            return None;
        }
        match (full, name) {
            (b"content:encoded", _) => Some(Field::Content),
            (_, "creator") => Some(Field::Author),
            // `media:title` and `itunes:summary` are about something else.
            (full, _) if full.contains(&b':') && !full.starts_with(b"atom:") && !full.starts_with(b"dc:") => {
                None
            }
            (_, "title") => Some(Field::Title),
            (_, "link") => Some(Field::Link),
            (_, "guid" | "id") => Some(Field::Id),
            (_, "author") => Some(Field::Author),
            (_, "pubDate" | "published" | "updated" | "date" | "lastBuildDate") => Some(Field::Date),
            (_, "language") => Some(Field::Language),
            (_, "description" | "summary" | "subtitle") => Some(Field::Summary),
            (_, "content") => Some(Field::Content),
            _ => None,
        }
    }

    /// `<link href rel>` of Atom; the link of RSS is text.
    fn link(&mut self, tag: &BytesStart<'_>) {
        let attribute = |name: &str| {
            let found = tag.try_get_attribute(name).ok().flatten()?;
            found.normalized_value(XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
        };
        let alternate = attribute("rel").is_none_or(|rel| rel == "alternate");
        if let Some(href) = attribute("href").filter(|_| alternate) {
            self.text = href;
        }
    }

    fn text(&mut self, text: &str) {
        if self.field.is_none() || self.ignored.is_some() {
            return;
        }
        let room = MAX_FIELD_BYTES.saturating_sub(self.text.len());
        self.text.push_str(&text[..text.floor_char_boundary(room.min(text.len()))]);
    }

    fn end(&mut self) {
        if let Some((field, _)) = self.field.take_if(|(_, depth)| *depth == self.depth) {
            self.close(field);
        }
        self.ignored.take_if(|depth| *depth == self.depth);
        self.entry.take_if(|depth| *depth == self.depth);
        self.depth = self.depth.saturating_sub(1);
    }

    /// The first of each field wins.
    fn close(&mut self, field: Field) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        let entry = match (self.entry, self.entries.last_mut()) {
            (None, _) => &mut self.feed,
            (Some(_), Some(entry)) if !self.dropped => entry,
            (Some(_), _) => return,
        };
        let place = match field {
            Field::Title => &mut entry.title,
            Field::Link => &mut entry.link,
            Field::Id => &mut entry.id,
            Field::Author => &mut entry.author,
            Field::Date => &mut entry.date,
            Field::Language => &mut entry.language,
            Field::Summary => &mut entry.summary,
            Field::Content => &mut entry.content,
        };
        if place.is_empty() {
            text.clone_into(place);
        }
    }
}

fn document(feed: Entry, entries: Vec<Entry>, url: &Url, options: &Options) -> Document {
    let page = Options { selection: Selection::default(), schema: None, ..options.clone() };
    let rich = |text: &str| {
        if text.contains('<') || text.contains('&') {
            page::read(text, false, url, &page).markdown
        } else {
            text.to_owned()
        }
    };
    let line = |text: &str| rich(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut document =
        Document { content_kind: ContentKind::Listing, confidence: 1.0, ..Document::default() };
    document.title = some(&line(&feed.title));
    document.description = some(&line(&feed.summary));
    document.language = some(&feed.language);
    document.author = some(&feed.author);
    document.published = some(&feed.date);
    document.canonical = address(&feed.link, url);
    let (mut blocks, mut seen) = (Vec::new(), HashSet::new());
    blocks.extend(document.title.as_ref().map(|title| format!("# {title}")));
    blocks.extend(document.description.clone());
    for entry in entries {
        let link = address(&entry.link, url)
            .or_else(|| address(&entry.id, url).filter(|_| entry.id.starts_with("http")));
        let title = Some(line(&entry.title)).filter(|title| !title.is_empty()).or_else(|| link.clone());
        let title = title.unwrap_or_else(|| "untitled".to_owned());
        blocks.push(match &link {
            Some(link) => format!("## [{}]({link})", title.replace('[', "\\[").replace(']', "\\]")),
            None => format!("## {title}"),
        });
        if document.headings.len() < options.max_headings {
            document.headings.push(Heading { level: 2, text: title.clone(), id: None });
        }
        let by = [entry.date, entry.author]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" · ");
        let body = if entry.content.is_empty() { &entry.summary } else { &entry.content };
        blocks.extend([by, rich(body)].into_iter().filter(|block| !block.is_empty()));
        if let Some(link) = link.filter(|link| seen.insert(link.clone())) {
            let internal = Url::parse(&link)
                .is_ok_and(|link| crate::links::bare_host(&link) == crate::links::bare_host(url));
            document.links.push(Link { url: link, text: title, title: None, rel: None, internal });
        }
    }
    document.markdown = blocks.join("\n\n");
    document.fit_markdown.clone_from(&document.markdown);
    document.text = document.markdown.clone();
    document.word_count = u32::try_from(document.markdown.split_whitespace().count()).unwrap_or(u32::MAX);
    document.page_status = PageStatus::Ok;
    document
}

fn address(link: &str, base: &Url) -> Option<String> {
    let link = Some(link).filter(|link| !link.is_empty())?;
    base.join(link).ok().filter(|url| matches!(url.scheme(), "http" | "https")).map(String::from)
}
